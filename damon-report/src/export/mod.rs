//! A recording in the forms of other tools, written as a stream: nothing is held that grows with its length.
//!
//! A [`Survey`] looks first at what there is, so that what a form cannot hold is refused or named before anything is
//! written. `docs/EXPORT.md` describes the forms.

mod csv;
mod damo_json;
mod jsonl;
pub mod number;
#[cfg(feature = "parquet")]
mod parquet;
mod perf_script;
mod raw_form;
mod survey;

pub use csv::csv;
pub use damo_json::damo_json;
pub use jsonl::jsonl;
#[cfg(feature = "parquet")]
pub use parquet::parquet;
pub use perf_script::perf_script;
pub use raw_form::raw_form;
pub use survey::{Survey, TargetSurvey};

use crate::analysis::load::Trace;
use crate::analysis::select::Selection;
use std::io;

/// What is exported.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// Which part of it.
    pub selection: &'a Selection,
    /// What is in this part.
    pub survey: &'a Survey<'a>,
}

impl Part<'_> {
    /// The same for one target, in the time that its snapshots cover: forms that have one target after the other pass
    /// over the trace once for each.
    fn of(&self, target: &TargetSurvey) -> Selection {
        let mut one = self.selection.clone();
        one.targets = Some([target.target].into());
        one.time =
            one.time.start.max(target.start_ns)..one.time.end.min(target.end_ns.saturating_add(1));
        one
    }
}

/// Why something cannot be exported in the form asked for.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The form has no place for what is in the recording, or needs what is not; one sentence.
    #[error("{0}")]
    Unsuitable(String),
    /// The output failed.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}
