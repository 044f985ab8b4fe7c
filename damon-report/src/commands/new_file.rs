//! Files that a command makes out of recordings: complete or not there, and never in the place of what they are made of.

use super::Streams;
use super::partial::Partial;
use crate::cli::Output;
use crate::exit::Failure;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where it goes.
#[derive(Debug)]
pub(super) struct NewFile<'a> {
    output: &'a Output,
    name: String,
}

impl<'a> NewFile<'a> {
    /// Refuses what must not be replaced, before any work is done.
    pub(super) fn new(output: &'a Output, inputs: &[&Path]) -> Result<Self, Failure> {
        let place = &output.output;
        if place.as_os_str() == "-" {
            return Ok(Self { output, name: "standard output".to_owned() });
        }
        let name = place.display().to_string();
        if inputs.iter().any(|input| same_file(input, place)) {
            return Err(Failure::Usage(format!(
                "{name} is the input itself, which is never changed: name another output"
            )));
        }
        if !output.force && place.symlink_metadata().is_ok() {
            return Err(Failure::Output(format!(
                "{name} exists already: name another output, or replace it with --force"
            )));
        }
        Ok(Self { output, name })
    }

    /// How people call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether standard output is free for words.
    pub(super) fn is_file(&self) -> bool {
        self.output.output.as_os_str() != "-"
    }

    /// Has it written; the file appears when `write` was successful. A failure of the output is [`Failure::Stdout`] in
    /// `write`, whatever the output is.
    pub(super) fn write<T>(
        &self,
        terminal: &mut Streams<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if !self.is_file() {
            let done = write(&mut *terminal.out)?;
            terminal.out.flush()?;
            return Ok(done);
        }
        let cannot =
            |error: io::Error| Failure::Output(format!("{}: cannot write: {error}", self.name));
        let (file, partial) = Partial::create(&self.output.output, 0o600).map_err(cannot)?;
        let mut file = BufWriter::with_capacity(1 << 16, file);
        let done = write(&mut file).map_err(|failure| match failure {
            Failure::Stdout(error) => cannot(error),
            failure => failure,
        })?;
        file.flush().map_err(cannot)?;
        partial.keep().map_err(cannot)?;
        Ok(done)
    }

    /// A line about the result, where it is in nobody's way.
    pub(super) fn say(&self, terminal: &mut Streams<'_>, line: &str) -> Result<(), Failure> {
        if self.is_file() {
            writeln!(terminal.out, "{}", super::words::clean(line))?;
        }
        Ok(())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) else {
        return false;
    };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
