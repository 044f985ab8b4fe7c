//! Snapshots of a short recording kept in memory, so that only the first pass over it decodes them.
//!
//! Without ages and probes, sizes in pages and counts in 16 bits, a region takes six bytes. What does not fit that is not
//! kept at all, and whoever asks decodes again: results are the same either way.

use super::fold::Fold;
use super::room::Room;
use damon_format::{Sampling, SnapshotView, TargetId};
use rayon::prelude::*;
use std::ops::Range;

/// Recordings with more regions are not kept: 24 MiB.
pub(crate) const MOST_ROWS: u64 = 4 << 20;

/// A snapshot takes as much memory as so many regions, beside its own.
const HEAD_ROWS: u64 = 16;

/// A part with a snapshot takes as much memory as so many regions, beside its snapshots: 12 KiB, since its columns grow
/// in steps, and there may be very many small blocks.
const PART_HEAD_ROWS: u64 = 2048;

/// A region in front of which there is a gap takes as much memory as so many, beside its own: [`JUMP`] and its start.
const JUMP_ROWS: u64 = 2;

/// For the snapshots of one recording.
pub(crate) fn room() -> Room {
    Room::new(MOST_ROWS)
}

/// Regions that are worked on together; parts are the same for any number of threads.
const PART_ROWS: usize = 1 << 16;

/// Regions of most blocks.
const USUAL_ROWS: usize = 1 << 18;

const PAGE: u64 = 4096;

/// In front of the start of a region, in two halves, that does not begin where the one before it ends.
const JUMP: u32 = u32::MAX;

/// Snapshots of one block, in order.
#[derive(Debug)]
pub(crate) struct Part {
    room: Room,
    heads: Vec<Head>,
    sizes: Vec<u32>,
    counts: Vec<u16>,
    /// Something did not fit.
    spoilt: bool,
}

#[derive(Debug)]
struct Head {
    target: TargetId,
    start_ns: u64,
    end_ns: u64,
    sampling: Sampling,
    sizes: Range<usize>,
    counts: Range<usize>,
}

/// All snapshots of a recording, in the order of its blocks.
#[derive(Debug)]
pub(crate) struct Kept(Vec<Part>);

impl Part {
    /// Nothing yet.
    pub(crate) fn new(room: &Room) -> Self {
        let (heads, sizes, counts) = (Vec::new(), Vec::new(), Vec::new());
        Self { room: room.clone(), heads, sizes, counts, spoilt: false }
    }

    pub(crate) fn add(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.spoilt && self.try_add(snapshot).is_none() {
            *self = Self { spoilt: true, ..Self::new(&self.room) };
        }
    }

    /// Keeps a snapshot if it can; if not, those before it are as they were.
    pub(super) fn try_add(&mut self, snapshot: &SnapshotView<'_>) -> Option<()> {
        let first = if self.heads.is_empty() { PART_HEAD_ROWS } else { 0 };
        self.room.take((snapshot.len() as u64).saturating_add(HEAD_ROWS + first))?;
        if self.heads.is_empty() {
            // Most blocks have several snapshots, but each may be all there is of its block.
            let some = USUAL_ROWS.min(snapshot.len().saturating_mul(4));
            self.sizes.reserve(some);
            self.counts.reserve(some);
        }
        let (sizes, counts) = (self.sizes.len(), self.counts.len());
        let (mut starts, mut ends) = (snapshot.starts, snapshot.ends);
        let (mut at, mut odd, mut jumps) = (0, false, 0_u64);
        while let (Some(&start), [_, behind @ ..]) = (starts.first(), starts) {
            if start != at {
                let low = u32::try_from(start & u64::from(u32::MAX)).ok()?;
                self.sizes.extend([JUMP, low, u32::try_from(start >> 32).ok()?]);
                jumps += 1;
            }
            // Regions without a gap between them, in one go; whether all of them fit is asked after the last.
            let run = 1 + ends.iter().zip(behind).take_while(|(end, start)| end == start).count();
            let bounds = starts.iter().zip(ends).take(run);
            self.sizes.extend(bounds.map(|(&start, &end)| {
                let size = end.wrapping_sub(start);
                odd |= (start | size) % PAGE != 0 || size / PAGE >= u64::from(JUMP);
                u32::try_from(size / PAGE % (1 << 32)).unwrap_or(JUMP)
            }));
            at = ends.get(run - 1).copied()?;
            (starts, ends) = (starts.get(run..)?, ends.get(run..)?);
        }
        self.counts.extend(snapshot.nr_accesses.iter().map(|&count| {
            odd |= count > u32::from(u16::MAX);
            u16::try_from(count % (1 << 16)).unwrap_or(u16::MAX)
        }));
        if odd {
            return None;
        }
        // The first one is in the snapshot's own.
        self.room.take(jumps.saturating_sub(1).saturating_mul(JUMP_ROWS))?;
        self.heads.push(Head {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns,
            sampling: snapshot.sampling,
            sizes: sizes..self.sizes.len(),
            counts: counts..self.counts.len(),
        });
        Some(())
    }

