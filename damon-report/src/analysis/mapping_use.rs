//! How the memory of each mapping, file or kind of memory was used.

mod runs;

use super::fold::Fold;
use super::groups::{GroupBy, MappingId};
use super::layout::{Cursor, Layouts};
use super::load::Trace;
use super::num::float;
use super::observed::Observed;
use super::select::Selection;
use super::view::View;
use super::wss::ResidentSample;
use damon_format::SnapshotView;
use runs::{Counts, Now, runs};
use serde::Serialize;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseOptions {
    /// `nr_accesses` from which on a region counts as touched.
    pub threshold: u32,
    /// Idle time from which on memory counts as idle, nanoseconds.
    pub idle_ns: u64,
    /// How finely mappings are told apart.
    pub group_by: GroupBy,
}

/// How memory was used. Sizes are those that were *monitored*; means are over the time in which anything was (with several
/// processes: in which at least one was), so that a mapping that was there half of the time counts half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MemoryUse {
    /// Σ(rate · bytes · time), byte·nanoseconds.
    pub heat: f64,
    /// Mean access rate of the monitored bytes; 0 where there were none.
    pub rate: f64,
    /// Mean size, bytes.
    pub size: f64,
    /// Greatest size in one snapshot of one process, bytes.
    pub size_most: u64,
    /// Mean touched working set (an upper estimate), bytes.
    pub touched: f64,
    /// Greatest one of one snapshot of one process, bytes.
    pub touched_most: u64,
    /// Mean expected working set (a lower estimate), bytes.
    pub expected: f64,
    /// Greatest one of one snapshot of one process, bytes.
    pub expected_most: f64,
    /// Mean of the bytes that had been idle for long enough; absent where no ages were recorded.
    pub idle: Option<f64>,
}

/// Use of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupUse {
    /// What it is called for people, and by `--mapping`: [`MappingId::label`].
    pub label: String,
    /// Which one.
    #[serde(flatten)]
    pub group: MappingId,
    /// Its part of all heat, 0..1; 0 where there was none.
    pub heat_share: f64,
    /// Its use.
    #[serde(flatten)]
    pub used: MemoryUse,
}

/// Use of all groups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MappingUse {
    /// How finely mappings are told apart.
    pub group_by: GroupBy,
    /// `nr_accesses` from which on a region counts as touched.
    pub threshold: u32,
    /// Idle time from which on memory counts as idle, nanoseconds.
    pub idle_ns: u64,
    /// Time in which anything was monitored, nanoseconds.
    pub observed_ns: u64,
    /// Whether any mappings were recorded.
    pub has_mappings: bool,
    /// Groups of which anything was monitored, hottest first. Sizes, heat, touched, expected and idle bytes of all
    /// groups add up to the total.
    pub groups: Vec<GroupUse>,
    /// Everything.
    pub total: MemoryUse,
    /// Resident memory over time, which is known of whole processes only.
    pub resident: Vec<ResidentSample>,
}

impl View {
    /// How the mappings were used.
    pub fn mapping_use(&self, trace: &Trace, options: UseOptions) -> MappingUse {
        let layouts = Layouts::new(&self.overview.mappings, options.group_by);
        let sum = trace.fold(&self.selection, || UseSum::new(&self.selection, &layouts, options));
        let resident = self.resident();
        sum.finish(resident)
    }
}

/// Sums over time.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    heat: f64,
    size: f64,
    touched: f64,
    idle: f64,
    size_most: u64,
    touched_most: u64,
    expected_most: f64,
}

impl Sums {
    fn add(&mut self, now: &Now, scale: f64, time: f64) {
        let expected = now.expected(scale);
        self.heat += expected * time;
        self.size += float(now.size) * time;
        self.touched += float(now.touched) * time;
        self.idle += float(now.idle) * time;
        self.size_most = self.size_most.max(now.size);
        self.touched_most = self.touched_most.max(now.touched);
        self.expected_most = self.expected_most.max(expected);
    }

    fn merge(&mut self, later: &Self) {
        self.heat += later.heat;
        self.size += later.size;
        self.touched += later.touched;
        self.idle += later.idle;
        self.size_most = self.size_most.max(later.size_most);
        self.touched_most = self.touched_most.max(later.touched_most);
        self.expected_most = self.expected_most.max(later.expected_most);
    }

    fn over(&self, time: f64, has_ages: bool) -> MemoryUse {
        let mean = |sum: f64| if time > 0.0 { sum / time } else { 0.0 };
        MemoryUse {
            heat: self.heat,
            rate: if self.size > 0.0 { self.heat / self.size } else { 0.0 },
            size: mean(self.size),
            size_most: self.size_most,
            touched: mean(self.touched),
            touched_most: self.touched_most,
            expected: mean(self.heat),
            expected_most: self.expected_most,
            idle: has_ages.then(|| mean(self.idle)),
        }
    }
}

/// Sums up the use of groups.
#[derive(Debug)]
pub struct UseSum<'a> {
    options: UseOptions,
    selection: &'a Selection,
    layouts: &'a Layouts,
    cursor: Cursor<'a>,
    groups: Vec<Sums>,
    total: Sums,
    observed: Observed,
    has_ages: bool,
    lacks_ages: bool,
    /// Of the snapshot at hand, by group, and the groups that are in it.
    now: Vec<Now>,
    present: Vec<u32>,
}

