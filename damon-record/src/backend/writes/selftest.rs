//! Does this kernel do what the backend needs? Tried on three pages of our own; the presence of a
//! system call proves nothing.

use crate::backend::kind::Refusal;
use crate::sys::own_pages::OwnPages;
use crate::sys::pagemap_scan::{self, PageRange, Then, Unregistered};
use crate::sys::userfaultfd::Userfaultfd;
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsFd;

/// Proves asynchronous write protection and `PAGEMAP_SCAN` on memory of our own: a write is seen, a read
/// is not, and not by protecting again either. Takes well under a millisecond; changes nothing that
/// outlives the call. Needs no privilege.
///
/// The error says what is missing and what would help.
pub fn self_test() -> Result<(), Refusal> {
    if !cfg!(target_arch = "x86_64") {
        return Err(format!(
            "injection is written for x86-64 only, this is {}",
            std::env::consts::ARCH
        )
        .into());
    }
    let uffd = Userfaultfd::create().map_err(|errno| match errno {
        Errno::ENOSYS => Refusal::with_remedy(
            "the kernel has no userfaultfd",
            "a kernel with CONFIG_USERFAULTFD=y; distributions' kernels have it",
        ),
        Errno::EPERM => Refusal::with_remedy(
            "userfaultfd(2) is forbidden here, by seccomp or a security module",
            "outside of the container, or with a seccomp profile that allows userfaultfd",
        ),
        errno => format!("userfaultfd(2) failed: {errno}").into(),
    })?;
    uffd.enable_async_write_protection().map_err(|errno| match errno {
        Errno::EINVAL => Refusal::with_remedy(
            "the kernel lacks asynchronous write protection",
            "Linux 6.7 or later with CONFIG_PTE_MARKER_UFFD_WP=y",
        ),
        errno => format!("UFFDIO_API failed: {errno}").into(),
    })?;
    let pagemap =
        File::open("/proc/self/pagemap").map_err(|error| format!("/proc/self/pagemap: {error}"))?;
    let found = try_on_own_pages(&uffd, &pagemap)
        .map_err(|errno| format!("PAGEMAP_SCAN on memory of the recorder's own failed: {errno}"))?;
    match found {
        [false, true, false] => Ok(()),
        [read, written, untouched] => Err(format!(
            "PAGEMAP_SCAN gives wrong answers here: a page that was only read reads as written: \
             {read}, one that was written: {written}, one left alone: {untouched}"
        )
        .into()),
    }
}

fn try_on_own_pages(uffd: &Userfaultfd, pagemap: &File) -> Result<[bool; 3], Errno> {
    let mut pages = OwnPages::new(3)?;
    let start = pages.address(0).ok_or(Errno::ENOMEM)?;
    let step = pages.address(1).ok_or(Errno::ENOMEM)? - start;
    let end = start + 3 * step;
    for page in 0..3 {
        pages.write(page, 1);
    }
    uffd.register(start, end)?;
    pagemap_scan::protect(pagemap.as_fd(), start, end)?;
    let _value = pages.read(0);
    pages.write(1, 2);
    let mut found = [false; 3];
    for (page, found) in (0..).zip(found.iter_mut()) {
        let at = start + page * step;
        let mut range = [PageRange::default()];
        let hits = pagemap_scan::written(
            pagemap.as_fd(),
            at,
            at + step,
            Then::Keep,
            Unregistered::Refuse,
            &mut range,
        )?;
        *found = hits > 0;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_agrees_with_the_kernel_release() {
        let release = nix::sys::utsname::uname().unwrap();
        let release = release.release().to_str().unwrap().to_owned();
        let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap(), numbers.next().unwrap());
        match self_test() {
            Ok(()) => assert!(version >= (6, 7), "{release} cannot have it"),
            Err(reason) => println!("SKIP: no writes backend on {release}: {reason}"),
        }
    }
}
