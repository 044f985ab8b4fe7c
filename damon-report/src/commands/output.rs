//! What all machine-readable output has in common.

use super::Streams;
use crate::analysis::load::Trace;
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
}

/// What the numbers rest on.
#[derive(Debug, Serialize)]
struct Access {
    kind: AccessKind,
    granularity: Granularity,
    exact: bool,
    backend: String,
}

impl Head {
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
            },
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
