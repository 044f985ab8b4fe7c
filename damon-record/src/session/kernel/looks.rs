//! Regions where nothing may be traced: the kernel lists them when it is asked, at the end of an aggregation.

use crate::damon::Running;
use crate::damon::collect::tried_regions::TriedRegions;
use crate::damon::collect::{Collect as _, Collected};
use crate::damon::sysfs::{Command, Kdamond, State, TreeError};
use crate::host::monotonic_ns;
use damon_format::Attrs;
use nix::errno::Errno;

/// So late the kernel says that it has listed them, at worst: before 6.14 it looks every 100 ms, in whole ticks, whether
/// that is done (`mm/damon/sysfs.c`, `damon_sysfs_handle_cmd`).
const ANSWER_NS: u64 = 110_000_000;
/// Between two looks there is at least so much time for everything else.
const PAUSE_NS: u64 = 10_000_000;
/// After so many looks in a row that failed the recording ends.
const FAILURES: u32 = 5;

type Update = Box<dyn FnMut() -> Result<bool, String>>;

/// One kdamond's regions, listed by its scheme that does nothing else.
pub(super) struct Looks {
    regions: TriedRegions<Update>,
    thread: i32,
    next_ns: u64,
    /// In a row.
    failures: u32,
}

/// What a look has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What there was, or it is not time yet.
    Done,
    /// Nothing, and the next one may do better: why.
    Failed(String),
    /// Nothing, for the last time: why.
    GivenUp(String),
}

impl Looks {
    /// Looks at what the last scheme of `running` lists. The error says why that cannot be.
    pub(super) fn new(running: &Running) -> Result<Self, String> {
        let thread = i32::try_from(running.tid()).map_err(|error| error.to_string())?;
        let folder = format!("schemes/{}/tried_regions", running.wanted().schemes.len() - 1);
        let context = running.context().tree();
        if !context.exists(&folder) {
            return Err("this kernel's DAMON cannot list its regions (Linux 6.2 can)".to_owned());
        }
        let folder = context.hold(&folder).map_err(|error| error.to_string())?;
        let kdamond = running.kdamond().clone();
        let update: Update = Box::new(move || update(&kdamond));
        let regions = TriedRegions::new(folder, thread, update);
        let next_ns = next(monotonic_ns(), &running.wanted().attrs);
        Ok(Self { regions, thread, next_ns, failures: 0 })
    }

    /// The kdamond.
    pub(super) fn thread(&self) -> i32 {
        self.thread
    }

    /// When the next look is due. It blocks for little more than what is left of the aggregation then, and cannot be
    /// interrupted.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// One look, if it is due; `attrs` are those in force.
    pub(super) fn look(&mut self, attrs: &Attrs, each: &mut dyn FnMut(Collected)) -> Look {
        if monotonic_ns() < self.next_ns {
            return Look::Done;
        }
        let looked = self.regions.drain(each);
        self.next_ns = next(monotonic_ns(), attrs);
        match looked {
            Ok(()) => {
                self.failures = 0;
                Look::Done
            }
            Err(error) => {
                self.failures += 1;
                let given_up = self.failures >= FAILURES;
                let look = if given_up { Look::GivenUp } else { Look::Failed };
                look(error.to_string())
            }
        }
    }

    /// How regions are brought, in one sentence.
    pub(super) fn describe(&self) -> String {
        self.regions.describe()
    }
}

/// When to ask again after an answer came at `now`. The aggregation that it was about ended up to [`ANSWER_NS`] ago,
/// and the next one must not have ended before the kdamond has taken notice of the question, which it does once a
/// sampling interval. Asking much earlier would keep DAMON's lock, and us, for nothing.
fn next(now: u64, attrs: &Attrs) -> u64 {
    let us = |us: u64| us.saturating_mul(1000);
    let lead = ANSWER_NS.saturating_add(us(attrs.sample_us).saturating_mul(2));
    now.saturating_add(us(attrs.aggr_us).saturating_sub(lead).max(PAUSE_NS))
}

/// Has the regions listed; `false` when the kdamond has ended.
fn update(kdamond: &Kdamond) -> Result<bool, String> {
    match kdamond.command(Command::UpdateSchemesTriedRegions) {
        Err(TreeError::Write { errno: Errno::EINVAL | Errno::ECANCELED, .. }) => return Ok(false),
        other => other.map_err(|error| error.to_string())?,
    }
    // One that ends before it has answered leaves what it listed before (6.12).
    Ok(kdamond.state().map_err(|error| error.to_string())? == State::On)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_comes_in_time_and_not_much_before() {
        let attrs = |sample_us, aggr_us| Attrs {
            sample_us,
            aggr_us,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1000,
        };
        let ms = |attrs| next(0, &attrs) / 1_000_000;
        assert_eq!(ms(attrs(5_000, 100_000)), 10, "at once, but not without a pause");
        assert_eq!(ms(attrs(20_000, 200_000)), 50);
        // Blocks for two sampling intervals and the time of the answer, not for seconds.
        assert_eq!(ms(attrs(500_000, 10_000_000)), 8_890);
        assert_eq!(next(u64::MAX, &attrs(u64::MAX, u64::MAX)), u64::MAX);
    }
}
