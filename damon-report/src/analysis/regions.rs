//! The regions of one moment, hot and cold.

use super::load::Trace;
use super::mappings::{self, NamedRange};
use super::moment::CoveredMoment;
use super::num::{float, wide};
use super::pattern::Pattern;
use super::sampling_error::wilson;
use super::seen::Seen;
use super::select::{Moment, SelectError};
use super::temperature::Temperature;
use super::view::View;
use damon_format::{Snapshot, TargetId};
use serde::Serialize;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::ops::Range;

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By target, then ascending.
    #[default]
    Address,
    /// Hottest first.
    Temperature,
    /// Highest access rate first.
    Rate,
    /// Oldest first.
    Age,
    /// Largest first.
    Size,
}

/// What is asked about the regions of a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionOptions {
    /// Which regions become rows.
    pub pattern: Pattern,
    /// How their temperature is defined.
    pub temperature: Temperature,
    /// The order of the rows.
    pub order: Order,
    /// No more rows than this.
    pub top: Option<usize>,
    /// Every page was looked at: rates carry no sampling error.
    pub exact: bool,
}

/// A part of a region that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedBytes {
    /// Name of the mapping.
    pub name: String,
    /// Bytes of the region that it maps.
    pub bytes: u64,
}

/// One region, or a selected piece of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionRow {
    /// Whose address space.
    pub target: TargetId,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Bytes from start to end.
    pub size: u64,
    /// Positive samples.
    pub nr_accesses: u32,
    /// Of so many.
    pub max_nr_accesses: u32,
    /// Access rate: the one by the other.
    pub rate: f64,
    /// Lower end of the 95 % interval of the rate (Wilson); equal to it where every page was looked at.
    pub rate_low: f64,
    /// Upper end of that interval.
    pub rate_high: f64,
    /// Aggregations for which the pattern has persisted; null where that was not observed.
    pub age: Option<u32>,
    /// The same in nanoseconds: `age` × aggregation interval.
    pub age_ns: Option<u64>,
    /// See [`RegionTable::temperature`]; null where it rests on an age that is not known.
    pub temperature: Option<f64>,
    /// What is mapped there, largest part first.
    pub mappings: Vec<NamedBytes>,
}

/// Sums over all regions of the moment, whether they are rows or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RegionTotals {
    /// How many.
    pub regions: u64,
    /// Their bytes.
    pub monitored: u64,
    /// Bytes of those with at least one positive sample: the touched working set.
    pub hot: u64,
    /// Bytes of those without.
    pub cold: u64,
    /// Σ size × rate, bytes: the expected working set.
    pub expected: f64,
}

/// The regions of one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionTable {
    /// The moment, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// Begin of the earliest snapshot that covers it.
    pub start_ns: u64,
    /// End of the latest snapshot that covers it.
    pub end_ns: u64,
    /// How the temperature is defined; with `use-time` it is in nanoseconds.
    pub temperature: Temperature,
    /// Which regions became rows.
    pub pattern: Pattern,
    /// In which order.
    pub order: Order,
    /// All that match the pattern.
    pub matching: RegionTotals,
    /// Everything.
    pub total: RegionTotals,
    /// The rows: those that match, as many as were asked for.
    pub rows: Vec<RegionRow>,
}

/// The regions at a moment, by default the last complete one, and the moment itself.
pub fn regions(
    trace: &Trace,
    view: &View,
    asked: Option<&Moment>,
    options: &RegionOptions,
) -> Result<(RegionTable, CoveredMoment), SelectError> {
    let moment = CoveredMoment::find(trace, view, asked)?;
    Ok((table(&moment, view, options), moment))
}

fn table(moment: &CoveredMoment, view: &View, options: &RegionOptions) -> RegionTable {
    let mut rows = Vec::new();
    let (mut total, mut matching) = (Sum::default(), Sum::default());
    for snapshot in &moment.snapshots {
        let time = snapshot.start_ns..snapshot.end_ns;
        let names = mappings::names(&view.overview.mappings, snapshot.target, &time);
        for region in seen(snapshot) {
            let matches = options.pattern.matches(&region);
            let pieces = view.selection.pieces(snapshot.target, region.start, region.end);
            for piece in pieces {
                let size = piece.end - piece.start;
                total.add(&region, size);
                if matches {
                    matching.add(&region, size);
                    rows.push(row(snapshot.target, &region, piece, &names, options));
                }
            }
        }
    }
    sort(&mut rows, options.order);
    rows.truncate(options.top.unwrap_or(usize::MAX));
    RegionTable {
        time_ns: moment.time_ns,
        start_ns: moment.snapshots.iter().map(|s| s.start_ns).min().unwrap_or(moment.time_ns),
        end_ns: moment.snapshots.iter().map(|s| s.end_ns).max().unwrap_or(moment.time_ns),
        temperature: options.temperature,
        pattern: options.pattern,
        order: options.order,
        matching: matching.finish(),
        total: total.finish(),
        rows,
    }
}

fn row(
    target: TargetId,
    region: &Seen,
    piece: Range<u64>,
    names: &[NamedRange],
    options: &RegionOptions,
) -> RegionRow {
    let rate = region.rate();
    let sampled = wilson(region.nr_accesses, region.max_nr_accesses);
    let (low, high) = if options.exact { (rate, rate) } else { sampled };
    RegionRow {
        target,
        start: piece.start,
        end: piece.end,
        size: piece.end - piece.start,
        nr_accesses: region.nr_accesses,
        max_nr_accesses: region.max_nr_accesses,
        rate,
        rate_low: low,
        // A sample more than there should be is no reason for doubt.
        rate_high: high.max(rate),
        age: region.age,
        age_ns: region.age_ns(),
        temperature: options.temperature.of(region),
        mappings: named_bytes(names, piece.start, piece.end),
    }
}

