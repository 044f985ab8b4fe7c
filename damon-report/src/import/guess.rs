//! What a source does not say, taken from what it says.

use super::ImportOptions;
use damon_format::{Sampling, TargetKind};

/// Snapshots that are looked at before something is guessed.
pub(super) const LOOKED_AT: usize = 16;

/// Samples per aggregation with DAMON's default intervals.
pub(super) const USUAL_SAMPLES: u64 = 20;
/// DAMON's default sampling interval, microseconds.
const USUAL_SAMPLE_US: u64 = 5_000;
/// DAMON's default aggregation interval, microseconds.
const USUAL_AGGREGATION_US: u64 = 100_000;

/// The most memory that Linux maps with four levels of page tables (x86-64). Programs have their stacks above, and what is
/// loaded at random addresses.
const PHYSICAL_END: u64 = 1 << 46;

/// What [`target_kind`] rests on.
pub(super) const TARGET_KIND: &str = "whether a target is a process or physical memory is not in the input: with addresses \
                                      beyond 64 TiB it is taken for a process, without for physical memory";

/// What a target is whose highest address is this.
pub(super) fn target_kind(top: u64) -> TargetKind {
    if top > PHYSICAL_END { TargetKind::Process } else { TargetKind::Physical }
}

/// What the first snapshots show.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// How long those lasted whose intervals nobody had tuned, microseconds.
    pub(super) durations_us: Vec<u64>,
    /// The largest counter of accesses.
    pub(super) largest: u32,
    /// Samples per aggregation and a sampling interval (microseconds), where the kernel's tuning tells them.
    pub(super) tuned: Option<(u64, u64)>,
}

/// Intervals, and what they rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// Intervals and the scale of counters.
    pub(super) sampling: Sampling,
    /// What rests on what; `None` when nothing was guessed.
    pub(super) said: Option<String>,
    /// The number of samples per aggregation rests on nothing but defaults and the largest counter.
    pub(super) is_bold: bool,
}

/// The intervals, from the user, or else the aggregation interval from how long snapshots last, and the number of samples in it
/// from DAMON's default, unless a counter exceeds that: then from DAMON's default sampling interval, or at the least
/// as many as there were hits.
pub(super) fn intervals(shown: &mut Shown, options: &ImportOptions) -> Guess {
    let (aggr, sample) =
        (options.aggr_us.filter(|us| *us > 0), options.sample_us.filter(|us| *us > 0));
    let tuned = shown.tuned.map(|(samples, us)| (samples.max(1), us.max(1)));
    let median_us = median(&mut shown.durations_us).unwrap_or(0);
    let mut said = Vec::new();
    let mut aggr_us = match (aggr, sample, tuned) {
        (Some(us), _, _) => us,
        (None, sample, _) if median_us > 0 => {
            let round = rounded(median_us);
            sample.map_or(round, |us| round.saturating_sub(round % us).max(us))
        }
        (None, Some(us), _) => {
            us.saturating_mul(tuned.map_or(USUAL_SAMPLES, |(samples, _)| samples))
        }
        (None, None, Some((samples, us))) => us.saturating_mul(samples),
        (None, None, None) => USUAL_AGGREGATION_US,
    };
    if aggr.is_none() {
        let taken = milliseconds(aggr_us);
        said.push(match (median_us, sample, tuned) {
            (0, None, None) => {
                format!("an aggregation interval of {taken} ms is assumed, DAMON's default")
            }
            (0, _, _) => format!("an aggregation interval of {taken} ms is assumed"),
            _ => format!(
                "an aggregation interval of {taken} ms is guessed from the first {} snapshots, which last {} ms \
                 (median)",
                shown.durations_us.len(),
                milliseconds(median_us)
            ),
        });
    }
    // A counter may exceed the number of samples by one.
    let hits = u64::from(shown.largest.saturating_sub(1));
    let samples = match tuned {
        Some((samples, _)) => samples.max(hits),
        None if hits <= USUAL_SAMPLES => USUAL_SAMPLES,
        None => hits.max(aggr_us / USUAL_SAMPLE_US),
    };
    let sample_us = sample.unwrap_or_else(|| (aggr_us / samples).max(1));
    if sample.is_none() {
        let why = match tuned {
            Some(_) => "as the kernel's tuning shows",
            None if samples == USUAL_SAMPLES => "as with DAMON's defaults",
            None => "since counters exceed the usual 20",
        };
        said.push(format!(
            "a sampling interval of {} ms is assumed, {samples} samples per aggregation {why}",
            milliseconds(sample_us)
        ));
    }
    aggr_us = aggr_us.max(1);
    let mut sampling = Sampling::from_intervals(sample_us, aggr_us);
    if sample.is_none() && aggr_us >= samples {
        sampling.max_nr_accesses = u32::try_from(samples).unwrap_or(u32::MAX);
    }
    let said = (!said.is_empty()).then(|| {
        format!(
            "the input does not tell the intervals: {}; rates and times of ages hang on them, --sample and --aggr of \
             `damon-report import` give the right ones",
            said.join("; ")
        )
    });
    Guess { sampling, said, is_bold: tuned.is_none() && sample.is_none() }
}

