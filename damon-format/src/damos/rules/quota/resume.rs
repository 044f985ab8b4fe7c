//! Where the next window goes on when one has used up its quota. `damos_skip_charged_region` (`mm/damon/core.c`).

use super::Account;
use crate::Region;

/// Where the next window goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resume {
    target: u32,
    address: u64,
}

/// Whether a region had its turn in the last window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Not yet.
    Open,
    /// All of it.
    Over,
    /// What lies below this address, which is strictly inside.
    OverUntil(u64),
}

impl Account {
    /// Remembers where the next window goes on, if this one is full now. `end` is where the last attempt
    /// ended.
    pub fn stop_at(&mut self, target: u32, end: u64) {
        if self.is_full() {
            let behind = u64::from(self.rules.resumes_behind_end);
            self.resume = Some(Resume { target, address: end.saturating_add(behind) });
        }
    }

    /// Whether `region` had its turn in the last window already. To be asked for the regions in their
    /// order, once each; `is_last` says that it is the target's last one.
    pub fn turn(&mut self, target: u32, region: &Region, is_last: bool) -> Turn {
        let Some(resume) = self.resume else {
            return Turn::Open;
        };
        if target != resume.target {
            return Turn::Over;
        }
        if is_last && self.rules.resume_skips_last {
            self.resume = None;
            return Turn::Over;
        }
        let turn = self.turn_at(resume.address, region);
        let forget = match turn {
            Turn::Open => is_last || self.rules.resume_skips_last,
            Turn::Over => is_last,
            // Where remainders have to wait for the next pass, the right part takes this turn.
            Turn::OverUntil(_) => !self.rules.remainders_visited,
        };
        if forget {
            self.resume = None;
        }
        turn
    }

    fn turn_at(&self, address: u64, region: &Region) -> Turn {
        if region.end <= address {
            return Turn::Over;
        }
        if region.start >= address {
            return Turn::Open;
        }
        let mut skip = address - region.start;
        skip -= skip % self.granule;
        if skip == 0 {
            if region.size() <= self.granule {
                return Turn::Over;
            }
            skip = self.granule;
        }
        Turn::OverUntil(region.start + skip)
    }

    /// The target is gone: the next window begins with the first region of all.
    pub fn forget_target(&mut self, target: u32) {
        if self.resume.is_some_and(|resume| resume.target == target) {
            self.resume = None;
        }
    }
}
