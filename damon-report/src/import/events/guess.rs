//! What events do not tell: the intervals, and when the first aggregation of a target began.

use super::assemble::Assembled;
use crate::import::ImportOptions;
use damon_format::Sampling;

/// So many durations are looked at.
pub(super) const LOOKED_AT: usize = 16;
/// DAMON's default sampling interval.
const USUAL_SAMPLE_US: u64 = 5_000;
/// DAMON's default number of samples per aggregation.
const USUAL_SAMPLES: u64 = 20;

/// The intervals of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    /// At the begin.
    pub(super) sampling: Sampling,
    /// How they were found; `None` if all was known.
    pub(super) guess: Option<String>,
    /// The number of samples per aggregation rests on nothing but defaults.
    pub(super) is_bold: bool,
}

/// Finds the intervals in the first snapshots of all targets, those of each in the order of time.
pub(super) fn intervals(options: &ImportOptions, held: &[&[Assembled]]) -> Intervals {
    let (mut plain, mut counts) = (Vec::new(), Vec::new());
    let (mut most, mut first_us) = (0, None);
    for snapshot in held.iter().copied().flatten() {
        let met = snapshot.regions.iter().map(|region| region.nr_accesses).max().unwrap_or(0);
        most = most.max(u64::from(met));
        first_us = first_us.or(snapshot.counted_us);
        let Some(start_ns) = snapshot.start_ns else { continue };
        let lasted_us = snapshot.end_ns.saturating_sub(start_ns) / 1_000;
        match snapshot.counted_us {
            None => plain.push(lasted_us),
            Some(us) => counts.push(lasted_us / us.max(1)),
        }
    }
    let samples = median(&mut counts).map(|samples| samples.max(1));
    let lasted_us = median(&mut plain);
    if let (Some(sample_us), Some(aggr_us)) = (options.sample_us, options.aggr_us) {
        let sampling = Sampling::from_intervals(sample_us, aggr_us);
        return Intervals { sampling, guess: None, is_bold: false };
    }
    let aggr_us = options.aggr_us.or(lasted_us);
    let mut sample_us = options.sample_us.unwrap_or_else(|| match (samples, aggr_us, first_us) {
        (Some(samples), Some(aggr_us), _) => aggr_us / samples,
        (Some(_), None, Some(first_us)) => first_us,
        _ => USUAL_SAMPLE_US,
    });
    sample_us = sample_us.max(1);
    let mut aggr_us = aggr_us.unwrap_or(sample_us.saturating_mul(samples.unwrap_or(USUAL_SAMPLES)));
    if options.sample_us.is_none() {
        // Neither an interval longer than the aggregation nor more hits than looks (but for one) are possible.
        if sample_us > aggr_us {
            sample_us = (aggr_us / USUAL_SAMPLES).max(1);
        }
        if most > (aggr_us / sample_us).saturating_add(1) {
            sample_us = (aggr_us / most).max(1);
        }
        // The tuned intervals of DAMON_STAT and others are long, and keep the usual number of samples.
        if samples.is_none() && aggr_us / sample_us > 2 * USUAL_SAMPLES && most <= USUAL_SAMPLES + 1
        {
            sample_us = (aggr_us / USUAL_SAMPLES).max(1);
        }
    }
    if options.aggr_us.is_none() {
        // Sleeps never end early: a whole number of sampling intervals and the delay of waking up.
        aggr_us = (aggr_us - aggr_us % sample_us).max(sample_us);
    }
    let how = match (options.aggr_us, lasted_us, samples) {
        (Some(_), _, None) => "samples as DAMON's defaults and the counts of accesses suggest",
        (None, Some(_), None) => {
            "from the first snapshots' durations and counts of accesses, and DAMON's defaults"
        }
        (None, None, None) => "DAMON's defaults, for want of two snapshots in a row",
        (_, _, Some(_)) => "from the durations of the first snapshots and the tuned intervals",
    };
    let guess = format!(
        "the source does not tell its intervals; taken: {sample_us} us sampling, {aggr_us} us aggregation ({how}). \
         Rates and times of ages hang on them: tell them when importing if they are known"
    );
    let is_bold = samples.is_none() && options.sample_us.is_none();
    let mut sampling = Sampling::from_intervals(sample_us, aggr_us);
    if let Some(samples) = samples.filter(|_| options.aggr_us.is_none() && !is_bold) {
        sampling.max_nr_accesses =
            sampling.max_nr_accesses.max(u32::try_from(samples).unwrap_or(1));
    }
    Intervals { sampling, guess: Some(guess), is_bold }
}

