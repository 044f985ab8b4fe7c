//! From traces to numbers. Knows neither clap nor plotters nor the terminal.

pub mod addresses;
pub mod axis;
pub mod cells;
pub mod fold;
pub mod heat;
pub mod info;
pub mod kernel;
pub mod lineage;
pub mod load;
pub mod mappings;
pub(crate) mod num;
pub mod overview;
pub mod sampling_error;
pub mod select;
pub mod source;
pub mod spans;
pub mod view;
pub mod wss;
