//! Histories of runs: read before comparing, added to afterwards.

use super::super::partial::save;
use crate::analysis::compare::{Comparison, History};
use crate::exit::Failure;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Reads a history. One that is not there or empty is no error: the first run of a pipeline has none.
pub(super) fn read(file: &Path, warnings: &mut Vec<String>) -> Result<Option<History>, Failure> {
    let name = file.display();
    let Some(bytes) = bytes(file)? else {
        warnings.push(format!(
            "{name}: there is no such history yet; how much runs vary is assumed (--run-noise)"
        ));
        return Ok(None);
    };
    let history = parse(file, &bytes)?;
    if history.entries.is_empty() {
        warnings.push(format!(
            "{name}: the history is empty; how much runs vary is assumed (--run-noise)"
        ));
        return Ok(None);
    }
    Ok(Some(history))
}

/// Whether it can be added to, before there is anything to add.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let bytes = bytes(file)?.unwrap_or_default();
    parse(file, &bytes).map(drop)
}

/// Adds the new side. Whoever reads meanwhile sees the history as it was or as it will be, and nothing else.
pub(super) fn append(file: &Path, found: &Comparison) -> Result<(), Failure> {
    let mut all = bytes(file)?.unwrap_or_default();
    parse(file, &all)?;
    if all.last().is_some_and(|last| *last != b'\n') {
        all.push(b'\n');
    }
    for entry in found.entries(&found.new) {
        serde_json::to_writer(&mut all, &entry)?;
        all.push(b'\n');
    }
    let mode = file.metadata().map_or(0o666, |there| there.permissions().mode() & 0o777);
    save(file, mode, &all)
}

fn bytes(file: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Input(format!("{}: cannot read: {error}", file.display()))),
    }
}

fn parse(file: &Path, bytes: &[u8]) -> Result<History, Failure> {
    let name = file.display();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        Failure::Input(format!("{name}: line {line}: no text: the history is damaged"))
    })?;
    History::parse(text).map_err(|error| {
        Failure::Input(format!("{name}: {error}; repair or remove that line of the history"))
    })
}
