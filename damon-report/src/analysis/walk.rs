//! Going over a selected part in the order of the file, in one thread and constant memory: for what is written and
//! not computed.

use super::load::Trace;
use super::select::Selection;
use damon_format::{BlockEntry, Damage, Record, SnapshotView, Visitor};

/// What there is in a trace.
#[derive(Debug)]
pub enum Event<'a> {
    /// A snapshot, cut to the selected addresses.
    Snapshot(&'a SnapshotView<'a>),
    /// A record.
    Record(Record),
}

/// Cuts snapshots to addresses, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Clipper {
    starts: Vec<u64>,
    ends: Vec<u64>,
    nr_accesses: Vec<u32>,
    ages: Vec<u32>,
    probes: Vec<Vec<u32>>,
}

impl Clipper {
    /// The part of a snapshot that is inside the selected addresses. A region that reaches across their border is
    /// cut, with its counters unchanged: they are rates and ages, not amounts.
    pub fn clip<'a>(
        &'a mut self,
        selection: &Selection,
        snapshot: &SnapshotView<'a>,
    ) -> SnapshotView<'a> {
        let addresses = &selection.address;
        let ends = snapshot.starts.first().zip(snapshot.ends.last());
        if ends.is_none_or(|(start, end)| addresses.covers(snapshot.target, *start, *end)) {
            return *snapshot;
        }
        self.starts.clear();
        self.ends.clear();
        self.nr_accesses.clear();
        self.ages.clear();
        self.probes.resize(snapshot.probes.len(), Vec::new());
        self.probes.iter_mut().for_each(Vec::clear);
        for (index, region) in snapshot.regions().enumerate() {
            for part in addresses.pieces(snapshot.target, region.start, region.end) {
                self.starts.push(part.start);
                self.ends.push(part.end);
                self.nr_accesses.push(region.nr_accesses);
                self.ages.push(region.age);
                for (to, from) in self.probes.iter_mut().zip(snapshot.probes) {
                    to.push(from.get(index).copied().unwrap_or(0));
                }
            }
        }
        SnapshotView {
            starts: &self.starts,
            ends: &self.ends,
            nr_accesses: &self.nr_accesses,
            ages: snapshot.ages.map(|_| self.ages.as_slice()),
            probes: &self.probes,
            ..*snapshot
        }
    }
}

struct Hand<'a, F, E> {
    selection: &'a Selection,
    all_records: bool,
    clipper: Clipper,
    to: F,
    result: Result<(), E>,
}

impl<E, F: FnMut(Event<'_>) -> Result<(), E>> Visitor for Hand<'_, F, E> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if self.result.is_ok() && self.selection.has_snapshot(snapshot) {
            let clipped = self.clipper.clip(self.selection, snapshot);
            self.result = (self.to)(Event::Snapshot(&clipped));
        }
    }

    fn record(&mut self, record: Record) {
        if self.result.is_ok() && (self.all_records || self.selection.has_record(&record)) {
            self.result = (self.to)(Event::Record(record));
        }
    }
}

impl Trace {
    /// Hands over all that is selected, in the order of the file, up to the first error. Damage was named when the trace
    /// was [overviewed](super::overview::Overview::read); everything that is readable is handed over.
    ///
    /// # Errors
    /// The first that `to` returns.
    pub fn walk<E>(
        &self,
        selection: &Selection,
        to: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk_some(selection, false, |block| selection.overlaps(block), to)
    }

    /// [`walk`](Self::walk) over all records, whatever was selected, and the selected snapshots.
    ///
    /// # Errors
    /// The first that `to` returns.
    pub fn walk_all_records<E>(
        &self,
        selection: &Selection,
        to: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk_some(selection, true, |block| selection.may_hold(block), to)
    }

    /// [`walk`](Self::walk) over those blocks alone that lie in the selected time, whatever records the others have.
    ///
    /// # Errors
    /// The first that `to` returns.
    pub fn walk_snapshots<E>(
        &self,
        selection: &Selection,
        mut to: impl FnMut(&SnapshotView<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let may_hold = |b: &BlockEntry| b.snapshots > 0 && selection.overlaps(b);
        self.walk_some(selection, false, may_hold, |event| match event {
            Event::Snapshot(snapshot) => to(snapshot),
            Event::Record(_) => Ok(()),
        })
    }

    fn walk_some<E>(
        &self,
        selection: &Selection,
        all_records: bool,
        may_hold: impl Fn(&BlockEntry) -> bool,
        to: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let clipper = Clipper::default();
        let mut hand = Hand { selection, all_records, clipper, to, result: Ok(()) };
        for block in self.blocks().iter().filter(|block| may_hold(block)) {
            let _known: Result<(), Damage> = self.visit_selected(block, selection, &mut hand);
            if hand.result.is_err() {
                break;
            }
        }
        hand.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::addresses::Addresses;
    use crate::analysis::spans::SpanSet;
    use damon_format::{Region, Sampling, Snapshot, TargetId};

    fn addresses(range: std::ops::Range<u64>) -> Addresses {
        let mut set = SpanSet::default();
        set.insert(range);
        Addresses::of_all(&set)
    }

    #[test]
    fn a_region_across_the_border_is_cut_and_keeps_its_counters() {
        let snapshot = SnapshotView {
            target: TargetId(1),
            start_ns: 5,
            end_ns: 6,
            sampling: Sampling::from_intervals(1, 20),
            starts: &[0x1000, 0x3000, 0x9000],
            ends: &[0x3000, 0x8000, 0xa000],
            nr_accesses: &[1, 7, 3],
            ages: Some(&[10, 20, 30]),
            probes: &[vec![4, 5, 6]],
        };
        let mut selection = Selection::everything();
        let mut clipper = Clipper::default();
        assert_eq!(clipper.clip(&selection, &snapshot).len(), 3);
        selection.address = addresses(0x2000..0x5000);
        let cut: Snapshot = clipper.clip(&selection, &snapshot).to_snapshot();
        let region = |start, end, nr_accesses, age| Region { start, end, nr_accesses, age };
        assert_eq!(cut.regions, [region(0x2000, 0x3000, 1, 10), region(0x3000, 0x5000, 7, 20)]);
        assert_eq!(cut.probes, [[4, 5]]);
        selection.address = addresses(0x8000..0x9000);
        assert!(clipper.clip(&selection, &snapshot).is_empty());
    }
}
