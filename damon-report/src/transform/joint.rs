//! Snapshots of one target that are added up.

use damon_format::layout::MAX_REGIONS;
use damon_format::{Region, Sampling, Snapshot, SnapshotView, TargetId};

/// There would be more regions than a snapshot may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyPieces;

/// An area inside which no snapshot of the group has a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u64,
    end: u64,
    /// Sum over the snapshots that cover it.
    nr_accesses: u64,
    /// How long the pattern had lasted, that aggregation included, in the latest snapshot that covers it, microseconds.
    lasted_us: u64,
}

/// Snapshots that become one.
#[derive(Debug)]
pub(super) struct Group {
    target: TargetId,
    start_ns: u64,
    end_ns: u64,
    /// Of each of them.
    sample_us: u64,
    one_aggr_us: u64,
    /// Sums.
    aggr_us: u64,
    max_nr_accesses: u64,
    has_ages: bool,
    pieces: Vec<Piece>,
    /// Sums of the probes' counters, each as long as `pieces`.
    probes: Vec<Vec<u64>>,
}

impl Group {
    /// An empty one that this snapshot can be added to.
    pub(super) fn new(first: &SnapshotView<'_>) -> Self {
        Self {
            target: first.target,
            start_ns: first.start_ns,
            end_ns: first.start_ns,
            sample_us: first.sampling.sample_us,
            one_aggr_us: first.sampling.aggr_us,
            aggr_us: 0,
            max_nr_accesses: 0,
            has_ages: true,
            pieces: Vec::new(),
            probes: vec![Vec::new(); first.probes.len()],
        }
    }

    /// Sum of the nominal intervals.
    pub(super) fn aggr_us(&self) -> u64 {
        self.aggr_us
    }

    /// Whether a snapshot counts in the same way and follows at once.
    pub(super) fn is_continued_by(&self, next: &SnapshotView<'_>) -> bool {
        let pause = next.start_ns.saturating_sub(self.end_ns) / 1000;
        (next.sampling.sample_us, next.sampling.aggr_us) == (self.sample_us, self.one_aggr_us)
            && next.probes.len() == self.probes.len()
            && next.end_ns >= self.end_ns
            && pause <= self.one_aggr_us / 2
    }

    /// Adds a snapshot.
    pub(super) fn add(&mut self, next: &SnapshotView<'_>) -> Result<(), TooManyPieces> {
        self.end_ns = self.end_ns.max(next.end_ns);
        // A recording that does not know its interval has at least its real times.
        let took_us = next.end_ns.saturating_sub(next.start_ns) / 1000;
        let nominal_us = next.sampling.aggr_us;
        let aggr_us = if nominal_us > 0 { nominal_us } else { took_us.max(1) };
        self.aggr_us = self.aggr_us.saturating_add(aggr_us);
        let max = u64::from(next.sampling.max_nr_accesses);
        self.max_nr_accesses = self.max_nr_accesses.saturating_add(max);
        self.has_ages &= next.ages.is_some();
        self.overlay(next, aggr_us);
        let columns = self.probes.len() + 1;
        if self.pieces.len().saturating_mul(columns) > MAX_REGIONS {
            self.join_neighbours();
            if self.pieces.len().saturating_mul(columns) > MAX_REGIONS {
                return Err(TooManyPieces);
            }
        }
        Ok(())
    }