/// Samples per aggregation where tuning shows that the guess was wrong: an interval changes to the half or the double
/// at most (`mm/damon/core.c`, `damon_get_intervals_adaptation_bp`).
pub(super) fn samples_after_tuning(
    guessed: Sampling,
    sample_us: u64,
    usual_ns: u64,
) -> Option<u32> {
    let (least, most) = (guessed.sample_us / 5 * 2, guessed.sample_us.saturating_mul(11) / 5);
    if usual_ns == 0 || (least..=most).contains(&sample_us) {
        return None;
    }
    let samples = usual_ns / 1_000 / sample_us.max(1);
    let usual = (USUAL_SAMPLES / 2..=USUAL_SAMPLES * 2).contains(&samples);
    let samples = if usual { USUAL_SAMPLES } else { samples.max(1) };
    Some(u32::try_from(samples).unwrap_or(u32::MAX))
}

/// Mean duration of the snapshots whose begin is known, and how many these are.
pub(super) fn mean_duration(held: &[Assembled]) -> Option<(u64, u64)> {
    let (mut sum, mut count) = (0_u64, 0);
    for snapshot in held.iter().filter(|snapshot| snapshot.start_ns.is_some()).take(LOOKED_AT) {
        let start_ns = snapshot.start_ns.unwrap_or(snapshot.end_ns);
        sum = sum.saturating_add(snapshot.end_ns.saturating_sub(start_ns));
        count += 1;
    }
    (count > 0).then(|| (sum / count, count))
}

fn median(values: &mut [u64]) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Region, TargetId};

    fn held(durations_ms: &[u64], nr_accesses: u32, counted_us: Option<u64>) -> Vec<Assembled> {
        let mut end_ns = 1_000_000_000_000;
        let region = Region { start: 0, end: 4096, nr_accesses, age: 0 };
        let mut held = vec![Assembled { target: TargetId(0), end_ns, ..Assembled::default() }];
        for ms in durations_ms {
            let start_ns = Some(end_ns);
            end_ns += ms * 1_000_000 + 370_000;
            held.push(Assembled {
                start_ns,
                end_ns,
                regions: vec![region],
                counted_us,
                ..Assembled::default()
            });
        }
        held
    }

    fn found(options: ImportOptions, held: &[Assembled]) -> (u64, u64, u32) {
        let Sampling { sample_us, aggr_us, max_nr_accesses } =
            intervals(&options, &[held]).sampling;
        (sample_us, aggr_us, max_nr_accesses)
    }

    #[test]
    fn intervals_come_from_the_user_then_the_durations_then_the_defaults() {
        let usual = held(&[100, 103, 900, 101, 100], 20, None);
        let none = ImportOptions::default();
        assert_eq!(found(none, &usual), (5_000, 100_000, 20));
        let known = ImportOptions { sample_us: Some(10_000), aggr_us: None };
        assert_eq!(found(known, &usual), (10_000, 100_000, 10));
        let known = ImportOptions { sample_us: None, aggr_us: Some(50_000) };
        assert_eq!(found(known, &usual), (2_500, 50_000, 20), "20 hits need 20 looks");
        let known = ImportOptions { sample_us: Some(1_000), aggr_us: Some(30_000) };
        assert_eq!(found(known, &usual), (1_000, 30_000, 30));
        assert_eq!(intervals(&known, &[&usual]).guess, None);
        assert_eq!(found(none, &held(&[], 0, None)), (5_000, 100_000, 20));
        let fine = held(&[2, 2, 2], 0, None);
        assert_eq!(found(none, &fine), (118, 2_360, 20), "sampled oftener than once");
        let long = [2_000, 2_000, 2_000];
        assert_eq!(found(none, &held(&long, 14, None)), (100_018, 2_000_360, 20));
        assert_eq!(found(none, &held(&long, 300, None)), (5_000, 2_000_000, 400));
    }

    #[test]
    fn tuned_intervals_tell_the_number_of_samples() {
        let mut tuned = held(&[2_000, 2_000], 3, None);
        tuned.extend(held(&[3_010, 3_020, 3_015], 3, Some(150_000)));
        let (sample_us, aggr_us, samples) = found(ImportOptions::default(), &tuned);
        assert_eq!(samples, 20);
        assert!((100_000..100_100).contains(&sample_us) && aggr_us / sample_us == 20);
        let guessed = Sampling::from_intervals(5_000, 2_000_000);
        assert_eq!(samples_after_tuning(guessed, 90_000, 2_003_000_000), Some(20));
        assert_eq!(samples_after_tuning(guessed, 9_000, 2_003_000_000), None);
    }
}
