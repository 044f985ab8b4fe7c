//! How the programs ended that were recorded: one that crashed has not done the work that the others did.

use super::{Options, Recording};
use crate::analysis::info::ending;
use crate::analysis::overview::Overview;
use damon_format::Record;

/// The wait status of the command that was recorded, where the recorder was its parent and saw it end.
pub(super) fn wait_status(overview: &Overview) -> Option<i32> {
    overview.records.iter().find_map(|record| match record {
        Record::TargetExited(exited) => exited.wait_status,
        _ => None,
    })
}

/// Whether it says that something went wrong.
pub(super) fn is_failure(status: Option<i32>) -> bool {
    status.is_some_and(|status| status != 0)
}

/// Why nothing can be said of recordings of which some failed and others did not, or otherwise. Where all ended alike that is how this
/// program ends.
pub(super) fn unlike(
    all: &[&Recording],
    options: &Options,
    warnings: &mut Vec<String>,
) -> Option<String> {
    let ends: Vec<(&Recording, Option<i32>)> =
        all.iter().map(|run| (*run, wait_status(&run.view.overview))).collect();
    let (failed, status) = ends.iter().find(|(_, status)| is_failure(*status))?;
    let Some((other, otherwise)) = ends.iter().find(|(_, other)| other != status) else {
        warnings.push(format!("the program failed in all recordings: {}", words(*status)));
        return None;
    };
    let count = ends.iter().filter(|(_, status)| is_failure(*status)).count();
    let what = format!(
        "{count} of {} recorded programs failed, and not all ended alike: {} ({}), {} ({})",
        ends.len(),
        words(*status),
        failed.trace.name(),
        words(*otherwise),
        other.trace.name()
    );
    if options.allow_different {
        warnings.push(what);
        return None;
    }
    Some(format!(
        "{what}; record again what failed, or compare all the same with --allow-different"
    ))
}

fn words(status: Option<i32>) -> String {
    status.map_or_else(|| "a status that was not recorded".to_owned(), ending)
}
