//! Attributes: validation, schedule lengths, and conversion of counters when they change.

use damon_format::Attrs;

/// Why attributes cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttrsError {
    /// Fewer than three regions could not even tell heap, mappings and stack apart.
    #[error("the minimum number of regions is {0}, but at least 3 are needed; raise --min-regions")]
    TooFewRegions(u32),
    /// Minimum and maximum contradict each other.
    #[error(
        "the minimum number of regions ({min}) is above the maximum ({max}); raise --max-regions or lower --min-regions"
    )]
    MinAboveMax {
        /// Requested minimum.
        min: u32,
        /// Requested maximum.
        max: u32,
    },
    /// So many regions would cost more than they tell.
    #[error(
        "the maximum number of regions is {0}, but at most 1048576 are possible; lower --max-regions"
    )]
    TooManyRegions(u32),
    /// An aggregation must hold one sample at least.
    #[error(
        "the sampling interval ({sample_us} us) is longer than the aggregation interval ({aggr_us} us); lower --sample or raise --aggr"
    )]
    SampleAboveAggregation {
        /// Requested sampling interval, microseconds.
        sample_us: u64,
        /// Requested aggregation interval, microseconds.
        aggr_us: u64,
    },
    /// The kernel takes 0 as "as fast as possible"; here it would be a busy loop.
    #[error("the sampling interval is 0; at least 1 us is needed, raise --sample")]
    NoSamplingInterval,
    /// A granule of 0 bytes has no multiples.
    #[error("the smallest region size is 0 bytes; give the page size")]
    NoGranule,
}

/// The engine's own bound, some 64 MiB of regions; the kernel has none.
const MOST_REGIONS: u32 = 1 << 20;

/// Refuses attributes that contradict themselves, by the kernel's rules, or would need a huge amount
/// of memory.
pub fn validate(attrs: &Attrs) -> Result<(), AttrsError> {
    let Attrs { sample_us, aggr_us, min_nr_regions: min, max_nr_regions: max, .. } = *attrs;
    if min < 3 {
        Err(AttrsError::TooFewRegions(min))
    } else if min > max {
        Err(AttrsError::MinAboveMax { min, max })
    } else if max > MOST_REGIONS {
        Err(AttrsError::TooManyRegions(max))
    } else if sample_us == 0 {
        Err(AttrsError::NoSamplingInterval)
    } else if sample_us > aggr_us {
        Err(AttrsError::SampleAboveAggregation { sample_us, aggr_us })
    } else {
        Ok(())
    }
}

/// How many sampling intervals fit into `interval_us`; the remainder is lost, as in the kernel.
pub(super) fn rounds(interval_us: u64, sample_us: u64) -> u64 {
    interval_us / sample_us.max(1)
}

/// The largest `nr_accesses` one aggregation can count; at least 1.
pub fn max_nr_accesses(attrs: &Attrs) -> u32 {
    let rounds = rounds(attrs.aggr_us, attrs.sample_us).max(1);
    u32::try_from(rounds).unwrap_or(u32::MAX)
}

/// `nr_accesses` on the scale of `old` expressed on the scale of `new`, through ten-thousandths and
/// truncated twice like the kernel.
pub fn rescale_nr_accesses(nr_accesses: u32, old: &Attrs, new: &Attrs) -> u32 {
    let share = u64::from(nr_accesses) * 10_000 / u64::from(max_nr_accesses(old));
    let scaled = u128::from(share) * u128::from(max_nr_accesses(new)) / 10_000;
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// `age` in aggregations of `old` expressed in aggregations of `new`.
pub fn rescale_age(age: u32, old: &Attrs, new: &Attrs) -> u32 {
    let scaled = u128::from(age) * u128::from(old.aggr_us) / u128::from(new.aggr_us.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(sample_us: u64, aggr_us: u64) -> Attrs {
        Attrs { sample_us, aggr_us, update_us: 1_000_000, min_nr_regions: 10, max_nr_regions: 1000 }
    }

    #[test]
    fn counters_are_converted_to_the_new_scale() {
        let old = attrs(10, 1000);
        let converted = |new| (rescale_nr_accesses(15, &old, &new), rescale_age(20, &old, &new));
        assert_eq!(converted(attrs(100, 10_000)), (15, 2));
        assert_eq!(converted(attrs(1, 1000)), (150, 20));
        assert_eq!(converted(attrs(1, 100)), (15, 200));
    }

    #[test]
    fn contradictions_are_refused() {
        let good = attrs(5_000, 100_000);
        assert_eq!(validate(&good), Ok(()));
        assert_eq!(
            validate(&Attrs { min_nr_regions: 2, ..good }),
            Err(AttrsError::TooFewRegions(2))
        );
        assert_eq!(
            validate(&Attrs { min_nr_regions: 1001, ..good }),
            Err(AttrsError::MinAboveMax { min: 1001, max: 1000 })
        );
        assert_eq!(
            validate(&Attrs { max_nr_regions: u32::MAX, ..good }),
            Err(AttrsError::TooManyRegions(u32::MAX))
        );
        assert_eq!(
            validate(&attrs(100_001, 100_000)),
            Err(AttrsError::SampleAboveAggregation { sample_us: 100_001, aggr_us: 100_000 })
        );
        assert_eq!(validate(&attrs(0, 100_000)), Err(AttrsError::NoSamplingInterval));
    }

    #[test]
    fn the_scale_is_at_least_one_and_fits_32_bits() {
        assert_eq!(max_nr_accesses(&attrs(5_000, 100_000)), 20);
        assert_eq!(max_nr_accesses(&attrs(30, 100)), 3);
        assert_eq!(max_nr_accesses(&attrs(0, 0)), 1);
        assert_eq!(max_nr_accesses(&attrs(1, u64::MAX)), u32::MAX);
    }

    #[test]
    fn extremes_saturate() {
        let (short, long) = (attrs(1, 1), attrs(1, u64::MAX));
        assert_eq!(rescale_nr_accesses(u32::MAX, &short, &long), u32::MAX);
        assert_eq!(rescale_age(u32::MAX, &long, &short), u32::MAX);
        assert_eq!(rescale_age(u32::MAX, &short, &long), 0);
    }
}
