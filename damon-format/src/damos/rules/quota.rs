//! Quotas: windows, and what is charged. `damos_adjust_quota`, `damos_set_effective_quota` and `damos_apply_scheme`
//! (`mm/damon/core.c`).

mod resume;

pub use resume::Turn;

use super::goal::{Readings, Tuning, fraction};
use super::{FirstWindow, KernelRules, Scale};
use crate::damos::kernel::Quota;
use resume::Resume;

/// What a look at the clock found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Nothing is limited.
    None,
    /// The window goes on.
    Same,
    /// The first window has begun.
    First,
    /// The next window has begun.
    Next {
        /// The last one had used up its quota.
        exceeded: bool,
    },
}

/// A quota and what was used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    quota: Quota,
    rules: KernelRules,
    granule: u64,
    page_size: u64,
    tuning: Tuning,
    window_start_ns: Option<u64>,
    windows: u64,
    effective: u64,
    charged: u64,
    total_bytes: u64,
    total_ns: u64,
    resume: Option<Resume>,
}

impl Account {
    /// An account on which nothing was charged yet.
    pub fn new(quota: Quota, rules: KernelRules, scale: &Scale) -> Self {
        Self {
            quota,
            rules,
            granule: scale.granule.max(1),
            page_size: scale.page_size,
            tuning: Tuning::default(),
            window_start_ns: None,
            windows: 0,
            effective: 0,
            charged: 0,
            total_bytes: 0,
            total_ns: 0,
            resume: None,
        }
    }

    /// The quota as it was set.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Bytes that this window may use (`effective_bytes`).
    pub fn effective_bytes(&self) -> u64 {
        self.effective
    }

    /// Bytes that this window has used.
    pub fn charged_bytes(&self) -> u64 {
        self.charged
    }

    /// Windows that are over.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// Begins a window if the last one is over at `now_ns`, and sets what it may use. To be called whenever the
    /// scheme is due; windows end at no other time.
    pub fn begin_window(&mut self, now_ns: u64, readings: &mut dyn Readings) -> Window {
        if !self.quota.is_set() {
            return Window::None;
        }
        let length = window_ns(self.quota.reset_interval_ms);
        let first = self.window_start_ns.is_none();
        if first {
            match (self.rules.first_window, length) {
                // The clock never gets far enough for the first window to begin.
                (FirstWindow::LimitedUnlessEndless, None) => return Window::None,
                (FirstWindow::LimitedUnlessEndless | FirstWindow::Limited, _) => {
                    self.set_effective(readings);
                }
                (FirstWindow::Unlimited, _) => {}
            }
        }
        let start = *self.window_start_ns.get_or_insert(now_ns);
        let is_over = length.is_some_and(|length| now_ns.saturating_sub(start) >= length);
        if !is_over {
            return if first { Window::First } else { Window::Same };
        }
        if first && self.rules.first_window == FirstWindow::LimitedUnlessEndless {
            // That one looks at the clock only once.
            return Window::First;
        }
        let exceeded = self.is_full();
        self.windows += 1;
        self.total_bytes = self.total_bytes.saturating_add(self.charged);
        self.window_start_ns = Some(now_ns);
        self.charged = 0;
        self.set_effective(readings);
        Window::Next { exceeded }
    }

    /// * no time and no goals: the bytes that were set;
    /// * goals: what tuning says;
    /// * time: `throughput * ms` if that is less, with the bytes per millisecond of all windows before,
    ///   or 1024 pages per millisecond when no time was measured yet;
    /// * never more than the bytes that were set.
    fn set_effective(&mut self, readings: &mut dyn Readings) {
        let Quota { ms, bytes, .. } = self.quota;
        if ms == 0 && self.quota.goals.is_empty() {
            self.effective = bytes;
            return;
        }
        let mut effective = u64::MAX;
        if !self.quota.goals.is_empty() {
            effective = self.tuning.next(&self.quota, readings);
        }
        if ms > 0 {
            let throughput = match self.total_ns {
                0 => self.page_size.saturating_mul(1024),
                ns => fraction(self.total_bytes, 1_000_000, ns),
            };
            effective = effective.min(throughput.saturating_mul(ms));
            if self.rules.time_quota_floor {
                effective = effective.max(self.granule);
            }
        }
        if bytes > 0 {
            effective = effective.min(bytes);
        }
        self.effective = effective;
    }

    /// Whether the window limits anything, so that scores count.
    pub fn is_limited(&self) -> bool {
        if self.rules.zero_is_unlimited { self.effective > 0 } else { self.quota.is_set() }
    }

    /// Whether it neither limits anything in this window nor goes on after where the last one stopped.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_limited() && self.resume.is_none()
    }

    /// Whether nothing more may be tried in this window.
    pub fn is_full(&self) -> bool {
        let left = self.effective.saturating_sub(self.charged);
        self.is_limited() && (left == 0 || self.rules.crumbs_are_full && left < self.granule)
    }

    /// How much of `size` bytes may still be tried: all, or what is left in whole granules.
    pub fn room(&self, size: u64) -> u64 {
        if !self.is_limited() || self.charged.saturating_add(size) <= self.effective {
            return size;
        }
        let left = self.effective.saturating_sub(self.charged);
        left - left % self.granule
    }

    /// Charges an attempt at `size` bytes which worked for `applied` of them and took `elapsed_ns`.
    pub fn charge(&mut self, size: u64, applied: u64, elapsed_ns: u64) {
        let fail = self.quota.fail_charge;
        let bytes = match size.checked_sub(applied) {
            Some(failed) if fail.denom > 0 => {
                let share = fraction(failed, u64::from(fail.num), u64::from(fail.denom));
                applied.saturating_add(share)
            }
            _ => size,
        };
        self.charged = self.charged.saturating_add(bytes);
        self.total_ns = self.total_ns.saturating_add(elapsed_ns);
    }
}

/// The kernel passes the length through 32 bits of milliseconds, the upper half of which means "never".
fn window_ns(reset_interval_ms: u64) -> Option<u64> {
    let ms = reset_interval_ms & u64::from(u32::MAX);
    i32::try_from(ms).is_ok().then(|| ms.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests;
