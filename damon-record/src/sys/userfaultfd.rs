//! userfaultfd(2) in asynchronous write-protect mode: the kernel notes writes by itself, no faulting
//! thread ever waits for us. Constants from `include/uapi/linux/userfaultfd.h`.

#![expect(unsafe_code, reason = "nix has no userfaultfd")]

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Flags of the system call: close on exec, never block, and (what makes it available without
/// privileges) report only faults of user mode. In asynchronous mode the kernel's own writes are noted
/// all the same.
pub const CREATE_FLAGS: u32 =
    libc::O_CLOEXEC as u32 | libc::O_NONBLOCK as u32 | UFFD_USER_MODE_ONLY;

const UFFD_USER_MODE_ONLY: u32 = 1;
const UFFD_API: u64 = 0xAA;
const UFFDIO_API: libc::c_ulong = 0xC018_AA3F;
const UFFDIO_REGISTER: libc::c_ulong = 0xC020_AA00;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
const UFFDIO_REGISTER_MODE_WP: u64 = 2;
const UFFD_FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const UFFD_FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const UFFD_FEATURE_WP_ASYNC: u64 = 1 << 15;

#[repr(C)]
struct Api {
    version: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// A userfaultfd of some address space, ours or a target's.
#[derive(Debug)]
pub struct Userfaultfd(OwnedFd);

impl Userfaultfd {
    /// One for our own address space.
    pub fn create() -> Result<Self, Errno> {
        // SAFETY: userfaultfd takes one integer and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, CREATE_FLAGS) };
        let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_too_big| Errno::EBADF)?;
        // SAFETY: the kernel has just created this descriptor for us and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes over a descriptor that userfaultfd(2) returned elsewhere.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    fn handshake(&self, features: u64) -> Result<(), Errno> {
        let mut api = Api { version: UFFD_API, features, ioctls: 0 };
        // SAFETY: UFFDIO_API reads and writes exactly one struct uffdio_api, which `api` mirrors.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_API, &raw mut api) };
        Errno::result(done).map(drop)
    }

    /// Asks for asynchronous write protection of every kind of memory, populated or not; once per
    /// descriptor. `EINVAL`: the kernel is older than 6.7 or lacks `CONFIG_PTE_MARKER_UFFD_WP`.
    pub fn enable_async_write_protection(&self) -> Result<(), Errno> {
        self.handshake(
            UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
        )
    }

    /// Registers `[start, end)`, both page-aligned, for write protection. Nothing is protected yet.
    ///
    /// `EBUSY`: another userfaultfd has it; `EINVAL`: nothing mapped there, or memory that cannot be
    /// protected; `ENOMEM` (also `ESRCH`): the address space is gone, after exit or exec.
    pub fn register(&self, start: u64, end: u64) -> Result<(), Errno> {
        self.register_mode(start, end, UFFDIO_REGISTER_MODE_WP)
    }

    fn register_mode(&self, start: u64, end: u64, mode: u64) -> Result<(), Errno> {
        let mut register = Register { start, len: end.saturating_sub(start), mode, ioctls: 0 };
        // SAFETY: UFFDIO_REGISTER reads and writes exactly one struct uffdio_register, which
        // `register` mirrors; write-protect mode changes no content of the range.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_REGISTER, &raw mut register) };
        Errno::result(done).map(drop)
    }

    /// Claims `[start, end)` the way a program with its own paging does (mode `MISSING`); for tests
    /// of what happens to a second claim. The range must be populated already: a missing page would
    /// block whoever touches it.
    pub fn claim_missing(&self, start: u64, end: u64) -> Result<(), Errno> {
        self.handshake(0)?;
        self.register_mode(start, end, UFFDIO_REGISTER_MODE_MISSING)
    }
}

impl AsFd for Userfaultfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
