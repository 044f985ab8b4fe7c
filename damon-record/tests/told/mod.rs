//! The bundled target as a process that does as it is told, line by line; each test binary adds what it asks of it.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses a part of this module"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) const TARGET: &str = env!("CARGO_BIN_EXE_damon-writes-target");

/// Killed when it is dropped.
pub(crate) struct Target {
    pub(crate) child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Target {
    pub(crate) fn start() -> Self {
        Self::start_program(Path::new(TARGET))
    }

    /// The same program under another name.
    pub(crate) fn start_program(program: &Path) -> Self {
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut target = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        assert_eq!(target.receive(), "ready");
        target
    }

    pub(crate) fn send(&mut self, command: &str) {
        // In one piece: the target may be in a bare read(2).
        self.input.write_all(format!("{command}\n").as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    pub(crate) fn receive(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the target died: {:?}", self.child.try_wait());
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        let answer = self.receive();
        assert!(!answer.starts_with("error"), "{command}: {answer}");
        answer
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn wait(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}
