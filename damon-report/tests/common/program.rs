//! The program as a process, and what it should say.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// How the program ended and what it said.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs it with so many threads.
pub fn run(args: &[&str], threads: &str) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_damon-report"))
        .args(args)
        .env("RAYON_NUM_THREADS", threads)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran::of(&output)
}

/// A directory that holds a trace, and its name.
pub fn bench(bytes: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("work.damon");
    fs::write(&path, bytes).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (directory, name)
}

/// Compares with `testdata/report/NAME`; `DAMON_BLESS=1` writes it anew.
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/report").join(name);
    if std::env::var_os("DAMON_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs\n--- expected\n{expected}\n--- found\n{text}");
}
