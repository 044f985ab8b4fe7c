//! The text that `perf script` prints of DAMON's tracepoint: a line for each region.

use super::{ExportError, Part};
use crate::analysis::walk::Event;
use damon_format::SnapshotView;
use std::io::{self, Write};

/// Writes what is selected as lines of `damon:damon_aggregated`, in the order of the trace.
///
/// A line has no start of its aggregation: readers take the end of the one before, and guess the first. Of a target that has
/// one snapshot only they could guess nothing, so that a second one follows as damo writes it: as long as the first, with the
/// single region `0-0: -1 -1`. Times have microseconds.
///
/// # Errors
/// When snapshots have no ages, which readers take for granted, and when the output fails.
pub fn perf_script(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let survey = part.survey;
    let without_ages = survey.without_ages();
    if without_ages > 0 {
        return Err(ExportError::Unsuitable(format!(
            "perf-script has an age in every line, and {without_ages} of {} snapshots were recorded without \
             ages: use --to damo, which can do without",
            survey.snapshots()
        )));
    }
    if survey.rows == 0 {
        return Err(ExportError::Unsuitable(
            "perf-script has a line for each region, and what is selected has none".to_owned(),
        ));
    }
    let mut sample_us = survey.targets().next().map(|t| t.sampling.sample_us);
    part.trace.walk(part.selection, |event| {
        let Event::Snapshot(snapshot) = event else { return Ok(()) };
        if sample_us.replace(snapshot.sampling.sample_us) != Some(snapshot.sampling.sample_us) {
            head(out, snapshot.end_ns)?;
            let interval = snapshot.sampling.sample_us;
            writeln!(out, "damon:damon_monitor_intervals_tune: sample_us={interval}")?;
        }
        lines(out, snapshot)?;
        let only = survey.target(snapshot.target).is_some_and(|t| t.snapshots - t.empty == 1);
        if only && !snapshot.is_empty() {
            let took = snapshot.end_ns.saturating_sub(snapshot.start_ns);
            head(out, snapshot.end_ns.saturating_add(took))?;
            writeln!(
                out,
                "damon:damon_aggregated: target_id={} nr_regions=1 0-0: -1 -1",
                snapshot.target
            )?;
        }
        Ok::<(), io::Error>(())
    })?;
    Ok(())
}

fn head(out: &mut dyn Write, time_ns: u64) -> io::Result<()> {
    let us = time_ns / 1000 + u64::from(time_ns % 1000 >= 500);
    write!(out, "kdamond.0     0 [000] {:>5}.{:06}: ", us / 1_000_000, us % 1_000_000)
}

fn lines(out: &mut dyn Write, snapshot: &SnapshotView<'_>) -> io::Result<()> {
    for region in snapshot.regions() {
        head(out, snapshot.end_ns)?;
        writeln!(
            out,
            "damon:damon_aggregated: target_id={} nr_regions={} {}-{}: {} {}",
            snapshot.target,
            snapshot.len(),
            region.start,
            region.end,
            region.nr_accesses,
            region.age
        )?;
    }
    Ok(())
}