impl<'a> UseSum<'a> {
    /// Nothing summed up yet.
    pub fn new(selection: &'a Selection, layouts: &'a Layouts, options: UseOptions) -> Self {
        let groups = layouts.groups().len();
        Self {
            options,
            selection,
            layouts,
            cursor: Cursor::new(layouts),
            groups: vec![Sums::default(); groups],
            total: Sums::default(),
            observed: Observed::default(),
            has_ages: false,
            lacks_ages: false,
            now: vec![Now::default(); groups],
            present: Vec::new(),
        }
    }

    /// The finished table.
    pub fn finish(self, resident: Vec<ResidentSample>) -> MappingUse {
        let time = float(self.observed.total_ns());
        let has_ages = self.has_ages && !self.lacks_ages;
        let total = self.total.over(time, has_ages);
        let mut groups: Vec<GroupUse> = self
            .layouts
            .groups()
            .iter()
            .zip(&self.groups)
            .filter(|(_, sums)| sums.size_most > 0)
            .map(|(group, sums)| GroupUse {
                label: group.label(),
                group: group.clone(),
                heat_share: if total.heat > 0.0 { sums.heat / total.heat } else { 0.0 },
                used: sums.over(time, has_ages),
            })
            .collect();
        groups.sort_by(|a, b| {
            let heat = b.used.heat.total_cmp(&a.used.heat);
            heat.then(b.used.size.total_cmp(&a.used.size)).then_with(|| a.group.cmp(&b.group))
        });
        MappingUse {
            group_by: self.options.group_by,
            threshold: self.options.threshold,
            idle_ns: self.options.idle_ns,
            observed_ns: self.observed.total_ns(),
            has_mappings: self.layouts.has_mappings(),
            groups,
            total,
            resident,
        }
    }
}

/// The least age, in aggregations, with which memory that is not accessed has been idle for long enough; see
/// [`idle`](super::idle) for idle times.
pub(super) fn idle_age(idle_ns: u64, aggr_us: u64) -> u32 {
    let aggregations = idle_ns.div_ceil(aggr_us.saturating_mul(1000).max(1));
    u32::try_from(aggregations.saturating_sub(1)).unwrap_or(u32::MAX)
}

impl Fold for UseSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let time = self.observed.add(&self.selection.time_of(snapshot));
        self.has_ages |= snapshot.ages.is_some();
        self.lacks_ages |= snapshot.ages.is_none();
        let slots = self.cursor.at(snapshot.target, snapshot.end_ns);
        let scale = 1.0 / float(u64::from(snapshot.sampling.max_nr_accesses.max(1)));
        let least_age = idle_age(self.options.idle_ns, snapshot.sampling.aggr_us);
        let counts = Counts { threshold: self.options.threshold, least_age };
        let (now, present) = (&mut self.now, &mut self.present);
        let give = |group: u32, run: &Now| {
            let Some(sum) = usize::try_from(group).ok().and_then(|group| now.get_mut(group)) else {
                return;
            };
            if sum.size == 0 {
                present.push(group);
            }
            sum.add(run);
        };
        let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
        let first = snapshot.starts.first().zip(snapshot.ends.last());
        let whole = first.is_some_and(|(&first, &last)| {
            self.selection.address.hold(snapshot.target, first, last)
        });
        match snapshot.ages {
            // The frequent cases of a long recording.
            Some(ages) if whole => {
                let rows = bounds.zip(ages);
                let row = |(((&start, &end), &accesses), &age)| (start..end, accesses, Some(age));
                runs(slots, rows.map(row), counts, give);
            }
            None if whole => {
                let row = |((&start, &end), &accesses)| (start..end, accesses, None);
                runs(slots, bounds.map(row), counts, give);
            }
            ages => {
                let rows = bounds.enumerate().flat_map(|(index, ((&start, &end), &accesses))| {
                    let age = ages.and_then(|ages| ages.get(index).copied());
                    let pieces = self.selection.pieces(snapshot.target, start, end);
                    pieces.map(move |piece| (piece, accesses, age))
                });
                runs(slots, rows, counts, give);
            }
        }
        let mut all = Now::default();
        for group in self.present.drain(..) {
            let Ok(group) = usize::try_from(group) else { continue };
            let (Some(now), Some(sums)) = (self.now.get_mut(group), self.groups.get_mut(group))
            else {
                continue;
            };
            let now = std::mem::take(now);
            sums.add(&now, scale, time);
            all.add(&now);
        }
        self.total.add(&all, scale, time);
    }

    fn merge(&mut self, later: Self) {
        for (sums, more) in self.groups.iter_mut().zip(&later.groups) {
            sums.merge(more);
        }
        self.total.merge(&later.total);
        self.observed.merge(&later.observed);
        self.has_ages |= later.has_ages;
        self.lacks_ages |= later.lacks_ages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_for_so_long_is_an_age() {
        // (age + 1) aggregations of 100 ms.
        assert_eq!(idle_age(10_000_000_000, 100_000), 99);
        assert_eq!(idle_age(10_000_000_001, 100_000), 100);
        assert_eq!(idle_age(0, 100_000), 0);
        assert_eq!(idle_age(u64::MAX, 0), u32::MAX);
    }
}
