//! An owner in a process of its own, and the fake that it works on.

use damon_record::damon::fake::{Fake, Kernel};
use damon_record::sys::file_lock;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const OWNER: &str = env!("CARGO_BIN_EXE_damon-owner");
pub(crate) const LOCK: &str = "damon-record.lock";

/// A machine with DAMON that nobody uses.
pub(crate) struct Machine {
    dir: TempDir,
    pub(crate) fake: Fake,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::create(&dir.path().join("fake"), (6, 12)).unwrap();
        Self { dir, fake }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Kernel) -> T) -> T {
        self.fake.with(act).unwrap()
    }

    pub(crate) fn listing(&self) -> BTreeMap<String, String> {
        self.with(|kernel| kernel.listing())
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.path().join(LOCK)
    }

    /// Plain files that say what a kernel would say: `plain`, as `(path, text)`.
    pub(crate) fn plain_files(&self, files: &[(&str, &str)]) -> PathBuf {
        let root = self.dir.path().join("plain");
        for (path, text) in files {
            let path = root.join("kdamonds").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    /// Whether the lock file says that nothing is to be undone, and nobody is at work. Killed before it has
    /// done anything, an owner leaves one like that.
    pub(crate) fn lock_is_void(&self) -> bool {
        let Ok(file) = File::open(self.lock()) else { return true };
        let text = fs::read_to_string(self.lock()).unwrap_or_default();
        file_lock::try_exclusive(&file) == Ok(true)
            && (text.is_empty() || text.contains("\"phase\":\"nothing\""))
    }

    /// As the administrator or another tool.
    pub(crate) fn others(&self, writes: &[(&str, &str)]) {
        self.with(|kernel| {
            for (path, value) in writes {
                kernel.elsewhere(&format!("kdamonds/{path}"), value).unwrap();
            }
        });
    }

    /// Starts an owner of two processes that exist, in its own process group.
    pub(crate) fn owner(&self, options: &[&str]) -> Owner {
        self.owner_of("fake", options)
    }

    /// One that works on the plain files below `plain`, or on the `fake`.
    pub(crate) fn owner_of(&self, kind: &str, options: &[&str]) -> Owner {
        let path = |name: &str| self.dir.path().join(name);
        let pids = [std::process::id(), std::os::unix::process::parent_id()];
        let mut child = Command::new(OWNER)
            .arg(if kind == "fake" { "fake" } else { "root" })
            .args([path(kind), path("")])
            .args(pids.map(|pid| pid.to_string()))
            .arg("--")
            .args(options)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Owner { child, input, output }
    }

    /// One that is about to do what it is told.
    pub(crate) fn running(&self, options: &[&str]) -> Owner {
        let mut owner = self.owner(options);
        assert!(owner.says("running"), "it did not start");
        owner
    }

    /// Waits until nothing of an owner is left, and the tree is as `before`.
    pub(crate) fn wait_until_restored(&self, before: &BTreeMap<String, String>, whose: &str) {
        let restored = || {
            self.listing() == *before
                && self.with(|kernel| kernel.running.is_empty())
                && self.lock_is_void()
        };
        if !wait_until(restored) {
            let lock = fs::read_to_string(self.lock()).unwrap_or_default();
            panic!("{whose}: {:#?}\n{}", self.listing(), lock.trim());
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A guard that is just ending may still write: what gets a file meanwhile is not removed at the first attempt.
        let gone = || fs::remove_dir_all(self.dir.path()).is_ok() || !self.dir.path().exists();
        let _stays_if_somebody_writes_for_ever = wait_until(gone);
    }
}

pub(crate) struct Owner {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Owner {
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Reads up to a line that begins so; false when the output ends before it.
    pub(crate) fn says(&mut self, word: &str) -> bool {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if line.starts_with(word) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Tells it what to do; it may be dead.
    pub(crate) fn tell(&mut self, words: &str) {
        if let Some(input) = &mut self.input {
            let _dead = writeln!(input, "{words}");
        }
    }

    /// Has it do something.
    pub(crate) fn ask(&mut self, words: &str) {
        self.tell(words);
        assert!(self.says("done"), "{words}: it has failed");
    }

    /// Nothing more to do for it: it releases what it has and ends.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        drop(self.input.take());
        self.child.wait().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The guard, which is its only child.
    pub(crate) fn guard(&self) -> i32 {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        children.trim().parse().unwrap_or_else(|_none| panic!("children: {children:?}"))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _dead_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// True as soon as it is so; false when it is not for a long time.
pub(crate) fn wait_until(so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    so()
}

/// Whether the process has ended, be it a zombie.
pub(crate) fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}
