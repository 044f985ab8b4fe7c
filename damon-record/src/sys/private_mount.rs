//! A file system mounted nowhere: seen through a descriptor of ours alone, gone when it is closed (fsopen(2), 5.2).

#![expect(unsafe_code, reason = "fsopen, fsconfig and fsmount have no wrapper")]

use nix::errno::Errno;
use nix::libc;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null;

/// Constants of `include/uapi/linux/mount.h`.
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const MOUNT_ATTR_NOSUID: libc::c_uint = 2;
const MOUNT_ATTR_NODEV: libc::c_uint = 4;
const MOUNT_ATTR_NOEXEC: libc::c_uint = 8;

fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_too_big| Errno::EBADF)?;
    // SAFETY: the kernel has just created this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Mounts the file system of this type, which needs no options; its files are below `/proc/self/fd/N`.
///
/// # Errors
/// `EPERM`: no `CAP_SYS_ADMIN`. `ENODEV`: no such file system in this kernel. `ENOSYS`: before 5.2.
pub fn private_mount(file_system: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: reads a string that lives across the call.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, file_system.as_ptr(), FSOPEN_CLOEXEC) };
    let context = owned(context)?;
    let (context, none) = (context.as_raw_fd(), null::<libc::c_char>());
    // SAFETY: this command takes neither key nor value.
    let created = unsafe {
        libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_CMD_CREATE, none, none, 0_i32)
    };
    Errno::result(created)?;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    // SAFETY: takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes) })
}
