//! Boots a machine and keeps what its sections left.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The exit status of `scripts/vm/run` where QEMU, busybox or the kernel is missing.
const CANNOT_RUN: i32 = 77;

/// What every section may use, also in shells of its own.
const PRELUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/prelude.sh:/root/prelude.sh");

/// Whether a machine that cannot be had is a failure.
fn required() -> bool {
    std::env::var("DAMON_VM").as_deref() == Ok("require")
}

/// Runs a script by `scripts/vm/run`, with our programs in the machine. `None`, and a printed reason, where that
/// cannot be had and need not be.
pub(crate) fn boot(options: &[&str], script: &str) -> Option<Output> {
    boot_if(required(), options, script)
}

fn boot_if(required: bool, options: &[&str], script: &str) -> Option<Output> {
    // One at a time: each machine is busy for itself.
    static ALONE: Mutex<()> = Mutex::new(());
    if std::env::var("DAMON_VM").as_deref() == Ok("off") {
        println!("SKIP: DAMON_VM=off");
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("script");
    std::fs::write(&file, script).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_damon-record")).parent().unwrap();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/vm/run"))
        .arg("--programs")
        .arg(programs)
        .args(options)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code() == Some(CANNOT_RUN) {
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(!required, "{reason}");
        println!("SKIP: {}", reason.trim_end());
        return None;
    }
    Some(output)
}

/// A machine that is booted when somebody first asks for one of its sections.
#[derive(Debug)]
pub(crate) struct Machine {
    options: &'static [&'static str],
    sections: &'static [(&'static str, &'static str)],
    optional: bool,
    /// A directory below Cargo's for tests, of this machine's own name: nobody drops what is static, so it stays until the
    /// machine runs again.
    left: OnceLock<Option<PathBuf>>,
}

impl Machine {
    /// `options` of `scripts/vm/run`; `sections`: name and shell text of each.
    pub(crate) const fn new(
        options: &'static [&'static str],
        sections: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { options, sections, optional: false, left: OnceLock::new() }
    }

    /// The same, of a kernel that takes long to make: skipped where it is missing, even if machines are required.
    pub(crate) const fn optional(
        options: &'static [&'static str],
        sections: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { options, sections, optional: true, left: OnceLock::new() }
    }

    /// What a section left; `None` where no machine can be had.
    pub(crate) fn section(&self, name: &str) -> Option<Section> {
        let left = self.left.get_or_init(|| self.run()).as_ref()?;
        let dir = left.join(name);
        let text = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        let section = Section {
            status: text("status").trim().parse().unwrap_or_else(|_| panic!("{name} did not run")),
            stdout: text("stdout"),
            stderr: text("stderr"),
            dir,
        };
        println!("{name}: status {}\n{}{}", section.status, section.stdout, section.stderr);
        Some(section)
    }

    fn run(&self) -> Option<PathBuf> {
        let mut script = String::from("#!/bin/sh\n. /root/prelude.sh\n");
        for (name, text) in self.sections {
            write!(script, "section {name} <<'END OF SECTION'\n{text}\nEND OF SECTION\n").unwrap();
        }
        let left = self.directory();
        let bring = format!("/root/sections:{}", left.display());
        let options = [self.options, &["--add", PRELUDE, "--bring", &bring]].concat();
        let output = boot_if(required() && !self.optional, &options, &script)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?}: {}\n{said}", self.options, output.status);
        assert!(!said.contains("the kernel complained"), "{said}");
        Some(left)
    }

    /// Where its sections' files go: empty.
    fn directory(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (self.options, self.sections).hash(&mut hasher);
        let name = format!("vm-{:016x}", hasher.finish());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).unwrap();
        }
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }
}

/// What one section left.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    dir: PathBuf,
}

impl Section {
    /// A file from its working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Asserts that it ended well; returns it.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}
