//! Schemes as people write them: access patterns in per cent and times.

use super::kernel::{self, Action, Bounds, Dest, Filter, Quota, Watermarks};
use crate::{Attrs, Sampling};

/// How often memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frequency {
    /// Of all samples, in parts of a per cent: see [`Frequency::PARTS_PER_PERCENT`].
    Percent(u64),
    /// Samples per aggregation; what it means depends on the intervals.
    Samples(u64),
    /// However often.
    Max,
}

impl Frequency {
    /// Resolution of [`Frequency::Percent`].
    pub const PARTS_PER_PERCENT: u64 = 1_000_000;

    /// Whole per cent.
    pub const fn percent(percent: u32) -> Self {
        Self::Percent(percent as u64 * Self::PARTS_PER_PERCENT)
    }

    /// Samples of `max_nr_accesses`, fractions dropped as damo and the kernel do: `pct * max / 100`.
    fn to_samples(self, max_nr_accesses: u64) -> u32 {
        let samples = match self {
            Self::Percent(parts) => {
                let whole = u128::from(Self::PARTS_PER_PERCENT) * 100;
                u128::from(parts) * u128::from(max_nr_accesses) / whole
            }
            Self::Samples(samples) => u128::from(samples),
            Self::Max => u128::MAX,
        };
        u32::try_from(samples).unwrap_or(u32::MAX)
    }
}

/// For how long memory has been accessed like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Age {
    /// Microseconds.
    Micros(u64),
    /// Aggregations; what it means depends on the aggregation interval.
    Aggregations(u64),
    /// However long.
    Max,
}

impl Age {
    /// Aggregations of `aggr_us`, fractions dropped: `time / aggr_us`.
    fn to_aggregations(self, aggr_us: u64) -> u32 {
        let aggregations = match self {
            Self::Micros(us) => us / aggr_us.max(1),
            Self::Aggregations(count) => count,
            Self::Max => u64::MAX,
        };
        u32::try_from(aggregations).unwrap_or(u32::MAX)
    }
}

/// One scheme. Everything but the access pattern is in the kernel's units already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// What is done.
    pub action: Action,
    /// Sizes of regions that match, bytes.
    pub sz: Bounds<u64>,
    /// Access frequencies that match.
    pub nr_accesses: Bounds<Frequency>,
    /// Ages that match.
    pub age: Bounds<Age>,
    /// How often it is done, microseconds; 0: at each aggregation.
    pub apply_interval_us: u64,
    /// How much of it is done.
    pub quota: Quota,
    /// When it is done at all.
    pub watermarks: Watermarks,
    /// What it is not done to. In order.
    pub filters: Vec<Filter>,
    /// Where pages are migrated to; -1: nowhere.
    pub target_nid: i32,
    /// Where pages are migrated to, if to several nodes.
    pub dests: Vec<Dest>,
    /// Ends after so many snapshots; 0: never.
    pub max_nr_snapshots: u64,
}

impl Scheme {
    /// `action` for everything, at each aggregation, without limits.
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            sz: Bounds::<u64>::ALL,
            nr_accesses: Bounds { min: Frequency::percent(0), max: Frequency::Max },
            age: Bounds { min: Age::Micros(0), max: Age::Max },
            apply_interval_us: 0,
            quota: Quota::NONE,
            watermarks: Watermarks::NONE,
            filters: Vec::new(),
            target_nid: -1,
            dests: Vec::new(),
            max_nr_snapshots: 0,
        }
    }

    /// The scheme in the kernel's units, for monitoring by `attrs`.
    ///
    /// Refuses bounds that no region can meet with these intervals.
    pub fn to_kernel(&self, attrs: &Attrs) -> Result<kernel::Scheme, UnitError> {
        if attrs.aggr_us == 0 {
            return Err(UnitError::NoAggregation);
        }
        let most = Sampling::from_intervals(attrs.sample_us, attrs.aggr_us).max_nr_accesses;
        let nr_accesses = Bounds {
            min: self.nr_accesses.min.to_samples(u64::from(most)),
            max: self.nr_accesses.max.to_samples(u64::from(most)),
        };
        if nr_accesses.min > most {
            return Err(UnitError::TooFrequent { min: nr_accesses.min, most });
        }
        let age = Bounds {
            min: self.age.min.to_aggregations(attrs.aggr_us),
            max: self.age.max.to_aggregations(attrs.aggr_us),
        };
        for (what, reversed) in [
            ("nr_accesses", nr_accesses.min > nr_accesses.max),
            ("age", age.min > age.max),
            ("sz_bytes", self.sz.min > self.sz.max),
        ] {
            if reversed {
                return Err(UnitError::Reversed(what));
            }
        }
        Ok(kernel::Scheme {
            action: self.action,
            sz: self.sz,
            nr_accesses,
            age,
            apply_interval_us: self.apply_interval_us,
            quota: self.quota.clone(),
            watermarks: self.watermarks,
            filters: self.filters.clone(),
            target_nid: self.target_nid,
            dests: self.dests.clone(),
            max_nr_snapshots: self.max_nr_snapshots,
        })
    }
}

