//! The backend `pte`: reads and writes of single pages through the hardware's Accessed bits, on stock
//! kernels without DAMON.

pub mod tables;
