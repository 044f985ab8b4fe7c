//! Schemes applied from user space to real processes on this machine. Where the kernel does not let them
//! be advised, each test prints why and passes.

#[cfg(test)]
mod processes;
