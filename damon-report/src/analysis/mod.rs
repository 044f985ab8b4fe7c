//! From traces to numbers. Knows neither clap nor plotters nor the terminal.

pub mod heat;
pub mod wss;