/// Why a scheme means nothing with the intervals in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The aggregation interval is 0.
    #[error("the aggregation interval is 0: ages and frequencies have no unit")]
    NoAggregation,
    /// More samples than an aggregation has.
    #[error(
        "access_pattern.nr_accesses.min asks for {min} samples per aggregation, which has {most}: no \
         memory can match; write it in per cent, or sample more often"
    )]
    TooFrequent {
        /// What is asked for.
        min: u32,
        /// What there is.
        most: u32,
    },
    /// The lower bound lies above the upper one.
    #[error("access_pattern.{0}: with these intervals its min is greater than its max")]
    Reversed(&'static str),
}

/// Schemes in the order in which they are applied; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schemes(pub(super) Vec<Scheme>);

impl Schemes {
    /// `None` when there is no scheme.
    pub fn new(schemes: Vec<Scheme>) -> Option<Self> {
        (!schemes.is_empty()).then_some(Self(schemes))
    }

    /// All of them, in order.
    pub fn as_slice(&self) -> &[Scheme] {
        &self.0
    }

    /// All of them in the kernel's units, for monitoring by `attrs`; the error names the scheme.
    pub fn to_kernel(&self, attrs: &Attrs) -> Result<Vec<kernel::Scheme>, SchemesError> {
        let numbered = self.0.iter().enumerate();
        numbered
            .map(|(index, scheme)| {
                scheme.to_kernel(attrs).map_err(|error| SchemesError { index, error })
            })
            .collect()
    }
}

/// Which scheme means nothing, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schemes[{index}].{error}")]
pub struct SchemesError {
    /// Position in the list.
    pub index: usize,
    /// What is wrong.
    #[source]
    pub error: UnitError,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRS: Attrs = Attrs {
        sample_us: 5_000,
        aggr_us: 100_000,
        update_us: 1_000_000,
        min_nr_regions: 10,
        max_nr_regions: 1000,
    };

    fn pattern(
        nr: (Frequency, Frequency),
        age: (Age, Age),
    ) -> Result<(Bounds<u32>, Bounds<u32>), UnitError> {
        let mut scheme = Scheme::new(Action::Pageout);
        scheme.nr_accesses = Bounds { min: nr.0, max: nr.1 };
        scheme.age = Bounds { min: age.0, max: age.1 };
        scheme.to_kernel(&ATTRS).map(|scheme| (scheme.nr_accesses, scheme.age))
    }

    const ANY: (Frequency, Frequency) = (Frequency::Percent(0), Frequency::Max);
    const ALWAYS: (Age, Age) = (Age::Micros(0), Age::Max);

    #[test]
    fn per_cent_become_samples_and_times_become_aggregations() {
        let nr = |min, max| pattern((min, max), ALWAYS).map(|(nr, _)| (nr.min, nr.max));
        assert_eq!(nr(Frequency::percent(0), Frequency::percent(0)), Ok((0, 0)));
        assert_eq!(nr(Frequency::percent(5), Frequency::percent(100)), Ok((1, 20)));
        assert_eq!(nr(Frequency::percent(9), Frequency::percent(14)), Ok((1, 2)), "truncated");
        assert_eq!(nr(Frequency::Samples(3), Frequency::Max), Ok((3, u32::MAX)));
        let age = |min, max| pattern(ANY, (min, max)).map(|(_, age)| (age.min, age.max));
        assert_eq!(age(Age::Micros(120_000_000), Age::Max), Ok((1200, u32::MAX)));
        assert_eq!(age(Age::Micros(199_999), Age::Aggregations(7)), Ok((1, 7)));
        assert_eq!(age(Age::Micros(0), Age::Micros(u64::MAX - 1)), Ok((0, u32::MAX)));
    }

    #[test]
    fn what_no_region_can_meet_is_refused() {
        let too_many = pattern((Frequency::Samples(21), Frequency::Max), ALWAYS).unwrap_err();
        assert_eq!(too_many, UnitError::TooFrequent { min: 21, most: 20 });
        assert!(pattern((Frequency::percent(104), Frequency::Max), ALWAYS).is_ok());
        assert!(pattern((Frequency::percent(105), Frequency::Max), ALWAYS).is_err());
        let mixed = pattern((Frequency::Samples(3), Frequency::percent(10)), ALWAYS).unwrap_err();
        assert_eq!(mixed, UnitError::Reversed("nr_accesses"));
        let mixed = pattern(ANY, (Age::Aggregations(3), Age::Micros(200_000))).unwrap_err();
        assert_eq!(mixed, UnitError::Reversed("age"));
        let none = Attrs { aggr_us: 0, ..ATTRS };
        assert_eq!(
            Scheme::new(Action::Stat).to_kernel(&none).unwrap_err(),
            UnitError::NoAggregation
        );
    }

    #[test]
    fn the_error_names_the_scheme() {
        let mut second = Scheme::new(Action::Cold);
        second.nr_accesses.min = Frequency::Samples(100);
        let schemes = Schemes::new(vec![Scheme::new(Action::Stat), second]).unwrap();
        let error = schemes.to_kernel(&ATTRS).unwrap_err();
        assert_eq!(error.index, 1);
        assert!(error.to_string().starts_with("schemes[1].access_pattern.nr_accesses.min"));
        assert_eq!(Schemes::new(Vec::new()), None);
    }
}
