//! `export`: a recording in the form of another tool.

use super::new_file::NewFile;
use super::words::contents;
use super::{Streams, open};
use crate::cli::{ExportArgs, ExportForm};
use crate::exit::Failure;
use crate::export::{self, ExportError, Part, Survey};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

pub(super) fn run(args: &ExportArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let file = NewFile::new(&args.output, &[&args.file])?;
    let (trace, view) = open(&args.file, &args.part, terminal)?;
    let survey = Survey::read(&trace, &view.selection, &view.overview.records);
    let part = Part { trace: &trace, selection: &view.selection, survey: &survey };
    warnings(args.to, &part, terminal);
    file.write(terminal, |out| write(args.to, &part, out).map_err(failure))?;
    let of = contents(survey.snapshots(), survey.rows);
    file.say(terminal, &format!("{}: {of}", file.name()))
}

fn write(form: ExportForm, part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    match form {
        ExportForm::Damo => {
            // Small pieces are not worth a call of the compressor each.
            let compressor = ZlibEncoder::new(out, Compression::default());
            let mut buffer = std::io::BufWriter::with_capacity(1 << 16, compressor);
            export::damo_json(part, &mut buffer)?;
            let compressor = buffer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            compressor.finish()?;
            Ok(())
        }
        ExportForm::DamoJson => export::damo_json(part, out),
        ExportForm::PerfScript => export::perf_script(part, out),
        ExportForm::Csv => export::csv(part, out),
        ExportForm::Jsonl => export::jsonl(part, out),
        #[cfg(feature = "parquet")]
        ExportForm::Parquet => export::parquet(part, out),
    }
}

/// Says what the form has no place for.
fn warnings(form: ExportForm, part: &Part<'_>, terminal: &mut Streams<'_>) {
    let empty: u64 = part.survey.targets().map(|target| target.empty).sum();
    if empty > 0 && form.is_by_region() {
        terminal
            .say(&format!("warning: snapshots without regions have no line in this form: {empty}"));
    }
    if part.survey.without_ages() > 0 && form.is_damos() {
        terminal.say(
            "warning: there are snapshots without ages, and damo fails where it finds intervals but no ages: the \
             intervals of these targets are left out",
        );
    }
    let changes: u64 = part.survey.targets().map(|target| target.changes).sum();
    if changes > 0 && form.is_damos() {
        terminal.say(&format!(
            "warning: intervals changed {changes} times; damo's form has one pair of intervals for a target, those of \
             its first snapshot, so that percentages and ages of what came later are on another scale"
        ));
    }
}

fn failure(error: ExportError) -> Failure {
    match error {
        ExportError::Unsuitable(why) => Failure::Usage(why),
        ExportError::Write(error) => Failure::Stdout(error),
    }
}
