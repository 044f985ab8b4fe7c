//! The text that damo's `report access --raw_form` prints.

use super::number::{size, time};
use super::{ExportError, Part};
use std::io::Write;

/// Writes what is selected in damo's raw form, one target after the other. An age that was not observed is -1, as there.
///
/// # Errors
/// When the output fails.
pub fn raw_form(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    for target in part.survey.targets() {
        let base = target.start_ns;
        writeln!(out, "base_time_absolute: {}\ndata source: unknown\n", time(base))?;
        part.trace.walk_snapshots(&part.of(target), |one| {
            let since = |moment: u64| time(moment.saturating_sub(base));
            writeln!(out, "monitoring_start:    {:>16}", since(one.start_ns))?;
            writeln!(out, "monitoring_end:      {:>16}", since(one.end_ns))?;
            let took = one.end_ns.saturating_sub(one.start_ns);
            writeln!(out, "monitoring_duration: {:>16}", time(took))?;
            writeln!(out, "target_id: {}\nnr_regions: {}", one.target, one.len())?;
            writeln!(out, "# start_addr     end_addr        length  nr_accesses   age")?;
            for region in one.regions() {
                let age = if one.ages.is_some() { i64::from(region.age) } else { -1 };
                writeln!(
                    out,
                    "{:012x}-{:012x} ({:>12}) {:>11} {age:>5}",
                    region.start,
                    region.end,
                    size(region.size()),
                    region.nr_accesses
                )?;
            }
            writeln!(out)
        })?;
    }
    Ok(())
}
