//! The analyser: `import` reads what other tools have recorded, `analysis` turns traces into numbers, `render` turns numbers into pixels and text,
//! `commands` glues them to the command line.

pub mod analysis;
pub mod cli;
pub mod commands;
pub mod exit;
pub mod export;
pub mod import;
pub mod progress;
pub mod render;
pub mod stdout;
pub mod transform;
