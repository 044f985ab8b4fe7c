//! What all machine-readable output has in common.

use super::Streams;
use crate::analysis::heat::TargetName;
use crate::analysis::load::Trace;
use crate::analysis::view::View;
use crate::analysis::wss::rounds_down;
use crate::exit::Failure;
use damon_format::{AccessKind, Granularity};
use serde::Serialize;

/// Version of all JSON output; new fields do not raise it, changed meanings do.
pub(super) const JSON_FORMAT: u32 = 1;

/// The head of every JSON document.
#[derive(Debug, Serialize)]
pub(super) struct Head {
    format: u32,
    report: &'static str,
    file: String,
    access: Access,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected: Option<Selected>,
}

/// What the numbers rest on.
#[derive(Debug, Serialize)]
struct Access {
    kind: AccessKind,
    granularity: Granularity,
    exact: bool,
    backend: String,
    /// Means of regions that were merged are rounded down.
    rounds_down: bool,
}

/// What of the recording was looked at: titles of texts and pictures, for programs.
#[derive(Debug, Serialize)]
struct Selected {
    start_ns: u64,
    end_ns: u64,
    /// Those that have snapshots in it.
    targets: Vec<TargetName>,
    /// Sampling intervals in it, microseconds.
    sample_us: Option<Extremes>,
    /// Aggregation intervals in it, microseconds.
    aggr_us: Option<Extremes>,
    /// Not told by the recording of another tool: rates are as good as the guess.
    intervals_guessed: bool,
}

#[derive(Debug, Serialize)]
struct Extremes {
    least: u64,
    most: u64,
}

impl Extremes {
    fn of(values: impl Iterator<Item = u64> + Clone) -> Option<Self> {
        Some(Self { least: values.clone().min()?, most: values.max()? })
    }
}

impl Head {
    /// Of what looks at a part of a recording.
    pub(super) fn of(report: &'static str, trace: &Trace, view: &View) -> Self {
        let (time, samplings) = (view.time(), view.overview.samplings.iter());
        let selected = Selected {
            start_ns: time.start,
            end_ns: time.end,
            targets: view.target_names(),
            sample_us: Extremes::of(samplings.clone().map(|s| s.sample_us)),
            aggr_us: Extremes::of(samplings.map(|s| s.aggr_us)),
            intervals_guessed: view.overview.has_guessed_intervals(),
        };
        Self { selected: Some(selected), ..Self::new(report, trace) }
    }

    /// Of what looks at all of a file.
    pub(super) fn new(report: &'static str, trace: &Trace) -> Self {
        let backend = &trace.info().backend;
        Self {
            format: JSON_FORMAT,
            report,
            file: trace.name().to_owned(),
            access: Access {
                kind: backend.access,
                granularity: backend.granularity,
                exact: backend.exact,
                backend: backend.name.clone(),
                rounds_down: rounds_down(backend),
            },
            selected: None,
        }
    }
}

/// Head and body in one object.
#[derive(Debug, Serialize)]
pub(super) struct Document<T> {
    #[serde(flatten)]
    pub(super) head: Head,
    #[serde(flatten)]
    pub(super) body: T,
}

/// Writes one JSON document and a line end.
pub(super) fn json(terminal: &mut Streams<'_>, value: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *terminal.out, value)?;
    writeln!(terminal.out)?;
    Ok(())
}
