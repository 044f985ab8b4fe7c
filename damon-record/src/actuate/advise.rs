//! Acting on one process.

use crate::monitor::AddressRange;
use crate::sys::madvise::{self, Advice, Range};
use nix::errno::Errno;
use std::os::fd::BorrowedFd;

/// What can be done to the memory of one process. Tests put one of their own behind it.
pub trait Advise {
    /// Gives `advice` about `ranges`, each of which lies inside one mapping. Returns the bytes for
    /// which the kernel took it.
    ///
    /// The error is one that concerns the whole process: it has exited, or is out of reach.
    fn advise(&mut self, advice: Advice, ranges: &[AddressRange]) -> Result<u64, Errno>;
}

/// A process by its descriptor.
#[derive(Clone, Copy, Debug)]
pub struct ByPidfd<'a>(pub BorrowedFd<'a>);

impl Advise for ByPidfd<'_> {
    fn advise(&mut self, advice: Advice, ranges: &[AddressRange]) -> Result<u64, Errno> {
        let ranges: Vec<Range> =
            ranges.iter().filter_map(|range| Range::new(range.start, range.size())).collect();
        let mut taken: u64 = ranges.iter().map(|range| range.len()).sum();
        madvise::advise(self.0, advice, &ranges, &mut |index, _why| {
            // Locked, special, or unmapped since the mappings were read.
            let length = ranges.get(index).map_or(0, |range| range.len());
            taken = taken.saturating_sub(length);
        })?;
        Ok(taken)
    }
}

/// Whether the process behind `pidfd` can be given all of `advice`; a sentence where it cannot.
pub fn permitted(pidfd: BorrowedFd<'_>, advice: &[Advice]) -> Result<(), String> {
    for advice in advice {
        madvise::permitted(pidfd, *advice).map_err(|errno| refusal(advice.name(), errno))?;
    }
    Ok(())
}

fn refusal(name: &str, errno: Errno) -> String {
    match errno {
        Errno::EPERM | Errno::EACCES => format!(
            "this process may not be given advice about its memory ({name}: {errno}): that needs \
             CAP_SYS_NICE and the right to trace it; run as root"
        ),
        Errno::ENOSYS => {
            format!("this kernel has no process_madvise ({name}): it needs Linux 5.10")
        }
        Errno::EINVAL => {
            format!(
                "this kernel does not take {name} for other processes: MADV_COLLAPSE needs Linux 6.1, \
                     MADV_WILLNEED 5.15"
            )
        }
        Errno::ESRCH => "the process has exited".to_owned(),
        errno => format!("{name} failed: {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn refusals_say_what_is_needed() {
        assert!(refusal("MADV_COLD", Errno::EPERM).contains("CAP_SYS_NICE"));
        assert!(refusal("MADV_COLLAPSE", Errno::EINVAL).contains("6.1"));
        assert!(refusal("MADV_COLD", Errno::ENOSYS).contains("5.10"));
        let file = std::fs::File::open("/dev/null").unwrap();
        let refused = permitted(file.as_fd(), &[Advice::Cold]).unwrap_err();
        assert!(refused.contains("MADV_COLD"), "{refused}");
        assert_eq!(permitted(file.as_fd(), &[]), Ok(()));
    }
}
