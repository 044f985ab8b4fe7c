//! Who is wanted: asked now and then for the processes that are.

use super::resolve::{Resolved, TargetError, resolve};
use crate::plan::Wanted;
use crate::proc::{CgroupError, ProcRoot, find_cgroup, processes_below};
use std::path::{Path, PathBuf};

/// The kernel keeps this many bytes of a name (`TASK_COMM_LEN` without its zero).
const COMM_BYTES: usize = 15;

/// A process that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its pid.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
}

/// The wanted processes. A plain list of rules: who is recorded already is the caller's to know.
#[derive(Debug)]
pub struct Roster<'a> {
    proc: &'a ProcRoot,
    /// Processes named by number, as they were at the start; each once.
    named: Vec<Resolved>,
    cgroups: Vec<PathBuf>,
    comms: Vec<String>,
    me: u32,
}

/// Why somebody who is wanted cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// A process named by number.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A control group.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

impl<'a> Roster<'a> {
    /// Checks who is wanted. Every process named by number must be there; a control group may be missing
    /// only when it is waited for.
    pub fn new(proc: &'a ProcRoot, wanted: &Wanted, wait: bool) -> Result<Self, RosterError> {
        let mut named: Vec<Resolved> = Vec::new();
        for pid in &wanted.pids {
            let found = resolve(proc, *pid)?;
            if named.iter().all(|known| known.identity != found.identity) {
                named.push(found);
            }
        }
        for path in &wanted.cgroups {
            match find_cgroup(proc, path) {
                Ok(_) => {}
                Err(CgroupError::Nearest { .. } | CgroupError::Unknown { .. }) if wait => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            proc,
            named,
            cgroups: wanted.cgroups.clone(),
            comms: wanted.comms.clone(),
            me: std::process::id(),
        })
    }

    /// The processes named by number.
    pub fn named(&self) -> &[Resolved] {
        &self.named
    }

    /// Whether processes may become wanted that do not exist yet.
    pub fn is_open(&self) -> bool {
        !self.cgroups.is_empty() || !self.comms.is_empty()
    }

    /// Whether nobody can come any more: all control groups have been removed, and no name is waited for.
    pub fn is_closed(&self) -> bool {
        self.comms.is_empty()
            && self.cgroups.iter().all(|path| find_cgroup(self.proc, path).is_err())
    }

    /// In words, for a sentence.
    pub fn describe(&self) -> String {
        let cgroups =
            self.cgroups.iter().map(|path| format!("in the control group {}", path.display()));
        let comms = self.comms.iter().map(|name| format!("named {name}"));
        let named =
            self.named.iter().map(|found| format!("with the number {}", found.identity.pid));
        named.chain(cgroups).chain(comms).collect::<Vec<_>>().join(" or ")
    }

