//! What differs between kernels.

use serde::Serialize;

/// What happens to memory about which no filter decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterDefault {
    /// It passes; every filter rejects, whatever it says (before 6.14).
    RejectOnly,
    /// It passes (6.14).
    Allow,
    /// The opposite of the last filter (6.15).
    OppositeOfLast,
}

/// What limits a quota that has just been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstWindow {
    /// The quota; but a window that never ends never begins either, so that nothing is limited (before
    /// 6.17).
    LimitedUnlessEndless,
    /// Nothing until the second window (6.17).
    Unlimited,
    /// The quota (6.18).
    Limited,
}

/// How a kernel applies schemes. All from `mm/damon/core.c` and `mm/damon/vaddr.c`.
///
/// Distributions take fixes into older kernels, so that a release says little; each rule can be set by
/// itself. [`KernelRules::default`] is Linux 6.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent changes of the kernel's code")]
pub struct KernelRules {
    /// What limits the first window.
    pub first_window: FirstWindow,
    /// A quota that comes out as 0 bytes limits nothing, instead of everything (before 7.1).
    pub zero_is_unlimited: bool,
    /// A time quota always allows one granule (7.1).
    pub time_quota_floor: bool,
    /// A window continues one byte past the end of the last one, which costs a granule where regions
    /// are split for it (before 7.1).
    pub resumes_behind_end: bool,
    /// A window that continues forgets where once it got there, and leaves out the target's last region
    /// (before 7.3); later kernels remember it until they have seen the last region.
    pub resume_skips_last: bool,
    /// What is cut off a region gets its turn in the same pass (7.1), instead of the next one.
    pub remainders_visited: bool,
    /// What filters cut off is neither charged nor counted (7.3).
    pub measured_after_filters: bool,
    /// Only what passes the core's filters counts when the most urgent regions are chosen (7.1).
    pub histogram_filtered: bool,
    /// A quota with less than a granule left is full (7.2).
    pub crumbs_are_full: bool,
    /// Migration of virtual memory goes by hotness (6.17), instead of by address.
    pub virtual_migration_ordered: bool,
    /// About what no filter decides.
    pub filter_default: FilterDefault,
}

impl Default for KernelRules {
    fn default() -> Self {
        Self::LINUX_6_18
    }
}

impl KernelRules {
    /// Linux 6.18 as released.
    pub const LINUX_6_18: Self = Self::of(6, 18);

    /// Linux 6.12.117 as Debian ships it: fixes up to 7.3 in the code of 6.12.
    pub const LINUX_6_12_117: Self = Self {
        first_window: FirstWindow::Unlimited,
        time_quota_floor: true,
        resumes_behind_end: false,
        resume_skips_last: false,
        remainders_visited: true,
        measured_after_filters: true,
        ..Self::of(6, 12)
    };

    /// A release without fixes from later ones.
    pub const fn of(major: u32, minor: u32) -> Self {
        let release = (major, minor);
        Self {
            first_window: if is_since(release, (6, 18)) {
                FirstWindow::Limited
            } else if is_since(release, (6, 17)) {
                FirstWindow::Unlimited
            } else {
                FirstWindow::LimitedUnlessEndless
            },
            zero_is_unlimited: !is_since(release, (7, 1)),
            time_quota_floor: is_since(release, (7, 1)),
            resumes_behind_end: !is_since(release, (7, 1)),
            resume_skips_last: !is_since(release, (7, 3)),
            remainders_visited: is_since(release, (7, 1)),
            measured_after_filters: is_since(release, (7, 3)),
            histogram_filtered: is_since(release, (7, 1)),
            crumbs_are_full: is_since(release, (7, 2)),
            virtual_migration_ordered: is_since(release, (6, 17)),
            filter_default: if is_since(release, (6, 15)) {
                FilterDefault::OppositeOfLast
            } else if is_since(release, (6, 14)) {
                FilterDefault::Allow
            } else {
                FilterDefault::RejectOnly
            },
        }
    }

    /// By what `uname -r` prints, as far as known; `None` when that is no release.
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse::<u32>().ok();
        let (major, minor) = (next()?, next()?);
        let patch = next().unwrap_or(0);
        Some(match (major, minor, patch) {
            (6, 12, 117..) => Self::LINUX_6_12_117,
            _ => Self::of(major, minor),
        })
    }
}

const fn is_since(release: (u32, u32), other: (u32, u32)) -> bool {
    release.0 > other.0 || (release.0 == other.0 && release.1 >= other.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(KernelRules::of_release("6.18.44-fc"), Some(KernelRules::default()));
        assert_eq!(KernelRules::of_release("6.12.0"), Some(KernelRules::of(6, 12)));
        assert_eq!(
            KernelRules::of_release("6.12.117+deb12-amd64"),
            Some(KernelRules::LINUX_6_12_117)
        );
        assert_eq!(KernelRules::of_release("7.1-rc3"), Some(KernelRules::of(7, 1)));
        assert_eq!(KernelRules::of_release("linux"), None);
        assert_eq!(KernelRules::of_release("6"), None);
        assert_eq!(KernelRules::of_release("99999999999.1"), None);
    }

    #[test]
    fn rules_change_once_and_stay_changed() {
        let (old, new) = (KernelRules::of(5, 15), KernelRules::of(7, 3));
        assert_eq!(old.first_window, FirstWindow::LimitedUnlessEndless);
        assert_eq!(old.filter_default, FilterDefault::RejectOnly);
        assert!(old.zero_is_unlimited && old.resumes_behind_end && old.resume_skips_last);
        assert!(!new.zero_is_unlimited && !new.resumes_behind_end && !new.resume_skips_last);
        assert!(new.remainders_visited && new.measured_after_filters && new.crumbs_are_full);
        assert_eq!(KernelRules::of(6, 14).filter_default, FilterDefault::Allow);
        assert_eq!(KernelRules::of(6, 17).first_window, FirstWindow::Unlimited);
        assert_eq!(KernelRules::of(7, 99), new);
    }
}
