//! One region of a snapshot with what follows from its counters.

use damon_format::SnapshotView;

/// A region as a snapshot shows it, with the scale of its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Positive samples.
    pub nr_accesses: u32,
    /// Of so many.
    pub max_nr_accesses: u32,
    /// Aggregations for which the pattern has persisted; `None` where that was not observed.
    pub age: Option<u32>,
    /// Aggregation interval in microseconds, the unit of `age`.
    pub aggr_us: u64,
}

impl Seen {
    /// Bytes from start to end.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Positive samples by samples; a sample more than there should be is possible.
    pub fn rate(&self) -> f64 {
        f64::from(self.nr_accesses) / f64::from(self.max_nr_accesses.max(1))
    }

    /// True without any positive sample.
    pub fn is_idle(&self) -> bool {
        self.nr_accesses == 0
    }

    /// Age in nanoseconds: `age` × aggregation interval.
    pub fn age_ns(&self) -> Option<u64> {
        self.age.map(|age| u64::from(age).saturating_mul(self.aggr_us.saturating_mul(1000)))
    }

    /// How long the pattern has persisted, with the aggregation that saw it: (`age` + 1) × aggregation interval, nanoseconds. For a
    /// region without accesses this is its idle time.
    pub fn lasted_ns(&self) -> Option<u64> {
        let lasted = |age| u64::from(age).saturating_add(1);
        self.age.map(|age| lasted(age).saturating_mul(self.aggr_us.saturating_mul(1000)))
    }
}

/// The regions of a snapshot.
pub fn seen<'a>(snapshot: &SnapshotView<'a>) -> impl Iterator<Item = Seen> + use<'a> {
    let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
    let (ages, sampling) = (snapshot.ages, snapshot.sampling);
    bounds.enumerate().map(move |(i, ((&start, &end), &nr_accesses))| Seen {
        start,
        end,
        nr_accesses,
        max_nr_accesses: sampling.max_nr_accesses,
        age: ages.and_then(|ages| ages.get(i).copied()),
        aggr_us: sampling.aggr_us,
    })
}
