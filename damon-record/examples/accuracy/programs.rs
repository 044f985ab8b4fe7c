//! Runs the recorder and the generator.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use damon_record::workload::spec::Spec;
use damon_record::workload::truth::Truth;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::judge::Recording;
use super::physical::Frames;

/// Niceness: the highest priority there is for usual programs.
const FAVOUR: &str = "-20";
/// A recorder of physical memory has begun after this time, and a generator has populated its areas after `PATIENCE`.
const HEAD_START: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// So long before its end a generator is asked once more where its pages are.
const BEFORE_THE_END: Duration = Duration::from_millis(300);

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `damon-record`.
    pub recorder: PathBuf,
    /// `damon-workload`.
    pub generator: PathBuf,
    /// Both may be preferred to whatever else runs on this machine.
    pub may_be_favoured: bool,
}

/// How the recorder is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// As `--backend` calls it.
    pub backend: String,
    /// Every page is looked at once a second, instead of one page per region every 5 ms.
    pub exact: bool,
    /// `--physical`: the whole machine, of which the generator's pages are judged.
    pub physical: bool,
    /// `--max-regions`.
    pub max_regions: u32,
}

impl Setup {
    /// For people: `writes, exact`.
    pub fn name(&self) -> String {
        let how = match (self.backend.as_str(), self.physical, self.exact) {
            (_, true, _) => ", paddr",
            ("damon", false, _) => ", vaddr",
            (_, false, true) => ", exact",
            (_, false, false) => "",
        };
        format!("{}{how}", self.backend)
    }

    /// Arguments of the recorder. The budget is out of the way: it would change intervals meanwhile.
    fn arguments(&self, seed: u64) -> Vec<String> {
        let mut words: Vec<String> = ["-q", "--force", "--budget", "100%", "--backend"]
            .into_iter()
            .map(String::from)
            .collect();
        words.push(self.backend.clone());
        words.extend(["--max-regions".into(), self.max_regions.to_string()]);
        words.extend(["--seed".into(), seed.to_string()]);
        if self.exact {
            words.extend(["--sample", "1s", "--aggr", "1s"].map(String::from));
        }
        if self.physical {
            words.push("--physical".into());
        }
        words
    }
}

/// A child that does not outlive its owner.
#[derive(Debug)]
struct Owned(Child);

impl Owned {
    /// Ends a recorder as a user would.
    fn interrupt(&mut self) -> Result<(), String> {
        let pid = i32::try_from(self.0.id()).map_err(|error| error.to_string())?;
        // One that has ended already says why below.
        let _ended = kill(Pid::from_raw(pid), Signal::SIGINT);
        let status = self.0.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        let mut words = Vec::new();
        if let Some(stderr) = &mut self.0.stderr {
            stderr.read_to_end(&mut words).map_err(|error| error.to_string())?;
        }
        Err(last_words(&words))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Programs {
    /// Both beside this program: `target/PROFILE/examples/damon-accuracy`.
    pub fn beside_this() -> Result<Self, String> {
        let this =
            std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
        let folder = this.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let program = |name: &str| {
            let path = folder.join(name);
            let help = "build it first: cargo build --release -p damon-record";
            path.exists()
                .then_some(path)
                .ok_or_else(|| format!("no {name} in {}: {help}", folder.display()))
        };
        let nice = Command::new("nice").args(["-n", FAVOUR, "true"]).output();
        Ok(Self {
            recorder: program("damon-record")?,
            generator: program("damon-workload")?,
            // Without the right to do so it warns, and goes on.
            may_be_favoured: nice.is_ok_and(|nice| nice.status.success() && nice.stderr.is_empty()),
        })
    }

    /// Starts a program before others on a busy machine, where that is permitted: how well the generator keeps
    /// its pace is not what is measured.
    fn favoured(&self, program: &Path) -> Command {
        if !self.may_be_favoured {
            return Command::new(program);
        }
        let mut command = Command::new("nice");
        command.args(["-n", FAVOUR]).arg(program);
        command
    }

    /// Why the recorder cannot use this backend here; nothing if it can.
    pub fn refusal(&self, setup: &Setup) -> Option<String> {
        let whom: &[&str] = if setup.physical { &[] } else { &["--", "sleep", "0.2"] };
        let output = Command::new(&self.recorder)
            .args(setup.arguments(1))
            .args(["-d", "50ms", "-o", "/dev/null"])
            .args(whom)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(last_words(&output.stderr)),
            Err(error) => Some(format!("{} cannot be started: {error}", self.recorder.display())),
        }
    }

    /// Records one run of a workload.
    pub fn record(
        &self,
        folder: &Path,
        workload: &str,
        setup: &Setup,
        seed: u64,
    ) -> Result<(Recording, Truth), String> {
        if setup.physical {
            return self.record_physical(folder, workload, setup, seed);
        }
        let path = |name: &str| folder.join(name);
        std::fs::write(path("workload.txt"), workload).map_err(|error| error.to_string())?;
        let output = self
            .favoured(&self.recorder)
            .args(setup.arguments(seed))
            .args(["-o", "recording.damon", "--"])
            .arg(&self.generator)
            .args(["workload.txt", "--truth", "truth.jsonl", "--seed", &seed.to_string()])
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(last_words(&output.stderr));
        }
        Ok((Recording::read(&path("recording.damon"))?, read_truth(&path("truth.jsonl"))?))
    }

