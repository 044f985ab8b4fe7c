//! What a source does not say, taken from what it says.

use super::ImportOptions;
use damon_format::Sampling;

/// Snapshots that are looked at before something is guessed.
pub(super) const LOOKED_AT: usize = 16;

/// Samples per aggregation with DAMON's default intervals.
const USUAL_SAMPLES: u32 = 20;
/// DAMON's default aggregation interval, microseconds.
const USUAL_AGGREGATION_US: u64 = 100_000;

/// The scale of counters, from the user, or from how long snapshots last and the largest counter in them. The sentence says
/// what rests on what; `None` when nothing was guessed.
pub(super) fn sampling(
    durations_ns: &[u64],
    largest: u32,
    options: &ImportOptions,
) -> (Sampling, Option<String>) {
    let (mut aggr_us, median_us) = aggregation(durations_ns);
    let mut said = Vec::new();
    match options.aggr_us.filter(|us| *us > 0) {
        Some(us) => aggr_us = us,
        None if median_us == 0 => said.push(format!(
            "an aggregation interval of {} ms is assumed, DAMON's default",
            milliseconds(aggr_us)
        )),
        None => said.push(format!(
            "an aggregation interval of {} ms is guessed from the first {} snapshots, which last {} ms \
             (median)",
            milliseconds(aggr_us),
            durations_ns.len(),
            milliseconds(median_us)
        )),
    }
    let sample_us = options.sample_us.filter(|us| *us > 0).unwrap_or_else(|| {
        // A counter may exceed the number of samples by one.
        let samples = USUAL_SAMPLES.max(largest.saturating_sub(1)).max(1);
        let sample_us = (aggr_us / u64::from(samples)).max(1);
        said.push(format!(
            "a sampling interval of {} ms is assumed, {samples} samples per aggregation{}",
            milliseconds(sample_us),
            if samples == USUAL_SAMPLES { " as with DAMON's defaults" } else { "" }
        ));
        sample_us
    });
    let sentence = (!said.is_empty()).then(|| {
        format!(
            "the input does not tell the intervals: {}; --sample and --aggr of `damon-report import` \
             give the right ones",
            said.join("; ")
        )
    });
    (Sampling::from_intervals(sample_us, aggr_us), sentence)
}

/// The aggregation interval that snapshots of these durations have, and their median, microseconds.
fn aggregation(durations_ns: &[u64]) -> (u64, u64) {
    let mut sorted = durations_ns.to_vec();
    sorted.sort_unstable();
    let median_us = sorted.get(sorted.len() / 2).copied().unwrap_or(0) / 1_000;
    if median_us == 0 || near(median_us, USUAL_AGGREGATION_US) {
        return (USUAL_AGGREGATION_US, median_us);
    }
    // People set round intervals, and kernels are late by a little: two digits.
    let mut unit = 1_u64;
    while median_us / unit >= 100 {
        unit = unit.saturating_mul(10);
    }
    let rounded = median_us.saturating_add(unit / 2) / unit;
    (rounded.saturating_mul(unit).max(1), median_us)
}

/// Whether a snapshot of this length may be one of that aggregation interval: it lasts at most a tenth longer or
/// shorter.
pub(super) fn near(us: u64, nominal_us: u64) -> bool {
    us.abs_diff(nominal_us) < nominal_us / 10
}

/// Begin of a first snapshot, of which like of all others only the end is known: as long before its end as the
/// others last on average.
pub(super) fn first_start(ends_ns: &[u64], sampling: Option<Sampling>) -> u64 {
    let (Some(&first), Some(&last)) = (ends_ns.first(), ends_ns.last()) else {
        return 0;
    };
    let others = (ends_ns.len() as u64).saturating_sub(1);
    let lasts = last.saturating_sub(first).checked_div(others).unwrap_or_else(|| {
        sampling.map_or(USUAL_AGGREGATION_US, |s| s.aggr_us).saturating_mul(1_000)
    });
    first.saturating_sub(lasts)
}

fn milliseconds(us: u64) -> String {
    let text = format!("{}.{:03}", us / 1_000, us % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_intervals_are_found_in_late_snapshots() {
        let durations = [100_598_867, 104_000_000, 900_000_000, 101_234_567];
        let (scale, said) = sampling(&durations, 21, &ImportOptions::default());
        assert_eq!((scale.sample_us, scale.aggr_us), (5_000, 100_000));
        let said = said.unwrap();
        assert!(said.contains("100 ms is guessed") && said.contains("104 ms"), "{said}");
    }

    #[test]
    fn unusual_ones_are_rounded_to_two_digits() {
        let (scale, _) = sampling(&[2_013_456_789], 401, &ImportOptions::default());
        assert_eq!((scale.sample_us, scale.aggr_us), (5_000, 2_000_000));
        assert_eq!(scale.max_nr_accesses, 400);
    }

    #[test]
    fn who_knows_better_is_believed_and_nothing_is_said() {
        let options = ImportOptions { sample_us: Some(1_000), aggr_us: Some(20_000) };
        let (scale, said) = sampling(&[100_000_000], 3, &options);
        assert_eq!((scale.max_nr_accesses, said), (20, None));
        let options = ImportOptions { sample_us: None, aggr_us: Some(20_000) };
        let said = sampling(&[], 3, &options).1.unwrap();
        assert!(!said.contains("guessed") && said.contains("1 ms is assumed"), "{said}");
    }

    #[test]
    fn a_first_snapshot_lasts_as_long_as_the_others() {
        assert_eq!(first_start(&[1_000, 1_100, 1_300], None), 850);
        assert_eq!(first_start(&[500_000_000], None), 400_000_000);
        assert_eq!(first_start(&[5], None), 0);
        assert_eq!(first_start(&[], None), 0);
    }
}
