//! The program as a process, and what it should say.

use std::collections::BTreeSet;
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

/// The most memory that this process has had, bytes.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
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
    assert!(
        expected == text,
        "{name} differs; look at the new text and, if it is right, run the tests with DAMON_BLESS=1\n\
         --- expected\n{expected}\n--- found\n{text}"
    );
}

/// A text with `--columns N` says the same as without, and what it folds is at most so wide.
pub fn assert_folded(whole: &str, narrow: &str, columns: usize) {
    let words = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(words(narrow), words(whole), "{columns}\n{narrow}");
    // Sentences are left to the terminal: they are the same lines in both.
    let known: BTreeSet<&str> = whole.lines().collect();
    let folded: Vec<&str> = narrow.lines().filter(|line| !known.contains(line)).collect();
    assert!(!folded.is_empty(), "{columns}: nothing was folded\n{narrow}");
    let widest = folded.iter().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| widest <= columns), "{columns}\n{narrow}");
}
