//! What the recording is written to.

use crate::exit::Failure;
use damon_format::WriteError;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// An open file or stream.
#[derive(Debug)]
pub enum Output {
    /// A file.
    File {
        /// Open for writing.
        file: File,
        /// Its name.
        path: PathBuf,
    },
    /// Standard output.
    Stdout(File),
}

impl Output {
    /// How people call it.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Stdout(_) => "standard output".into(),
        }
    }

    /// Bytes in the file; not known of a stream.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File { file, .. } => file.metadata().ok().map(|metadata| metadata.len()),
            Self::Stdout(_) => None,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } | Self::Stdout(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } | Self::Stdout(file) => file.flush(),
        }
    }
}

/// What the system said, in words where it means something to people who record.
pub(super) fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the limit for file sizes is reached (ulimit -f)".to_owned(),
        io::ErrorKind::BrokenPipe => "its reader has gone".to_owned(),
        io::ErrorKind::NotFound => "the directory is gone".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to write there".to_owned(),
        _ => error.to_string(),
    }
}

/// What a failed write means; `begun` when the head of the recording was written.
pub(super) fn write_failure(name: &str, begun: bool, error: &WriteError) -> Failure {
    let WriteError::Io(io) = error else {
        return Failure::Output(format!("{name}: {error}"));
    };
    let what = io_words(io);
    Failure::Output(if begun {
        format!(
            "stopped recording, {name} cannot be written: {what}; what was written before is a valid recording"
        )
    } else {
        format!("{name} cannot be written: {what}; nothing was recorded")
    })
}
