//! The last lines: what was recorded, and how to look at it.

use super::console::Console;
use super::mode::Mode;
use super::run::Session;
use super::trace::Outcome;
use crate::units::{show_bytes, show_duration};
use std::fmt::Write as _;
use std::time::Duration;

/// Facts that outlive the session.
pub(super) struct Summary {
    snapshots: u64,
    lost: u64,
    targets: u32,
    /// Ended before the first snapshot of them.
    unseen: u64,
    /// Forked, and ended before anything could be recorded of them.
    brief: u64,
    elapsed: Duration,
    cpu: Duration,
    target_cpu: Duration,
    kdamond_cpu: Option<Duration>,
    is_physical: bool,
    missed: (u64, &'static str),
    /// The first sample, or with the kernel's DAMON the first aggregation: before it is over there is nothing.
    first: (&'static str, Duration),
    backend: &'static str,
}

impl Session<'_> {
    pub(super) fn summary(&mut self, now_ns: u64, cpu: Duration) -> Summary {
        Summary {
            snapshots: self.trace.snapshots(),
            lost: self.trace.lost(),
            targets: self.next_id,
            unseen: if matches!(self.mode, Mode::Kernel(_)) { 0 } else { self.unseen },
            brief: self.newcomers.brief().map_or(0, |(brief, _)| brief.count),
            elapsed: Duration::from_nanos(now_ns.saturating_sub(self.started_ns)),
            cpu,
            target_cpu: self.target_cpu,
            kdamond_cpu: match &self.mode {
                Mode::Kernel(kernel) => kernel.cpu(),
                _ => None,
            },
            is_physical: self.is_physical(),
            missed: self.missed.total(),
            first: match &self.mode {
                Mode::Kernel(_) => ("aggregation", Duration::from_micros(self.attrs.aggr_us)),
                _ => ("sample", Duration::from_micros(self.attrs.sample_us)),
            },
            backend: self.kind.name,
        }
    }
}

impl Summary {
    /// Says it, and where the finished recording is.
    pub(super) fn say(&self, outcome: &Outcome, console: &mut Console) {
        let seconds = self.elapsed.as_secs_f64();
        let plural =
            |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let share = |cpu: Duration| cpu.as_secs_f64() / seconds.max(0.001) * 100.0;
        let mut cost = format!("{:.1}% of a core", share(self.cpu));
        if share(self.target_cpu) >= 0.05 {
            let _infallible =
                write!(cost, " and about {:.1}% in the target", share(self.target_cpu));
        }
        if let Some(kdamond) = self.kdamond_cpu {
            let _infallible = write!(cost, " and {:.1}% in the kernel's kdamond", share(kdamond));
        }
        let (missed, why) = self.missed;
        let other = self.lost.saturating_sub(missed);
        let mut lost = if other > 0 { format!("; {other} lost") } else { String::new() };
        if missed > 0 {
            let _infallible = write!(lost, "; {missed} pages could not be observed: {why}");
        }
        let mut size = show_bytes(outcome.bytes);
        if let Some(count) = &outcome.count {
            size = format!("{count}, {size}");
        }
        console.say(&format!(
            "recorded {} of {} in {seconds:.1} s to {} ({size}), backend {}, {cost}{lost}",
            plural(self.snapshots, "snapshot"),
            self.targets(),
            outcome.name,
            self.backend,
        ));
        if self.snapshots == 0 {
            let (what, duration) = self.first;
            console.say(&format!(
                "the recording holds no snapshot: it ended before the first {what} of {} was over",
                show_duration(duration)
            ));
        } else if let Some(file) = &outcome.look_at {
            console.say(&format!("look at it: damon-report heatmap {file}"));
        }
    }

    /// Who was recorded, and how many were not because they ended too early.
    fn targets(&self) -> String {
        if self.is_physical {
            return "physical memory".to_owned();
        }
        let mut text =
            format!("{} process{}", self.targets, if self.targets == 1 { "" } else { "es" });
        let mut early = Vec::new();
        if self.unseen > 0 && self.targets > 1 {
            early.push(format!("{} ended before the first look at them", self.unseen));
        }
        if self.brief > 0 {
            early.push(format!("{} more ended before they could be recorded", self.brief));
        }
        if !early.is_empty() {
            let _infallible = write!(text, " ({})", early.join("; "));
        }
        text
    }
}
