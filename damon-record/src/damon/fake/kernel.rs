//! What the kernel answers.

use super::node::{Dir, File, Kind, Node};
use super::running::RunningCopy;
use super::template::Builder;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A write by the program that is tested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Relative to the root.
    pub path: String,
    /// The value.
    pub value: String,
    /// What the program was told.
    pub errno: Option<i32>,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Writes to paths that end so fail.
    Write {
        /// End of the path.
        ends: String,
        /// With this.
        errno: i32,
        /// So often.
        times: u32,
    },
    /// Reads of paths that end so fail.
    Read {
        /// End of the path.
        ends: String,
        /// With this.
        errno: i32,
        /// So often.
        times: u32,
    },
    /// Writes to paths that end so are accepted and do nothing.
    Ignore {
        /// End of the path.
        ends: String,
    },
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// It was not done yet.
    Before,
    /// It was done, and nobody knows yet.
    After,
}

/// The state of everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kernel {
    release: (u32, u32),
    pub(super) root: Dir,
    pub(super) next_id: u64,
    next_tid: u32,
    /// Operations it is built with.
    pub operations: Vec<String>,
    /// kdamonds that run, by index.
    pub running: BTreeMap<u32, RunningCopy>,
    /// Processes that do not exist (any more); all others do.
    pub gone: BTreeSet<i32>,
    /// Reads and writes so far.
    pub operations_done: u64,
    /// Everything the program has written.
    pub log: Vec<Written>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The lock is held by somebody else for so many more operations that need it.
    pub busy: u32,
    /// A module monitors and shares with nobody.
    pub exclusive: bool,
    /// Threads end right after they were started.
    pub stops_at_once: bool,
    /// Statistics that the next update shows, by name.
    pub stats: BTreeMap<String, u64>,
    /// Intervals that tuning has arrived at: sampling and aggregation.
    pub tuned: Option<(u64, u64)>,
    /// The program is killed before, or after, the operation of this number.
    pub kill: Option<(u64, Moment)>,
    /// Accesses and age of each region, as schemes see them.
    pub counted: (u32, u32),
    /// What somebody else writes, and before which operation of ours.
    pub others: Vec<(u64, Vec<(String, String)>)>,
}

impl Kernel {
    /// A kernel of this release, as booted.
    pub fn new(release: (u32, u32)) -> Self {
        let operations: Vec<String> = ["vaddr", "fvaddr", "paddr"].map(str::to_owned).to_vec();
        let mut next_id = 1000;
        let root = Builder { release, operations: &operations, next_id: &mut next_id }.root();
        Self {
            release,
            root,
            next_id,
            next_tid: 7000,
            operations,
            running: BTreeMap::new(),
            gone: BTreeSet::new(),
            operations_done: 0,
            log: Vec::new(),
            faults: Vec::new(),
            busy: 0,
            exclusive: false,
            stops_at_once: false,
            stats: BTreeMap::new(),
            tuned: None,
            kill: None,
            counted: (0, 0),
            others: Vec::new(),
        }
    }