    /// Shows all that is kept.
    pub(super) fn each<E>(
        &self,
        mut show: impl FnMut(&SnapshotView<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut columns = Columns::default();
        self.heads.iter().try_for_each(|head| show(&columns.fill(self, head)))
    }

    /// Runs of snapshots with about [`PART_ROWS`] regions.
    fn runs(&self) -> impl Iterator<Item = &[Head]> {
        let mut from = 0;
        self.heads.chunk_by(move |first, next| {
            if next.counts.end.saturating_sub(from) > PART_ROWS {
                from = first.counts.end;
                return false;
            }
            true
        })
    }
}

impl Kept {
    /// `None` when something was not kept.
    pub(crate) fn new(parts: Vec<Part>) -> Option<Self> {
        parts.iter().all(|part| !part.spoilt).then_some(Self(parts))
    }

    /// As [`Trace::fold`](super::load::Trace::fold), of analyses that look at neither ages, probes nor records.
    pub(crate) fn fold<F: Fold>(&self, make: impl Fn() -> F + Sync) -> F {
        let runs = self.0.iter().flat_map(|part| part.runs().map(move |run| (part, run)));
        let runs: Vec<(&Part, &[Head])> = runs.collect();
        let folded = runs.par_iter().map(|(part, run)| {
            let mut fold = make();
            let mut columns = Columns::default();
            for head in *run {
                fold.snapshot(&columns.fill(part, head));
            }
            fold
        });
        let mut sum = make();
        for part in folded.collect::<Vec<F>>() {
            sum.merge(part);
        }
        sum
    }
}

#[derive(Default)]
struct Columns {
    starts: Vec<u64>,
    ends: Vec<u64>,
    counts: Vec<u32>,
}

impl Columns {
    fn fill<'a>(&'a mut self, part: &Part, head: &Head) -> SnapshotView<'a> {
        self.starts.clear();
        self.ends.clear();
        self.counts.clear();
        let mut at = 0_u64;
        let mut sizes = part.sizes.get(head.sizes.clone()).unwrap_or_default();
        while !sizes.is_empty() {
            if let [JUMP, low, high, behind @ ..] = sizes {
                at = u64::from(*high) << 32 | u64::from(*low);
                sizes = behind;
            }
            let run = sizes.iter().position(|size| *size == JUMP).unwrap_or(sizes.len());
            let (these, behind) = sizes.split_at(run);
            let first = self.starts.len();
            self.starts.push(at);
            self.ends.extend(these.iter().map(|size| {
                at = at.saturating_add(u64::from(*size) * PAGE);
                at
            }));
            // Each begins where the one before it ends.
            self.starts.extend(self.ends.iter().skip(first).take(run.saturating_sub(1)));
            sizes = behind;
        }
        let counts = part.counts.get(head.counts.clone()).unwrap_or_default();
        self.counts.extend(counts.iter().map(|count| u32::from(*count)));
        SnapshotView {
            target: head.target,
            start_ns: head.start_ns,
            end_ns: head.end_ns,
            sampling: head.sampling,
            starts: &self.starts,
            ends: &self.ends,
            nr_accesses: &self.counts,
            ages: None,
            probes: &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Region, Snapshot};
    use proptest::prelude::*;

    /// Snapshots as they come.
    #[derive(Default)]
    struct Seen(Vec<Snapshot>);

    impl Fold for Seen {
        fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
            self.0.push(snapshot.to_snapshot());
        }

