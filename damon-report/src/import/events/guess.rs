//! What events do not tell: the intervals, and when the first aggregation of a target began.

use super::assemble::Assembled;
use crate::import::guess::{LOOKED_AT, Shown, USUAL_SAMPLES, median};
use damon_format::Sampling;

/// What the first snapshots of all targets show, those of each in the order of time.
pub(super) fn shown(held: &[&[Assembled]]) -> Shown {
    let mut shown = Shown::default();
    let (mut counts, mut first_us) = (Vec::new(), None);
    for snapshot in held.iter().copied().flatten() {
        let met = snapshot.regions.iter().map(|region| region.nr_accesses).max().unwrap_or(0);
        shown.largest = shown.largest.max(met);
        first_us = first_us.or(snapshot.counted_us);
        let Some(start_ns) = snapshot.start_ns else { continue };
        let lasted_us = snapshot.end_ns.saturating_sub(start_ns) / 1_000;
        match snapshot.counted_us {
            None => shown.durations_us.push(lasted_us),
            Some(us) => counts.push(lasted_us / us.max(1)),
        }
    }
    shown.tuned = median(&mut counts).zip(first_us);
    shown
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

/// Mean duration of the snapshots whose start is known, and how many these are.
pub(super) fn mean_duration(held: &[Assembled]) -> Option<(u64, u64)> {
    let (mut sum, mut count) = (0_u64, 0);
    for snapshot in held.iter().filter(|snapshot| snapshot.start_ns.is_some()).take(LOOKED_AT) {
        let start_ns = snapshot.start_ns.unwrap_or(snapshot.end_ns);
        sum = sum.saturating_add(snapshot.end_ns.saturating_sub(start_ns));
        count += 1;
    }
    (count > 0).then(|| (sum / count, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::ImportOptions;
    use crate::import::guess::intervals;
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
            intervals(&mut shown(&[held]), &options).sampling;
        (sample_us, aggr_us, max_nr_accesses)
    }

    #[test]
    fn a_snapshot_whose_begin_is_unknown_tells_no_duration() {
        assert_eq!(found(ImportOptions::default(), &held(&[], 3, None)), (5_000, 100_000, 20));
        let usual = held(&[103, 103, 103], 20, None);
        assert_eq!(found(ImportOptions::default(), &usual), (5_000, 100_000, 20));
    }

    #[test]
    fn tuned_intervals_tell_the_number_of_samples() {
        let mut tuned = held(&[2_000, 2_000], 3, None);
        tuned.extend(held(&[3_010, 3_020, 3_015], 3, Some(150_000)));
        let (sample_us, aggr_us, samples) = found(ImportOptions::default(), &tuned);
        assert_eq!(samples, 20);
        assert_eq!((sample_us, aggr_us), (100_000, 2_000_000));
        let guessed = Sampling::from_intervals(5_000, 2_000_000);
        assert_eq!(samples_after_tuning(guessed, 90_000, 2_003_000_000), Some(20));
        assert_eq!(samples_after_tuning(guessed, 9_000, 2_003_000_000), None);
    }
}
