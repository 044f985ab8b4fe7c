//! The only unsafe code: system calls, wrapped safely.

pub mod area;
pub mod bpf;
pub mod detached;
#[doc(hidden)]
pub mod fake_ring;
pub mod fdpass;
pub mod file_lock;
pub mod kcmp;
pub mod madvise;
pub mod own_pages;
pub mod pagemap_scan;
pub mod perf;
pub mod pidfd;
pub mod private_mount;
#[cfg(target_arch = "x86_64")]
pub mod ptrace;
pub mod ring;
pub mod signals;
pub mod spawn;
pub mod stdout;
#[doc(hidden)]
pub mod test_target;
pub mod tty;
pub mod userfaultfd;