    /// Cuts pieces and regions at each other's borders and adds them up.
    fn overlay(&mut self, next: &SnapshotView<'_>, aggr_us: u64) {
        let old = std::mem::take(&mut self.pieces);
        let old_probes = std::mem::take(&mut self.probes);
        self.probes = vec![Vec::new(); old_probes.len()];
        self.pieces.reserve(old.len().max(next.len()));
        let (mut i, mut j, mut at) = (0, 0, 0);
        loop {
            while old.get(i).is_some_and(|piece| piece.end <= at) {
                i += 1;
            }
            while next.ends.get(j).is_some_and(|end| *end <= at) {
                j += 1;
            }
            let piece = old.get(i);
            let region = next.starts.get(j).copied().zip(next.ends.get(j).copied());
            let starts = [piece.map(|p| p.start), region.map(|(start, _)| start)];
            let Some(start) = starts.into_iter().flatten().min() else { break };
            let start = start.max(at);
            let piece = piece.filter(|p| p.start <= start);
            let here = region.filter(|(from, _)| *from <= start);
            // The nearest border after: the end of what is here, or the start of what is not yet.
            let borders = [
                old.get(i).map(|p| if p.start <= start { p.end } else { p.start }),
                region.map(|(from, to)| if from <= start { to } else { from }),
            ];
            let Some(end) = borders.into_iter().flatten().min().filter(|end| *end > start) else {
                break;
            };
            let count = here.and(next.nr_accesses.get(j)).copied().map_or(0, u64::from);
            let age = next.ages.and_then(|ages| ages.get(j)).copied().unwrap_or(0);
            let lasted = u64::from(age).saturating_add(1).saturating_mul(aggr_us);
            self.pieces.push(Piece {
                start,
                end,
                nr_accesses: piece.map_or(0, |p| p.nr_accesses).saturating_add(count),
                lasted_us: match (here, piece) {
                    (None, Some(piece)) => piece.lasted_us,
                    _ => lasted,
                },
            });
            for ((to, before), now) in self.probes.iter_mut().zip(&old_probes).zip(next.probes) {
                let before = piece.and(before.get(i)).copied().unwrap_or(0);
                let now = here.and(now.get(j)).copied().map_or(0, u64::from);
                to.push(before.saturating_add(now));
            }
            at = end;
        }
    }

    /// Neighbours that agree in everything become one.
    fn join_neighbours(&mut self) {
        let probes = &self.probes;
        let same_probes = |a: usize, b: usize| probes.iter().all(|p| p.get(a) == p.get(b));
        let mut joined: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        let mut kept = Vec::with_capacity(self.pieces.len());
        for (index, piece) in self.pieces.iter().enumerate() {
            if let Some(last) = joined.last_mut() {
                let same = last.end == piece.start
                    && last.nr_accesses == piece.nr_accesses
                    && last.lasted_us == piece.lasted_us
                    && same_probes(index.saturating_sub(1), index);
                if same {
                    last.end = piece.end;
                    continue;
                }
            }
            joined.push(*piece);
            kept.push(index);
        }
        let pick = |p: &Vec<u64>| kept.iter().filter_map(|i| p.get(*i).copied()).collect();
        let probes = probes.iter().map(pick).collect();
        (self.pieces, self.probes) = (joined, probes);
    }

