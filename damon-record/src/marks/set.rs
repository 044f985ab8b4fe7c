//! The other end: sets a mark in whatever recording listens.

use super::VARIABLE;
use super::text::printable;
use nix::errno::Errno;
use nix::libc;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why no mark was set.
#[derive(Debug, thiserror::Error)]
pub enum Unset {
    /// There is no recorder that would take it.
    #[error(
        "no mark was set, nobody records: {0}; run it as damon-record -- COMMAND, or name the FIFO of --marks with \
         --to; --if-recorded is content with that"
    )]
    NotRecorded(String),
    /// Nothing is left of the text.
    #[error("a mark needs a text: give a name for what begins now")]
    Blank,
    /// What is to be written to is something else.
    #[error("{} is no FIFO, and nothing was written to it: give the path of --marks", .0.display())]
    NoFifo(PathBuf),
    /// The recorder does not read fast enough, or at all.
    #[error(
        "no mark was set, {} is full: its recorder is stopped, or there are far too many marks",
        .0.display()
    )]
    Full(PathBuf),
    /// The system does not allow it.
    #[error("no mark was set, {} cannot be written: {source}; {hint}", path.display())]
    Refused {
        /// The FIFO.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
}

/// Sets the mark `text` through the FIFO `to`, or the one that the environment names. Never waits.
pub fn set(to: Option<&Path>, text: &[u8]) -> Result<(), Unset> {
    let one_line: Vec<u8> = text.iter().map(|b| if *b == b'\n' { b' ' } else { *b }).collect();
    let mut line = printable(&one_line).ok_or(Unset::Blank)?;
    line.push('\n');
    let named = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = to.map(Path::to_path_buf).or_else(named);
    let path = path.ok_or_else(|| Unset::NotRecorded(format!("{VARIABLE} is not set")))?;
    let opened =
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
    let mut fifo = match opened {
        Ok(file) if file.metadata().is_ok_and(|found| found.file_type().is_fifo()) => file,
        Ok(_) => return Err(Unset::NoFifo(path)),
        Err(error) => return Err(not_opened(path, error)),
    };
    // A line this short is written whole or not at all (PIPE_BUF).
    match fifo.write(line.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Unset::Full(path)),
        Err(error) => Err(not_opened(path, error)),
    }
}

fn not_opened(path: PathBuf, source: io::Error) -> Unset {
    let shown = path.display();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => Unset::NotRecorded(format!("there is no {shown}")),
        Some(Errno::ENXIO | Errno::EPIPE) => Unset::NotRecorded(format!("nobody reads {shown}")),
        Some(Errno::EISDIR) => Unset::NoFifo(path),
        Some(Errno::EACCES) => Unset::Refused {
            path,
            source,
            hint: "it is its maker's: make one that others may write to with mkfifo -m 622, and give it to --marks",
        },
        _ => Unset::Refused { path, source, hint: "give another path with --to" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Fifo;
    use std::io::Read as _;

    #[test]
    fn what_is_set_is_one_line_and_what_cannot_be_set_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marks");
        let none = set(Some(&path), b"x").unwrap_err();
        assert!(matches!(&none, Unset::NotRecorded(why) if why.contains("there is no")), "{none}");
        assert_eq!(none.to_string().lines().count(), 1, "{none}");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(set(Some(&path), b"x"), Err(Unset::NoFifo(_))));
        assert!(matches!(set(Some(dir.path()), b"x"), Err(Unset::NoFifo(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let none = set(Some(&path), b"x").unwrap_err();
        assert!(matches!(&none, Unset::NotRecorded(why) if why.contains("nobody reads")), "{none}");
        let fifo = Fifo::at(&path).unwrap();
        set(Some(&path), b" two\nlines\x07 ").unwrap();
        let mut line = [0; 64];
        let count = fifo.reader().unwrap().read(&mut line).unwrap();
        assert_eq!(&line[..count], "two lines\u{fffd}\n".as_bytes());
        assert!(matches!(set(Some(&path), b" \n "), Err(Unset::Blank)));
    }

    #[test]
    fn nobody_waits_for_a_recorder_that_does_not_read() {
        let fifo = Fifo::private().unwrap();
        let long = [b'x'; 200];
        let full = (0..100_000).find_map(|_| set(Some(fifo.path()), &long).err());
        assert!(matches!(full, Some(Unset::Full(_))), "{full:?}");
    }
}