    /// Records the machine while a workload runs, and says what that means for the workload's addresses.
    fn record_physical(
        &self,
        folder: &Path,
        workload: &str,
        setup: &Setup,
        seed: u64,
    ) -> Result<(Recording, Truth), String> {
        let spec = Spec::parse(workload).map_err(|error| error.to_string())?;
        let lasting = Duration::from_nanos(spec.phases.iter().map(|phase| phase.duration_ns).sum());
        let path = folder.join("physical.damon");
        let recorder = self
            .favoured(&self.recorder)
            .args(setup.arguments(seed))
            .arg("-o")
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut recorder = Owned(recorder);
        std::thread::sleep(HEAD_START);
        let (frames, truth) = self.run(folder, workload, seed, |pid| {
            let frames = frames_of(&folder.join("truth.jsonl"), pid)?;
            std::thread::sleep(lasting.saturating_sub(BEFORE_THE_END));
            match Frames::of_generator(&folder.join("truth.jsonl"), pid)? {
                Some(now) if now == frames => Ok(frames),
                _ => Err("the generator's pages have moved in physical memory".to_owned()),
            }
        })?;
        recorder.interrupt()?;
        Ok((Recording::read(&path)?.seen_by(&frames), truth))
    }

    /// Lets a workload run alone and then lets `meanwhile` do things to it, whose answer is returned with the
    /// workload's account.
    pub fn run<T>(
        &self,
        folder: &Path,
        workload: &str,
        seed: u64,
        meanwhile: impl FnOnce(u32) -> Result<T, String>,
    ) -> Result<(T, Truth), String> {
        let path = |name: &str| folder.join(name);
        std::fs::write(path("workload.txt"), workload).map_err(|error| error.to_string())?;
        // The account of an earlier run would be taken for that of this one.
        let _absent = std::fs::remove_file(path("truth.jsonl"));
        let child = self
            .favoured(&self.generator)
            .args(["workload.txt", "--truth", "truth.jsonl", "--seed", &seed.to_string()])
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut child = Owned(child);
        let answer = meanwhile(child.0.id())?;
        let status = child.0.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the generator ended with {status}"));
        }
        Ok((answer, read_truth(&path("truth.jsonl"))?))
    }

    /// Records a running process for a while.
    pub fn attach(
        &self,
        folder: &Path,
        pid: u32,
        setup: &Setup,
        lasting: Duration,
    ) -> Result<Recording, String> {
        let path = folder.join("attached.damon");
        let output = self
            .favoured(&self.recorder)
            .args(setup.arguments(1))
            .args(["-d", &format!("{}ms", lasting.as_millis()), "-o"])
            .arg(&path)
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(last_words(&output.stderr));
        }
        Recording::read(&path)
    }
}

/// Where the generator's pages are, as soon as they are somewhere.
fn frames_of(account: &Path, pid: u32) -> Result<Frames, String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(frames) = Frames::of_generator(account, pid)? {
            return Ok(frames);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("the generator has not populated its memory".into())
}

fn read_truth(path: &Path) -> Result<Truth, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Truth::read(BufReader::new(file)).map_err(|error| error.to_string())
}

/// The last line, without the program's name.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    line.trim_start_matches("damon-record: ").trim_start_matches("error: ").to_owned()
}