        fn merge(&mut self, later: Self) {
            self.0.extend(later.0);
        }
    }

    fn keep(part: &mut Part, snapshot: &Snapshot) {
        let column = |of: fn(&Region) -> u64| snapshot.regions.iter().map(of).collect::<Vec<_>>();
        let counts: Vec<u32> = snapshot.regions.iter().map(|r| r.nr_accesses).collect();
        part.add(&SnapshotView {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns,
            sampling: snapshot.sampling,
            starts: &column(|r| r.start),
            ends: &column(|r| r.end),
            nr_accesses: &counts,
            ages: None,
            probes: &[],
        });
    }

    fn snapshot(start_ns: u64, regions: &[(u64, u64, u32)]) -> Snapshot {
        let mut at = 0;
        let region = |&(gap, size, nr_accesses): &(u64, u64, u32)| {
            let start = at + gap;
            at = start + size;
            Region { start, end: at, nr_accesses, age: 0 }
        };
        let regions = regions.iter().map(region).collect();
        let sampling = Sampling::from_intervals(5_000, 100_000);
        Snapshot::new(TargetId(1), start_ns, start_ns + 7, sampling, regions)
    }

    fn all(parts: Vec<Part>) -> Option<Vec<(u64, Vec<Region>)>> {
        let seen: Seen = Kept::new(parts)?.fold(Seen::default);
        Some(seen.0.into_iter().map(|s| (s.start_ns, s.regions)).collect())
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back_in_order(
            lists in prop::collection::vec(
                prop::collection::vec((0_u64..3, 1_u64..1 << 20, 0_u32..=20), 0..40),
                0..30,
            ),
            cut in 0_usize..30,
        ) {
            let snapshots: Vec<Snapshot> = (0..).zip(&lists).map(|(i, list)| {
                let pages = |&(gap, size, n): &(u64, u64, u32)| (gap << 44, size << 12, n);
                snapshot(i * 10, &list.iter().map(pages).collect::<Vec<_>>())
            }).collect();
            let room = room();
            let mut parts = [Part::new(&room), Part::new(&room)];
            for (i, snapshot) in snapshots.iter().enumerate() {
                keep(&mut parts[usize::from(i >= cut)], snapshot);
            }
            let expected: Vec<_> =
                snapshots.into_iter().map(|s| (s.start_ns, s.regions)).collect();
            prop_assert_eq!(all(parts.into()), Some(expected));
        }
    }

    #[test]
    fn many_regions_are_cut_into_parts() {
        let regions = vec![(0, PAGE, 3); 1000];
        let mut part = new();
        for i in 0..200 {
            keep(&mut part, &snapshot(i, &regions));
        }
        assert_eq!(part.runs().count(), 4);
        let times: Vec<u64> = all(vec![part]).unwrap().into_iter().map(|(time, _)| time).collect();
        assert_eq!(times, (0..200).collect::<Vec<u64>>());
    }

    #[test]
    fn what_does_not_fit_is_not_kept_at_all() {
        for odd in [(1, PAGE, 1), (0, 100, 1), (0, PAGE, 70_000), (0, 1 << 45, 1)] {
            let mut part = new();
            keep(&mut part, &snapshot(0, &[(PAGE, PAGE, 1)]));
            keep(&mut part, &snapshot(1, &[odd]));
            keep(&mut part, &snapshot(2, &[(PAGE, PAGE, 1)]));
            assert_eq!(all(vec![part, new()]), None, "{odd:?}");
        }
    }

    #[test]
    fn parts_share_the_room_and_empty_snapshots_take_some() {
        let room = room();
        let mut parts = [Part::new(&room), Part::new(&room)];
        let most = (MOST_ROWS - 2 * PART_HEAD_ROWS) / (HEAD_ROWS + 1);
        for i in 0..most {
            keep(&mut parts[usize::from(i % 3 == 0)], &snapshot(i, &[(0, PAGE, 1)]));
        }
        assert!(parts.iter().all(|part| !part.spoilt));
        keep(&mut parts[0], &snapshot(most, &[]));
        assert!(parts[0].spoilt && parts[0].heads.capacity() == 0);
        assert!(all(parts.into()).is_none());
    }

    #[test]
    fn many_parts_with_little_each_take_no_more_than_few_with_much() {
        let room = room();
        let mut parts: Vec<Part> = (0..100_000).map(|_| Part::new(&room)).collect();
        for part in &mut parts {
            keep(part, &snapshot(0, &[(0, PAGE, 1); 3]));
        }
        let bytes = |part: &Part| {
            let heads = part.heads.capacity() * size_of::<Head>();
            heads + part.sizes.capacity() * 4 + part.counts.capacity() * 2
        };
        let taken: usize = parts.iter().map(bytes).sum();
        assert!(taken as u64 <= MOST_ROWS * 6, "{taken} bytes");
        assert!(all(parts).is_none());
        // A day in blocks of a minute.
        let room = self::room();
        let mut parts: Vec<Part> = (0..1_440).map(|_| Part::new(&room)).collect();
        for part in &mut parts {
            keep(part, &snapshot(0, &[(0, PAGE, 1); 600]));
        }
        assert!(all(parts).is_some());
    }

    /// A gap in front of each region takes twice as much again.
    #[test]
    fn snapshots_of_nothing_but_gaps_take_no_more_than_others() {
        let regions = vec![(PAGE, PAGE, 1); 1000];
        let mut part = new();
        let mut most = 0;
        while !part.spoilt {
            most = part.heads.len();
            keep(&mut part, &snapshot(most as u64, &regions));
            let taken = part.heads.len() * size_of::<Head>()
                + part.sizes.len() * size_of::<u32>()
                + part.counts.len() * size_of::<u16>();
            assert!(taken as u64 <= MOST_ROWS * 6, "{taken} bytes in {most} snapshots");
        }
        assert!(most > 1000, "{most} snapshots");
    }

    fn new() -> Part {
        Part::new(&room())
    }
}
