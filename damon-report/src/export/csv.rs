//! A table of regions as comma-separated values.

use super::{ExportError, Part};
use std::io::Write;

/// Writes a line for each region that is selected, in the order of the trace: the snapshot's target, times and scale, then the
/// region, its age (empty where not observed) and a column for each probe there is.
///
/// # Errors
/// When the output fails.
pub fn csv(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let probes = part.survey.probes;
    out.write_all(
        b"target,start_ns,end_ns,sample_us,aggr_us,max_nr_accesses,start,end,nr_accesses,age",
    )?;
    for probe in 0..probes {
        write!(out, ",probe_{probe}")?;
    }
    writeln!(out)?;
    let mut head = Vec::new();
    part.trace.walk_snapshots(part.selection, |snapshot| {
        let sampling = snapshot.sampling;
        head.clear();
        write!(
            head,
            "{},{},{},{},{},{},",
            snapshot.target,
            snapshot.start_ns,
            snapshot.end_ns,
            sampling.sample_us,
            sampling.aggr_us,
            sampling.max_nr_accesses
        )?;
        for (index, region) in snapshot.regions().enumerate() {
            out.write_all(&head)?;
            write!(out, "{},{},{},", region.start, region.end, region.nr_accesses)?;
            if snapshot.ages.is_some() {
                write!(out, "{}", region.age)?;
            }
            for probe in 0..probes {
                match snapshot.probes.get(probe).and_then(|probe| probe.get(index)) {
                    Some(value) => write!(out, ",{value}")?,
                    None => out.write_all(b",")?,
                }
            }
            writeln!(out)?;
        }
        Ok::<(), std::io::Error>(())
    })?;
    Ok(())
}
