//! What pictures have in common: titles, file names, writing.

use super::Streams;
use super::words::{access, duration};
use crate::analysis::heat::TargetName;
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::exit::Failure;
use crate::render::RenderError;
use std::fs;
use std::path::Path;

/// Kinds of pictures, told by the end of their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Svg,
}

impl Kind {
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => Err(Failure::Usage(format!(
                "{}: a picture's name must end in .png or .svg",
                path.display()
            ))),
        }
    }
}

/// Writes a finished picture, and says so when somebody may read it.
pub(super) fn write(path: &Path, bytes: &[u8], terminal: &mut Streams<'_>) -> Result<(), Failure> {
    fs::write(path, bytes)
        .map_err(|error| Failure::Output(format!("{}: cannot write: {error}", path.display())))?;
    writeln!(terminal.out, "{}", path.display())?;
    Ok(())
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Size { .. } => Self::Usage(error.to_string()),
            error => Self::Output(error.to_string()),
        }
    }
}

/// `work (pid 4711), 10 s`.
pub(super) fn title(view: &View) -> String {
    let names = view.overview.target_names();
    let shown: Vec<&TargetName> = names
        .iter()
        .filter(|name| view.overview.targets.iter().any(|t| t.target == name.target))
        .collect();
    let what = match shown.as_slice() {
        [] => "nothing".to_owned(),
        [one] if one.pid == 0 && one.comm.is_empty() => "physical memory".to_owned(),
        [one] => format!("{} (pid {})", one.comm, one.pid),
        [one, others @ ..] => {
            let s = if others.len() == 1 { "" } else { "es" };
            format!("{} (pid {}) and {} process{s}", one.comm, one.pid, others.len())
        }
    };
    let time = view.time();
    format!("{what}, {}", duration(float(time.end.saturating_sub(time.start))))
}

/// How it was recorded.
pub(super) fn subtitle(trace: &Trace, view: &View) -> String {
    let how = access(&trace.info().backend);
    let samplings = &view.overview.samplings;
    let aggregations = samplings.iter().map(|s| s.aggr_us);
    let samples = samplings.iter().map(|s| s.max_nr_accesses);
    let (Some(shortest), Some(longest)) = (aggregations.clone().min(), aggregations.max()) else {
        return how;
    };
    let (Some(fewest), Some(most)) = (samples.clone().min(), samples.max()) else {
        return how;
    };
    let interval = |us: u64| duration(float(us) * 1000.0);
    let or = |same: bool, text: String| {
        if same { String::new() } else { format!(" to {text}") }
    };
    format!(
        "{how}, {fewest}{} samples per {}{}",
        or(fewest == most, most.to_string()),
        interval(shortest),
        or(shortest == longest, interval(longest))
    )
}