    /// Every file with its value.
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        self.root.listing("", &mut all);
        all
    }

    /// As somebody else: not in the log, and never busy.
    pub fn elsewhere(&mut self, path: &str, value: &str) -> Result<(), Errno> {
        self.store(path, value)
    }

    /// A kdamond stops by itself.
    pub fn stop(&mut self, index: u32) {
        self.running.remove(&index);
        for (name, value) in [("state", "off"), ("pid", "-1")] {
            if let Some(file) = self.root.file_mut(&format!("kdamonds/{index}/{name}")) {
                value.clone_into(&mut file.value);
            }
        }
    }

    pub(super) fn root_id(&self) -> u64 {
        self.root.id
    }

    /// `path` below the directory `at`, as a path from the root.
    pub(super) fn resolve(&self, at: u64, path: &str) -> Result<String, Errno> {
        let below = self.root.path_of(at).ok_or(Errno::ENOENT)?;
        Ok(match (below.is_empty(), path.is_empty()) {
            (true, _) => path.to_owned(),
            (false, true) => below,
            (false, false) => format!("{below}/{path}"),
        })
    }

    pub(super) fn id(&self, path: &str) -> Result<u64, Errno> {
        if path.is_empty() {
            return Ok(self.root.id);
        }
        match self.root.node(path).ok_or(Errno::ENOENT)? {
            Node::Dir(dir) => Ok(dir.id),
            Node::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let dir = if path.is_empty() { Some(&self.root) } else { self.root.dir(path) };
        Ok(dir.ok_or(Errno::ENOENT)?.entries.keys().cloned().collect())
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.root.node(path).is_some()
    }

    /// Time passes between two operations of the program, and somebody else may use it.
    pub(super) fn tick(&mut self) {
        self.operations_done += 1;
        let now = self.operations_done;
        let (due, later) =
            std::mem::take(&mut self.others).into_iter().partition(|(at, _)| *at <= now);
        self.others = later;
        let due: Vec<(u64, Vec<(String, String)>)> = due;
        for (path, value) in due.into_iter().flat_map(|(_, writes)| writes) {
            let _refused = self.elsewhere(&path, &value);
        }
    }

    /// Whether the program dies here.
    pub(super) fn kills(&self, moment: Moment) -> bool {
        self.kill == Some((self.operations_done, moment))
    }

    pub(super) fn read(&mut self, path: &str) -> Result<String, Errno> {
        if let Some(errno) = self.fault(path, false) {
            return Err(errno);
        }
        let file = self.root.file(path).ok_or(Errno::ENOENT)?;
        // Counts are read without the lock.
        if matches!(file.kind, Kind::State | Kind::Pid) && self.busy > 0 {
            self.busy -= 1;
            return Err(Errno::EBUSY);
        }
        Ok(format!("{}\n", file.value))
    }

    pub(super) fn write(&mut self, path: &str, value: &str) -> Result<(), Errno> {
        let result = self.write_unlogged(path, value);
        self.log.push(Written {
            path: path.to_owned(),
            value: value.to_owned(),
            errno: result.err().map(|errno| errno as i32),
        });
        result
    }

    fn write_unlogged(&mut self, path: &str, value: &str) -> Result<(), Errno> {
        if let Some(errno) = self.fault(path, true) {
            return Err(errno);
        }
        let file = self.root.file(path).ok_or(Errno::ENOENT)?;
        if file.kind.is_guarded() && self.busy > 0 {
            self.busy -= 1;
            return Err(Errno::EBUSY);
        }
        let ignored =
            |fault: &Fault| matches!(fault, Fault::Ignore { ends } if path.ends_with(ends));
        if self.faults.iter().any(ignored) {
            return Ok(());
        }
        self.store(path, value)
    }

    fn fault(&mut self, path: &str, write: bool) -> Option<Errno> {
        self.faults.iter_mut().find_map(|fault| {
            let (ends, errno, times) = match fault {
                Fault::Write { ends, errno, times } if write => (ends, errno, times),
                Fault::Read { ends, errno, times } if !write => (ends, errno, times),
                _ => return None,
            };
            if *times == 0 || !path.ends_with(ends.as_str()) {
                return None;
            }
            *times -= 1;
            Some(Errno::from_raw(*errno))
        })
    }

    fn store(&mut self, path: &str, value: &str) -> Result<(), Errno> {
        let value = value.trim_end_matches('\n');
        let file = self.root.file_mut(path).ok_or(Errno::ENOENT)?;
        let File { value: stored, kind } = file;
        let new = match kind {
            Kind::ReadOnly | Kind::Pid => return Err(Errno::EACCES),
            Kind::Number(most) => {
                value.parse::<u64>().ok().filter(|n| n <= most).ok_or(Errno::EINVAL)?.to_string()
            }
            Kind::Signed => value.parse::<i32>().map_err(|_not| Errno::EINVAL)?.to_string(),
            Kind::Flag => match value {
                "Y" | "y" | "1" | "on" => "Y".to_owned(),
                "N" | "n" | "0" | "off" => "N".to_owned(),
                _ => return Err(Errno::EINVAL),
            },
            Kind::Word(words) => {
                words.iter().find(|word| *word == value).ok_or(Errno::EINVAL)?.clone()
            }
            Kind::Path => value.to_owned(),
            Kind::Count(..) => return self.count(path, value),
            Kind::State => {
                let index = path.split('/').nth(1).and_then(|index| index.parse().ok());
                return self.command(index.ok_or(Errno::ENOENT)?, value);
            }
        };
        *stored = new;
        Ok(())
    }

    /// All directories of the kind are destroyed and made anew, also when their number stays.
    fn count(&mut self, path: &str, value: &str) -> Result<(), Errno> {
        let (parent, _) = path.rsplit_once('/').ok_or(Errno::EINVAL)?;
        let Some(Kind::Count(child, most)) = self.root.file(path).map(|file| file.kind.clone())
        else {
            return Err(Errno::EINVAL);
        };
        let count = value.parse::<u64>().ok().filter(|n| *n <= most).ok_or(Errno::EINVAL)?;
        if path == "kdamonds/nr_kdamonds" && !self.running.is_empty() {
            return Err(Errno::EBUSY);
        }
        let Self { release, operations, next_id, root, .. } = self;
        let mut builder = Builder { release: *release, operations, next_id };
        let dir = root.dir_mut(parent).ok_or(Errno::ENOENT)?;
        dir.entries.retain(|name, _| name.parse::<u64>().is_err());
        for index in 0..count {
            dir.entries.insert(index.to_string(), Node::Dir(builder.child(child)));
        }
        if let Some(file) = root.file_mut(path) {
            file.value = count.to_string();
        }
        Ok(())
    }

    /// A write to `state`.
    fn command(&mut self, index: u32, word: &str) -> Result<(), Errno> {
        let runs = self.running.contains_key(&index);
        match word {
            "on" if runs || self.exclusive => Err(Errno::EBUSY),
            "on" => self.start(index),
            "off" if runs => {
                self.stop(index);
                Ok(())
            }
            "off" => Err(if self.next_tid > 7000 { Errno::EPERM } else { Errno::EINVAL }),
            "commit"
            | "update_schemes_stats"
            | "update_schemes_tried_bytes"
            | "update_schemes_tried_regions"
            | "clear_schemes_tried_regions"
            | "commit_schemes_quota_goals"
            | "update_schemes_effective_quotas"
                if !runs =>
            {
                Err(Errno::EINVAL)
            }
            "commit" => self.commit(index),
            "update_schemes_stats" => {
                self.show_stats(index, "stats/");
                Ok(())
            }
            "update_schemes_effective_quotas" if self.release >= (6, 9) => {
                self.show_stats(index, "quotas/");
                Ok(())
            }
            "update_schemes_tried_bytes" if self.release >= (6, 6) => {
                self.show_stats(index, "tried_regions/");
                Ok(())
            }
            "update_schemes_tried_regions" if self.release >= (6, 2) => {
                self.try_regions(index);
                Ok(())
            }
            "update_tuned_intervals" if self.release >= (6, 15) && runs => {
                if let Some((sample, aggr)) = self.tuned {
                    let dir = format!("kdamonds/{index}/contexts/0/monitoring_attrs/intervals");
                    self.store(&format!("{dir}/sample_us"), &sample.to_string())?;
                    self.store(&format!("{dir}/aggr_us"), &aggr.to_string())?;
                }
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn configured(&self, index: u32, tid: u32) -> Result<RunningCopy, Errno> {
        let context =
            self.root.dir(&format!("kdamonds/{index}/contexts/0")).ok_or(Errno::EINVAL)?;
        RunningCopy::of(context, &self.operations, &self.gone, tid)
    }

    fn start(&mut self, index: u32) -> Result<(), Errno> {
        let copy = self.configured(index, self.next_tid + 1)?;
        self.next_tid += 1;
        if self.stops_at_once {
            return Ok(());
        }
        let tid = copy.tid.to_string();
        for (name, value) in [("state", "on"), ("pid", tid.as_str())] {
            let file = self.root.file_mut(&format!("kdamonds/{index}/{name}"));
            value.clone_into(&mut file.ok_or(Errno::ENOENT)?.value);
        }
        self.running.insert(index, copy);
        Ok(())
    }

    /// Before 6.15 nobody is told that a commit was refused, and the thread ends.
    fn commit(&mut self, index: u32) -> Result<(), Errno> {
        let configured = self.configured(index, 0);
        match (configured, self.running.get_mut(&index)) {
            (Ok(new), Some(copy)) => {
                copy.commit(new);
                Ok(())
            }
            (Err(errno), Some(_)) if self.release >= (6, 15) => Err(errno),
            (Err(_), Some(_)) => {
                self.stop(index);
                Ok(())
            }
            (_, None) => Err(Errno::EINVAL),
        }
    }

    fn show_stats(&mut self, index: u32, dir: &str) {
        let schemes = format!("kdamonds/{index}/contexts/0/schemes");
        for (name, value) in &self.stats {
            if !name.starts_with(dir) {
                continue;
            }
            for scheme in 0.. {
                match self.root.file_mut(&format!("{schemes}/{scheme}/{name}")) {
                    Some(file) => file.value = value.to_string(),
                    None => break,
                }
            }
        }
    }
}