/// Whether times of which that is not told are nanoseconds: snapshots then last as long as they should, by what the user or
/// the kernel's tuning says, or as with DAMON's defaults. Ticks and counters are off by far more than kernels are late.
///
/// # Errors
/// What speaks against it, and what to do; for people.
pub(super) fn check_nanoseconds(shown: &mut Shown, options: &ImportOptions) -> Result<(), String> {
    let asked_us =
        options.aggr_us.or_else(|| Some(options.sample_us?.saturating_mul(USUAL_SAMPLES)));
    let tuned = shown.tuned;
    let lasts_us = median(&mut shown.durations_us);
    let (is_right, should) = match (asked_us, tuned, lasts_us) {
        (Some(us), _, lasts_us) => {
            // Who says the interval knows that the kernel may be late.
            let is_right =
                |lasts| (us.saturating_sub(us / 10)..us.saturating_add(us / 2)).contains(&lasts);
            (lasts_us.is_none_or(is_right), format!("{} ms", milliseconds(us)))
        }
        (None, Some((samples, us)), _) => {
            let should = format!("{USUAL_SAMPLES} sampling intervals of {} ms", milliseconds(us));
            (near(samples, USUAL_SAMPLES), should)
        }
        (None, None, lasts_us) => {
            let usual = USUAL_AGGREGATION_US;
            let should = format!("{} ms, DAMON's default", milliseconds(usual));
            (lasts_us.is_some_and(|lasts| near(lasts, usual)), should)
        }
    };
    if is_right {
        return Ok(());
    }
    let found = match (lasts_us, tuned) {
        (_, Some((samples, _))) if asked_us.is_none() => format!("{samples} of these"),
        (Some(us), _) => format!("{} ms", milliseconds(us)),
        (None, _) => "unknown, since there are too few".to_owned(),
    };
    Err(format!(
        "its times are whole numbers of a clock that is not told: if they are nanoseconds, aggregations last {found} (should \
         be: {should}). If they are, as with the clock boot, `damon-report import` with the right --sample and --aggr takes \
         them; ticks and counters (x86-tsc, counter) are no times: record with trace-cmd record -C mono"
    ))
}

/// Rounded to so many digits; at least 1.
fn digits(value: u64, digits: u32) -> u64 {
    let most = 10_u64.saturating_pow(digits);
    let mut unit = 1_u64;
    while value / unit >= most {
        unit = unit.saturating_mul(10);
    }
    let rounded = value.saturating_add(unit / 2) / unit;
    rounded.saturating_mul(unit).max(1)
}