    /// The sum.
    pub(super) fn finish(mut self) -> Snapshot {
        let unit = self.aggr_us.max(1);
        for piece in &mut self.pieces {
            // Whole intervals, the one that ends here not counted, as the kernel counts them.
            piece.lasted_us =
                if self.has_ages { (piece.lasted_us / unit).saturating_sub(1) } else { 0 };
        }
        self.join_neighbours();
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let regions = self.pieces.iter().map(|piece| Region {
            start: piece.start,
            end: piece.end,
            nr_accesses: narrow(piece.nr_accesses),
            age: narrow(piece.lasted_us),
        });
        Snapshot {
            target: self.target,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            sampling: Sampling {
                sample_us: self.sample_us,
                aggr_us: self.aggr_us,
                max_nr_accesses: narrow(self.max_nr_accesses).max(1),
            },
            has_ages: self.has_ages,
            regions: regions.collect(),
            probes: self
                .probes
                .iter()
                .map(|probe| probe.iter().copied().map(narrow).collect())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn add(group: &mut Option<Group>, snapshot: &Snapshot) {
        let starts: Vec<u64> = snapshot.regions.iter().map(|r| r.start).collect();
        let ends: Vec<u64> = snapshot.regions.iter().map(|r| r.end).collect();
        let nr: Vec<u32> = snapshot.regions.iter().map(|r| r.nr_accesses).collect();
        let ages: Vec<u32> = snapshot.regions.iter().map(|r| r.age).collect();
        let view = SnapshotView {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns,
            sampling: snapshot.sampling,
            starts: &starts,
            ends: &ends,
            nr_accesses: &nr,
            ages: snapshot.has_ages.then_some(&ages),
            probes: &snapshot.probes,
        };
        group.get_or_insert_with(|| Group::new(&view)).add(&view).unwrap();
    }

    fn snapshot(number: u64, regions: &[(u64, u64, u32, u32)]) -> Snapshot {
        let regions: Vec<Region> = regions
            .iter()
            .map(|&(start, end, nr_accesses, age)| Region { start, end, nr_accesses, age })
            .collect();
        let sampling = Sampling::from_intervals(5, 100);
        let probe = regions.iter().map(|r| r.nr_accesses / 2).collect();
        let (from, to) = (number * 100_000, (number + 1) * 100_000);
        let mut snapshot = Snapshot::new(TargetId(3), from, to, sampling, regions);
        snapshot.probes = vec![probe];
        snapshot
    }

    #[test]
    fn counts_add_up_between_all_borders() {
        let mut group = None;
        add(&mut group, &snapshot(0, &[(0, 10, 4, 9), (10, 30, 0, 50)]));
        add(&mut group, &snapshot(1, &[(0, 10, 4, 10), (20, 40, 6, 0)]));
        let sum = group.unwrap().finish();
        let regions: Vec<_> =
            sum.regions.iter().map(|r| (r.start, r.end, r.nr_accesses, r.age)).collect();
        // 10 + 1 old intervals of pattern are 5 whole new ones, the present one among them.
        assert_eq!(regions, [(0, 10, 8, 4), (10, 20, 0, 24), (20, 40, 6, 0)]);
        assert_eq!(sum.probes, [[4, 0, 3]]);
        assert_eq!(sum.sampling, Sampling { sample_us: 5, aggr_us: 200, max_nr_accesses: 40 });
        assert_eq!((sum.start_ns, sum.end_ns), (0, 200_000));
    }

    fn regions() -> impl Strategy<Value = Vec<(u64, u64, u32, u32)>> {
        prop::collection::vec((0_u64..12, 1_u64..12, 0_u32..4, 0_u32..30), 0..8).prop_map(|list| {
            let mut at = 0;
            list.into_iter()
                .map(|(gap, size, nr, age)| {
                    let start = at + gap;
                    at = start + size;
                    (start, at, nr, age)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_byte_keeps_its_samples(list in prop::collection::vec(regions(), 1..6)) {
            let mut group = None;
            let mut naive = [None::<(u32, u32)>; 256];
            for (number, regions) in (0..).zip(&list) {
                add(&mut group, &snapshot(number, regions));
                for &(start, end, nr, age) in regions {
                    for byte in start..end {
                        let cell = &mut naive[usize::try_from(byte).unwrap()];
                        *cell = Some((cell.map_or(0, |c| c.0) + nr, age));
                    }
                }
            }
            let sum = group.unwrap().finish();
            let count = u32::try_from(list.len()).unwrap();
            let mut found = [None::<(u32, u32)>; 256];
            for region in &sum.regions {
                for byte in region.start..region.end {
                    found[usize::try_from(byte).unwrap()] = Some((region.nr_accesses, region.age));
                }
            }
            let expected = naive.map(|c| c.map(|(nr, age)| (nr, ((age + 1) / count).saturating_sub(1))));
            prop_assert_eq!(found, expected);
            for pair in sum.regions.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            prop_assert_eq!(sum.probes[0].len(), sum.regions.len());
        }

        #[test]
        fn one_alone_stays_as_it_was(regions in regions()) {
            let only = snapshot(0, &regions);
            let mut group = None;
            add(&mut group, &only);
            let sum = group.unwrap().finish();
            let bytes = |s: &Snapshot| -> Vec<(u64, u32, u32)> {
                s.regions
                    .iter()
                    .flat_map(|r| (r.start..r.end).map(move |b| (b, r.nr_accesses, r.age)))
                    .collect()
            };
            prop_assert_eq!(bytes(&sum), bytes(&only));
        }
    }
}
