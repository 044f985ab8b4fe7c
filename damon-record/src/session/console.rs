//! Everything that is said on standard error.

use crate::plan::Verbosity;
use std::io::{self, IsTerminal as _, Write as _};

/// Standard error with a line that is redrawn. What cannot be written there is dropped: a closed
/// standard error is no reason to stop recording.
#[derive(Debug)]
pub struct Console {
    verbosity: Verbosity,
    live: bool,
    drawn: bool,
}

impl Console {
    /// A console that says as much as `verbosity` allows.
    pub fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            live: verbosity > Verbosity::Quiet && io::stderr().is_terminal(),
            drawn: false,
        }
    }

    /// Whether a status line makes sense.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// An error; always said.
    pub fn error(&mut self, text: &str) {
        self.line("damon-record: ", text);
    }

    /// A decision or a result.
    pub fn say(&mut self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.line("", text);
        }
    }

    /// What led to a decision.
    pub fn detail(&mut self, text: &str) {
        if self.verbosity > Verbosity::Normal {
            self.line("", text);
        }
    }

    /// A decision in few words, or in `many` for those who want to know more.
    pub fn say_or(&mut self, few: &[String], many: &str) {
        if self.verbosity > Verbosity::Normal {
            self.detail(many);
        } else {
            for text in few {
                self.say(text);
            }
        }
    }

    /// Replaces the status line.
    pub fn status(&mut self, text: &str) {
        if self.live {
            self.drawn = true;
            let _nobody_listens = write!(io::stderr().lock(), "\r\x1b[K{text}");
        }
    }

    /// Takes the status line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _nobody_listens = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn line(&mut self, prefix: &str, text: &str) {
        self.clear();
        let _nobody_listens = writeln!(io::stderr().lock(), "{prefix}{text}");
    }
}