/// The regions of a snapshot that is at hand.
pub(super) fn seen(snapshot: &Snapshot) -> impl Iterator<Item = Seen> + '_ {
    snapshot.regions.iter().map(|region| Seen {
        start: region.start,
        end: region.end,
        nr_accesses: region.nr_accesses,
        max_nr_accesses: snapshot.sampling.max_nr_accesses,
        age: snapshot.has_ages.then_some(region.age),
        aggr_us: snapshot.sampling.aggr_us,
    })
}

/// Sums that do not depend on the order.
#[derive(Default)]
struct Sum {
    totals: RegionTotals,
    /// Σ size × `nr_accesses` by `max_nr_accesses`.
    weighed: BTreeMap<u32, u128>,
}

impl Sum {
    fn add(&mut self, region: &Seen, bytes: u64) {
        let totals = &mut self.totals;
        totals.regions += 1;
        totals.monitored = totals.monitored.saturating_add(bytes);
        let kind = if region.is_idle() { &mut totals.cold } else { &mut totals.hot };
        *kind = kind.saturating_add(bytes);
        let sum = self.weighed.entry(region.max_nr_accesses.max(1)).or_default();
        *sum = sum.saturating_add(u128::from(bytes) * u128::from(region.nr_accesses));
    }

    fn finish(self) -> RegionTotals {
        let weighed = self.weighed.iter().map(|(n, sum)| wide(*sum) / f64::from(*n));
        // `sum` of nothing would be -0.
        let expected = weighed.fold(0.0, |all, part| all + part);
        RegionTotals { expected, ..self.totals }
    }
}

/// Names that overlap a range, with the bytes they name of it; `names` ascend and do not overlap.
fn named_bytes(names: &[NamedRange], start: u64, end: u64) -> Vec<NamedBytes> {
    let first = names.partition_point(|name| name.end <= start);
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for name in names.iter().skip(first).take_while(|name| name.start < end) {
        let bytes = name.end.min(end).saturating_sub(name.start.max(start));
        let sum = sums.entry(&name.name).or_default();
        *sum = sum.saturating_add(bytes);
    }
    let named = |(name, bytes): (&str, u64)| NamedBytes { name: name.to_owned(), bytes };
    let mut found: Vec<NamedBytes> = sums.into_iter().map(named).collect();
    found.sort_by_key(|name| Reverse(name.bytes));
    found
}

/// Puts rows into an order; what is not known comes last, and equals ascend by address.
fn sort(rows: &mut [RegionRow], order: Order) {
    let value = |row: &RegionRow| match order {
        Order::Address => None,
        Order::Temperature => row.temperature,
        Order::Rate => Some(row.rate),
        Order::Age => row.age_ns.map(float),
        Order::Size => Some(float(row.size)),
    };
    rows.sort_by(|a, b| {
        let by_value = match (value(a), value(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        by_value.then((a.target, a.start).cmp(&(b.target, b.start)))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: u64, size: u64, nr_accesses: u32, temperature: Option<f64>) -> RegionRow {
        RegionRow {
            target: TargetId(0),
            start,
            end: start + size,
            size,
            nr_accesses,
            max_nr_accesses: 20,
            rate: f64::from(nr_accesses) / 20.0,
            rate_low: 0.0,
            rate_high: 1.0,
            age: None,
            age_ns: None,
            temperature,
            mappings: Vec::new(),
        }
    }

    #[test]
    fn orders_are_total_and_the_unknown_comes_last() {
        let rows = [
            row(0, 10, 1, None),
            row(10, 30, 5, Some(-4.0)),
            row(40, 20, 5, Some(7.0)),
            row(60, 20, 0, Some(-4.0)),
        ];
        let starts = |order| {
            let mut rows = rows.to_vec();
            rows.reverse();
            sort(&mut rows, order);
            rows.iter().map(|row| row.start).collect::<Vec<_>>()
        };
        assert_eq!(starts(Order::Address), [0, 10, 40, 60]);
        assert_eq!(starts(Order::Temperature), [40, 10, 60, 0]);
        assert_eq!(starts(Order::Rate), [10, 40, 0, 60]);
        assert_eq!(starts(Order::Size), [10, 40, 60, 0]);
        assert_eq!(starts(Order::Age), [0, 10, 40, 60]);
    }

    #[test]
    fn nothing_is_not_less_than_zero() {
        assert!(Sum::default().finish().expected.is_sign_positive());
    }

    #[test]
    fn names_count_what_they_name() {
        let names = [(0, 10, "a"), (10, 30, "b"), (40, 50, "a"), (50, 60, "c")]
            .map(|(start, end, name)| NamedRange { start, end, name: name.to_owned() });
        let found = |start, end| {
            let list = named_bytes(&names, start, end);
            list.into_iter().map(|n| (n.name, n.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(found(5, 50), [("b".to_owned(), 20), ("a".to_owned(), 15)]);
        assert_eq!(found(30, 40), []);
        assert_eq!(found(0, 1), [("a".to_owned(), 1)]);
    }
}