    /// All wanted processes that live, ascending, except those that are `known`; never this process, its
    /// helpers, or threads of the kernel.
    pub fn search(&self, known: impl Fn(u32) -> bool) -> Vec<Candidate> {
        let alive = self.named.iter().map(|found| found.identity);
        let mut pids: Vec<u32> = alive
            .filter(|identity| !known(identity.pid) && self.proc.is_alive(*identity))
            .map(|identity| identity.pid)
            .collect();
        for path in &self.cgroups {
            let groups = find_cgroup(self.proc, path).unwrap_or_default();
            pids.extend(groups.iter().filter_map(|group| processes_below(group)).flatten());
        }
        if !self.comms.is_empty() {
            let all = self.proc.processes().into_iter();
            pids.extend(all.filter(|pid| !known(*pid) && self.is_called(*pid)));
        }
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| !known(*pid));
        pids.into_iter().filter_map(|pid| self.candidate(pid)).collect()
    }

    fn candidate(&self, pid: u32) -> Option<Candidate> {
        let stat = self.proc.stat(pid).ok()?;
        let gone = stat.is_dead() && self.proc.memory_dir(pid).is_empty();
        // Our children are helpers.
        let ours = pid == self.me || stat.ppid == self.me;
        (!gone && !ours && !stat.is_kernel_thread()).then_some(Candidate { pid, parent: stat.ppid })
    }

    fn is_called(&self, pid: u32) -> bool {
        let Ok(comm) = self.proc.read(pid, "comm") else { return false };
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        self.comms.iter().any(|name| {
            let (name, shown) = (name.as_bytes(), name.as_bytes().get(..COMM_BYTES));
            match shown.filter(|_| name.len() > COMM_BYTES) {
                None => comm == name,
                Some(shown) => comm == shown && self.is_program(pid, name),
            }
        })
    }

    /// Whether the executable, or the script that it interprets, has this name.
    fn is_program(&self, pid: u32, name: &[u8]) -> bool {
        let is_name = |path: &Path| path.file_name().is_some_and(|n| n.as_encoded_bytes() == name);
        let exe = self.proc.exe(pid);
        is_name(Path::new(exe.strip_suffix(" (deleted)").unwrap_or(&exe)))
            || self.proc.read(pid, "cmdline").is_ok_and(|line| {
                let mut words = line.split(|byte| *byte == 0).take(2);
                words.any(|word| is_name(Path::new(&*String::from_utf8_lossy(word))))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root, stat_line};
    use std::path::Path;

    fn process(dir: &Path, pid: u32, comm: &str, parent: u32) {
        put(dir, &format!("{pid}/stat"), &stat_line(pid, comm, 'S', parent, u64::from(pid)));
        put(dir, &format!("{pid}/status"), &format!("Tgid:\t{pid}\n"));
        put(dir, &format!("{pid}/comm"), &format!("{comm}\n"));
        put(dir, &format!("{pid}/maps"), "");
    }

    fn wanted(pids: &[u32], cgroups: &[&str], comms: &[&str]) -> Wanted {
        Wanted {
            pids: pids.to_vec(),
            cgroups: cgroups.iter().map(PathBuf::from).collect(),
            comms: comms.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn pids(found: &[Candidate]) -> Vec<u32> {
        found.iter().map(|candidate| candidate.pid).collect()
    }

    #[test]
    fn names_are_compared_as_far_as_the_kernel_keeps_them() {
        let (dir, proc) = root();
        process(dir.path(), 5, "short", 1);
        process(dir.path(), 6, "a-rather-long-n", 1);
        put(dir.path(), "6/cmdline", "/bin/sh\0/opt/a-rather-long-name\0x\0");
        process(dir.path(), 7, "a-rather-long-n", 1);
        std::os::unix::fs::symlink("/opt/a-rather-long-nose", dir.path().join("7/exe")).unwrap();
        let search = |name| {
            let roster = Roster::new(&proc, &wanted(&[], &[], &[name]), false).unwrap();
            pids(&roster.search(|_| false))
        };
        assert_eq!(search("short"), [5]);
        assert!(search("shor").is_empty());
        assert_eq!(search("a-rather-long-name"), [6], "by its script");
        assert_eq!(search("a-rather-long-nose"), [7], "by its executable");
        assert_eq!(search("a-rather-long-n"), [6, 7], "as ps shows them");
    }

    #[test]
    fn the_recorder_its_helpers_and_the_kernel_are_never_wanted() {
        let (dir, proc) = root();
        let me = std::process::id();
        for (pid, parent) in [(5, 1), (me, 5), (9, me), (11, 5)] {
            process(dir.path(), pid, "x", parent);
        }
        process(dir.path(), 12, "x", 2);
        let kernel = stat_line(12, "x", 'S', 2, 1).replace("4194304", "2129984");
        put(dir.path(), "12/stat", &kernel);
        put(dir.path(), "13/stat", &stat_line(13, "x", 'Z', 5, 1));
        put(dir.path(), "13/comm", "x\n");
        let roster = Roster::new(&proc, &wanted(&[], &[], &["x"]), false).unwrap();
        assert_eq!(
            roster.search(|pid| pid == 5),
            [Candidate { pid: 11, parent: 5 }],
            "and not those that are known"
        );
    }

    #[test]
    fn a_process_named_twice_is_wanted_once_and_its_successor_not() {
        let (dir, proc) = root();
        process(dir.path(), 5, "x", 1);
        put(dir.path(), "6/stat", &stat_line(6, "thread", 'S', 1, 5));
        put(dir.path(), "6/status", "Tgid:\t5\n");
        let roster = Roster::new(&proc, &wanted(&[5, 6, 5], &[], &[]), false).unwrap();
        assert_eq!(roster.named().len(), 1);
        assert!(!roster.is_open());
        assert_eq!(pids(&roster.search(|_| false)), [5]);
        put(dir.path(), "5/stat", &stat_line(5, "x", 'S', 1, 999));
        assert!(roster.search(|_| false).is_empty(), "another life of the number");
        assert!(Roster::new(&proc, &wanted(&[5, 77], &[], &[]), false).is_err());
    }

    #[test]
    fn a_group_is_asked_each_time_and_may_be_waited_for() {
        let (dir, proc) = root();
        let mount = dir.path().join("memory");
        let line = format!("35 31 0:32 / {} rw - cgroup cgroup rw,memory\n", mount.display());
        put(dir.path(), "self/mountinfo", &line);
        put(dir.path(), "memory/cgroup.procs", "");
        process(dir.path(), 5, "x", 1);
        let wanted = wanted(&[], &["/a"], &[]);
        assert!(Roster::new(&proc, &wanted, false).is_err());
        let roster = Roster::new(&proc, &wanted, true).unwrap();
        assert!(roster.is_open() && roster.is_closed());
        put(dir.path(), "memory/a/b/cgroup.procs", "5\n");
        put(dir.path(), "memory/a/cgroup.procs", "");
        assert_eq!(pids(&roster.search(|_| false)), [5]);
        assert!(!roster.is_closed());
    }
}