/// The middle one; of an even number the upper.
pub(super) fn median(values: &mut [u64]) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The aggregation interval that snapshots have which last so long, microseconds.
fn rounded(median_us: u64) -> u64 {
    if near(median_us, USUAL_AGGREGATION_US) {
        return USUAL_AGGREGATION_US;
    }
    // People set round intervals, and kernels are late by a little, never early. What they have tuned is not round.
    let round = digits(median_us, 2);
    let is_late = (median_us.saturating_sub(median_us / 32)..=median_us).contains(&round);
    if is_late { round } else { digits(median_us, 3) }
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

/// Whether a note of an imported recording says that its intervals were not told: then rates are as good as the guess.
pub fn are_intervals_guessed(note: &str) -> bool {
    let what = ["an aggregation interval of ", "a sampling interval of "];
    let how = [" is assumed", " is guessed"];
    what.iter().any(|what| note.contains(what)) && how.iter().any(|how| note.contains(how))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(durations_ms: &[u64], largest: u32, options: ImportOptions) -> (u64, u64, u32) {
        let Sampling { sample_us, aggr_us, max_nr_accesses } =
            guess(durations_ms, largest, options).sampling;
        (sample_us, aggr_us, max_nr_accesses)
    }

    fn guess(durations_ms: &[u64], largest: u32, options: ImportOptions) -> Guess {
        let durations_us = durations_ms.iter().map(|ms| ms * 1_000 + 370).collect();
        intervals(&mut Shown { durations_us, largest, tuned: None }, &options)
    }

    const NONE: ImportOptions = ImportOptions { sample_us: None, aggr_us: None };

    #[test]
    fn usual_intervals_are_found_in_late_snapshots() {
        let usual = guess(&[100, 104, 900, 101], 21, NONE);
        assert_eq!(usual.sampling, Sampling::from_intervals(5_000, 100_000));
        let said = usual.said.unwrap();
        assert!(said.contains("100 ms is guessed") && said.contains("104.37 ms"), "{said}");
        assert!(are_intervals_guessed(&said));
        assert_eq!(found(&[], 0, NONE), (5_000, 100_000, 20));
    }

    #[test]
    fn unusual_ones_are_round_if_late_and_have_as_many_samples_as_hits_need() {
        assert_eq!(found(&[2_013], 401, NONE), (5_000, 2_000_000, 400));
        assert_eq!(found(&[2_013], 300, NONE), (5_000, 2_000_000, 400));
        assert_eq!(found(&[2_013], 14, NONE), (100_000, 2_000_000, 20));
        assert_eq!(found(&[2], 0, NONE), (118, 2_370, 20));
        // As the kernel tunes: 257.846 ms and 5.157 s in truth.
        assert_eq!(found(&[5_160], 3, NONE), (258_000, 5_160_000, 20));
        assert_eq!(found(&[100], 101, NONE), (1_000, 100_000, 100));
    }

    #[test]
    fn who_knows_better_is_believed_and_nothing_is_said() {
        let options = |sample_us, aggr_us| ImportOptions { sample_us, aggr_us };
        assert_eq!(guess(&[100], 3, options(Some(1_000), Some(20_000))).said, None);
        assert_eq!(found(&[100], 3, options(Some(1_000), Some(20_000))), (1_000, 20_000, 20));
        let said = guess(&[], 3, options(None, Some(20_000))).said.unwrap();
        assert!(!said.contains("guessed") && said.contains("1 ms is assumed"), "{said}");
        assert_eq!(found(&[100], 20, options(Some(10_000), None)), (10_000, 100_000, 10));
        assert_eq!(found(&[], 20, options(Some(10_000), None)), (10_000, 200_000, 20));
        assert_eq!(found(&[100], 20, options(None, Some(50_000))), (2_500, 50_000, 20));
        // Nothing is no interval.
        assert_eq!(found(&[100], 3, options(Some(0), Some(0))), (5_000, 100_000, 20));
        assert_eq!(found(&[100], 3, options(Some(u64::MAX), Some(u64::MAX))).2, 1);
    }

    #[test]
    fn nanoseconds_are_what_lasts_as_long_as_it_should() {
        let check = |durations_ms: &[u64], tuned, options: ImportOptions| {
            let durations_us = durations_ms.iter().map(|ms| ms * 1_000 + 370).collect();
            check_nanoseconds(&mut Shown { durations_us, largest: 3, tuned }, &options)
        };
        assert_eq!(check(&[102, 101, 900], None, NONE), Ok(()));
        // 2.4 GHz; a counter of events; jiffies; nothing to see.
        for durations in [&[240, 243][..], &[0, 0], &[]] {
            let why = check(durations, None, NONE).unwrap_err();
            assert!(why.contains("100 ms, DAMON's default") && why.contains("-C mono"), "{why}");
        }
        assert!(check(&[240], None, NONE).unwrap_err().contains("last 240.37 ms"));
        let asked = ImportOptions { sample_us: None, aggr_us: Some(200_000) };
        assert_eq!(check(&[240], None, asked), Ok(()), "late");
        assert_eq!(check(&[], None, asked), Ok(()), "nothing speaks against it");
        assert!(check(&[480], None, asked).is_err() && check(&[100], None, asked).is_err());
        let sampled = ImportOptions { sample_us: Some(10_000), aggr_us: None };
        assert_eq!(check(&[204], None, sampled), Ok(()));
        // Tuned: 20 samples, and 48 at 2.4 GHz.
        assert_eq!(check(&[], Some((20, 7_500)), NONE), Ok(()));
        let why = check(&[], Some((48, 7_500)), NONE).unwrap_err();
        assert!(
            why.contains("last 48 of these (should be: 20 sampling intervals of 7.5 ms)"),
            "{why}"
        );
    }

    #[test]
    fn only_programs_have_the_highest_addresses() {
        assert_eq!(target_kind(0x5555_5555_5000), TargetKind::Process);
        assert_eq!(target_kind(64 << 40), TargetKind::Physical);
    }

    #[test]
    fn a_first_snapshot_lasts_as_long_as_the_others() {
        assert_eq!(first_start(&[1_000, 1_100, 1_300], None), 850);
        assert_eq!(first_start(&[500_000_000], None), 400_000_000);
        assert_eq!(first_start(&[5], None), 0);
        assert_eq!(first_start(&[], None), 0);
    }
}
