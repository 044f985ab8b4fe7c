//! One moment of a recording: the snapshot of each target that covers it.

use super::fold::Fold;
use super::load::Trace;
use super::num::float;
use super::select::{Moment, SelectError, Selection};
use super::view::View;
use damon_format::{Snapshot, SnapshotView, TargetId};
use std::collections::BTreeMap;

/// The snapshots that cover one moment, by target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoveredMoment {
    /// A time that all of them cover, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// At most one of each target.
    pub snapshots: Vec<Snapshot>,
}

impl CoveredMoment {
    /// The moment that is asked for; without a wish, and at the end of the recording, the last complete one of the selection: in
    /// the middle of the last snapshot that took at least half its aggregation interval (the last one of a process
    /// that exited may be shorter, and tells less).
    pub fn find(trace: &Trace, view: &View, asked: Option<&Moment>) -> Result<Self, SelectError> {
        let Some(asked) = asked else {
            return Ok(Self::last(trace, view));
        };
        let time_ns = asked.resolve(&view.whole)?;
        if time_ns.saturating_add(1) >= view.whole.end && view.time().end >= view.whole.end {
            return Ok(Self::last(trace, view));
        }
        let found = covering(trace, &view.selection, time_ns, Side::Right);
        if !found.is_empty() {
            return Ok(Self { time_ns, snapshots: found });
        }
        let before = covering(trace, &view.selection, time_ns, Side::Left);
        match before.iter().map(middle).min() {
            Some(time_ns) => Ok(Self::at(trace, view, time_ns)),
            None => Err(SelectError::NothingThen {
                asked: asked.asked().to_owned(),
                nearest: nearest(trace, view, time_ns),
            }),
        }
    }

    fn at(trace: &Trace, view: &View, time_ns: u64) -> Self {
        let snapshots = covering(trace, &view.selection, time_ns, Side::Right);
        Self { time_ns, snapshots }
    }

    fn last(trace: &Trace, view: &View) -> Self {
        /// Of more than so many short snapshots in a row the last one is as good as any.
        const MOST: usize = 16;
        let mut end = view.time().end;
        let mut latest = None;
        for _ in 0..MOST {
            let found = covering(trace, &view.selection, end, Side::Left);
            let Some(one) = found.iter().max_by_key(|s| (s.end_ns, s.start_ns)) else {
                break;
            };
            latest.get_or_insert(middle(one));
            let full = found.iter().filter(|s| is_complete(s)).max_by_key(|s| s.end_ns);
            if let Some(full) = full {
                latest = Some(middle(full));
                break;
            }
            if one.start_ns >= end {
                break;
            }
            end = one.start_ns;
        }
        Self::at(trace, view, latest.unwrap_or(end))
    }

    /// The selection narrowed to this moment: weighted by time, what it holds is this moment's.
    #[must_use]
    pub fn selection(&self, of: &Selection) -> Selection {
        Selection { time: self.time_ns..self.time_ns.saturating_add(1), ..of.clone() }
    }
}

fn middle(snapshot: &Snapshot) -> u64 {
    snapshot.start_ns + snapshot.end_ns.saturating_sub(snapshot.start_ns) / 2
}

fn is_complete(snapshot: &Snapshot) -> bool {
    let taken = snapshot.end_ns.saturating_sub(snapshot.start_ns);
    taken >= snapshot.sampling.aggr_us.saturating_mul(500)
}

/// Which of two snapshots covers the moment between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The one that ends then.
    Left,
    /// The one that begins then.
    Right,
}

impl Side {
    fn covers(self, snapshot: &SnapshotView<'_>, time_ns: u64) -> bool {
        let (start, end) = (snapshot.start_ns, snapshot.end_ns);
        match self {
            _ if start == end => start == time_ns,
            Self::Left => start < time_ns && time_ns <= end,
            Self::Right => start <= time_ns && time_ns < end,
        }
    }
}

fn covering(trace: &Trace, selection: &Selection, time_ns: u64, side: Side) -> Vec<Snapshot> {
    let near = time_ns.saturating_sub(1)..time_ns.saturating_add(1);
    let narrow = Selection { time: near, ..selection.clone() };
    let new = || Covering { selection, time_ns, side, found: BTreeMap::new() };
    trace.fold(&narrow, new).found.into_values().collect()
}

struct Covering<'a> {
    selection: &'a Selection,
    time_ns: u64,
    side: Side,
    found: BTreeMap<TargetId, Snapshot>,
}

impl Fold for Covering<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if self.selection.has_snapshot(snapshot) && self.side.covers(snapshot, self.time_ns) {
            self.found.insert(snapshot.target, snapshot.to_snapshot());
        }
    }

    fn merge(&mut self, later: Self) {
        self.found.extend(later.found);
    }
}

/// Where the snapshots nearest to a moment are, in words.
fn nearest(trace: &Trace, view: &View, time_ns: u64) -> String {
    let around = trace.fold(&view.selection, || Around {
        selection: &view.selection,
        time_ns,
        before: None,
        after: None,
    });
    let offset = |time: u64| format!("{:.3} s", float(time.saturating_sub(view.whole.start)) / 1e9);
    match (around.before, around.after) {
        (Some(before), Some(after)) => {
            format!(
                "the snapshots around it end at {} and begin at {}",
                offset(before),
                offset(after)
            )
        }
        (Some(before), None) => format!("the last snapshot before it ends at {}", offset(before)),
        (None, Some(after)) => format!("the first snapshot after it begins at {}", offset(after)),
        (None, None) => "no snapshot is selected".to_owned(),
    }
}

struct Around<'a> {
    selection: &'a Selection,
    time_ns: u64,
    before: Option<u64>,
    after: Option<u64>,
}

impl Fold for Around<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        if snapshot.end_ns <= self.time_ns {
            self.before = self.before.max(Some(snapshot.end_ns));
        } else {
            let start = snapshot.start_ns;
            self.after = Some(self.after.map_or(start, |after| after.min(start)));
        }
    }

    fn merge(&mut self, later: Self) {
        self.before = self.before.max(later.before);
        self.after = match (self.after, later.after) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
