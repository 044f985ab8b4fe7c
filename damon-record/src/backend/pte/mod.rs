//! The backend `pte`: reads and writes of single pages through the hardware's Accessed bits, on stock
//! kernels without DAMON.

mod agree;
mod assembler;
mod btf;
mod directmap;
mod kernel;
mod locate;
mod machine;
mod pagemap;
mod program;
mod reading;
mod refusal;
mod scan;
pub mod tables;
mod tasks;

pub use kernel::PageTables;
pub use locate::{Located, locate};
pub use reading::tables_self_test;
