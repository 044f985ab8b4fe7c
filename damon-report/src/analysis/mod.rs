//! From traces to numbers. Knows neither clap nor plotters nor the terminal.

pub mod addresses;
pub mod axis;
pub mod cells;
pub mod fold;
pub mod groups;
pub mod heat;
pub mod idle;
pub mod info;
pub mod kernel;
pub mod layout;
pub mod lineage;
pub mod load;
pub mod mapping_use;
pub mod mappings;
pub(crate) mod num;
pub(crate) mod observed;
pub mod overview;
pub mod recency;
pub mod sampling_error;
pub mod select;
pub mod source;
pub mod spans;
pub mod view;
pub mod walk;
pub mod wss;
