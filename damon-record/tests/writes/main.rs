//! The backend `writes` against real processes on this machine. Where the kernel cannot do it, each test
//! prints why and passes.

#[cfg(test)]
mod common;
#[cfg(test)]
mod compat;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod rootless;
#[cfg(test)]
mod states;
