//! From a pid to a process that can be recorded, or one sentence why not.

use crate::proc::{Identity, ProcError, ProcRoot};

/// A process that can be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which life of the pid.
    pub identity: Identity,
    /// Command name.
    pub comm: String,
    /// Path of the executable; empty when it cannot be read.
    pub exe: String,
    /// The id it was asked for by, if that is one of its threads.
    pub thread: Option<u32>,
}

/// Why a pid cannot be recorded. Each text says what is and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing has this pid.
    #[error("there is no process {pid}; `ps -e` lists the running ones")]
    NoSuchProcess {
        /// The pid given.
        pid: u32,
    },
    /// It belongs to the kernel.
    #[error(
        "process {pid} ({comm}) is a thread of the kernel: it has no memory of its own to record"
    )]
    KernelThread {
        /// The pid given.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// It has exited.
    #[error(
        "process {pid} ({comm}) has exited and only waits for its parent {parent} to notice (zombie): there is nothing left to record"
    )]
    Zombie {
        /// The pid given.
        pid: u32,
        /// Its name.
        comm: String,
        /// Who has not waited for it.
        parent: u32,
    },
    /// It is this very process.
    #[error("process {pid} is damon-record itself; a recorder cannot observe itself")]
    Ourselves {
        /// The pid given.
        pid: u32,
    },
    /// It belongs to somebody else.
    #[error(
        "process {pid} ({comm}) belongs to user {owner} and you are user {us}: only its owner and root may look at its memory; try: sudo damon-record {pid}"
    )]
    NotOurs {
        /// The pid given.
        pid: u32,
        /// Its name.
        comm: String,
        /// Its user.
        owner: u32,
        /// Our user.
        us: u32,
    },
    /// It is ours and still closed to us.
    #[error(
        "process {pid} ({comm}) does not let its own user look at its memory (it is set-user-id, has capabilities, or has made itself undumpable); try: sudo damon-record {pid}"
    )]
    Protected {
        /// The pid given.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// It is closed to root too.
    #[error(
        "process {pid} ({comm}) does not let us look at its memory, although we are root: it has capabilities that we lack, or we lack CAP_SYS_PTRACE (containers drop it unless it is granted)"
    )]
    Closed {
        /// The pid given.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// `/proc` failed in another way.
    #[error("process {pid}: {source}")]
    Proc {
        /// The pid given.
        pid: u32,
        /// How.
        source: ProcError,
    },
}

/// Checks everything about `id` that can be seen without touching it. The id of a thread stands for its
/// process.
pub fn resolve(proc: &ProcRoot, id: u32) -> Result<Resolved, TargetError> {
    let process = proc.status(id).map_or(id, |status| status.tgid);
    if process == id || process == 0 {
        return resolve_process(proc, id);
    }
    Ok(Resolved { thread: Some(id), ..resolve_process(proc, process)? })
}

fn resolve_process(proc: &ProcRoot, pid: u32) -> Result<Resolved, TargetError> {
    if pid == std::process::id() {
        return Err(TargetError::Ourselves { pid });
    }
    let other = |source| match source {
        ProcError::Gone { .. } => TargetError::NoSuchProcess { pid },
        source => TargetError::Proc { pid, source },
    };
    let stat = proc.stat(pid).map_err(other)?;
    let status = proc.status(pid).map_err(other)?;
    let comm = stat.comm.clone();
    if stat.is_kernel_thread() {
        return Err(TargetError::KernelThread { pid, comm });
    }
    let memory = proc.memory_dir(pid);
    if stat.is_dead() && memory.is_empty() {
        return Err(TargetError::Zombie { pid, comm, parent: stat.ppid });
    }
    let us = nix::unistd::geteuid().as_raw();
    match proc.read(pid, &format!("{memory}maps")) {
        Ok(_) => {}
        Err(ProcError::Denied { .. }) => {
            return Err(denied(pid, comm, (status.uid, status.euid), us));
        }
        Err(source) => return Err(other(source)),
    }
    Ok(Resolved {
        identity: Identity { pid, start_ticks: stat.start_ticks },
        comm,
        exe: proc.exe(pid),
        thread: None,
    })
}

/// Why it is closed to user `us`: its users are the real and the effective one.
fn denied(pid: u32, comm: String, (owner, effective): (u32, u32), us: u32) -> TargetError {
    if us == 0 {
        // sudo would change nothing.
        TargetError::Closed { pid, comm }
    } else if (owner, effective) == (us, us) {
        TargetError::Protected { pid, comm }
    } else {
        TargetError::NotOurs { pid, comm, owner, us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root, stat_line};

    fn sentence(pid: u32, setup: impl FnOnce(&std::path::Path)) -> String {
        let (dir, proc) = root();
        setup(dir.path());
        resolve(&proc, pid).unwrap_err().to_string()
    }

    #[test]
    fn each_obstacle_has_its_sentence() {
        let text = sentence(5, |_| {});
        assert!(text.contains("no process 5"), "{text}");
        let text = sentence(2, |dir| {
            let line = stat_line(2, "kthreadd", 'S', 0, 1).replace("4194304", "2129984");
            put(dir, "2/stat", &line);
            put(dir, "2/status", "");
        });
        assert!(text.contains("thread of the kernel"), "{text}");
        let text = sentence(8, |dir| {
            put(dir, "8/stat", &stat_line(8, "x", 'Z', 4, 1));
            put(dir, "8/status", "Tgid:\t8\n");
        });
        assert!(text.contains("zombie") && text.contains("parent 4"), "{text}");
        let me = std::process::id();
        assert!(sentence(me, |_| {}).contains("itself"));
    }

    #[test]
    fn a_living_process_has_an_identity() {
        let (dir, proc) = root();
        put(dir.path(), "8/stat", &stat_line(8, "a b", 'R', 4, 321));
        put(dir.path(), "8/status", "Tgid:\t8\n");
        put(dir.path(), "8/maps", "");
        let found = resolve(&proc, 8).unwrap();
        assert_eq!(found.identity, Identity { pid: 8, start_ticks: 321 });
        assert_eq!((found.comm.as_str(), found.thread), ("a b", None));
    }

    #[test]
    fn a_thread_stands_for_its_process() {
        let (dir, proc) = root();
        put(dir.path(), "6/stat", &stat_line(6, "worker", 'S', 4, 400));
        put(dir.path(), "6/status", "Tgid:\t5\n");
        put(dir.path(), "5/stat", &stat_line(5, "leader", 'S', 4, 321));
        put(dir.path(), "5/status", "Tgid:\t5\n");
        put(dir.path(), "5/maps", "");
        let found = resolve(&proc, 6).unwrap();
        assert_eq!(found.identity, Identity { pid: 5, start_ticks: 321 });
        assert_eq!((found.comm.as_str(), found.thread), ("leader", Some(6)));
    }

    #[test]
    fn who_is_root_is_not_told_to_become_root() {
        let text = |users, us| denied(7, "x".into(), users, us).to_string();
        assert!(text((5, 5), 5).contains("its own user") && text((5, 5), 5).contains("sudo"));
        assert!(text((0, 0), 5).contains("belongs to user 0"));
        // A program with the rights of somebody else.
        assert!(text((5, 0), 5).contains("only its owner"));
        for owner in [0, 5] {
            let text = text((owner, owner), 0);
            assert!(text.contains("CAP_SYS_PTRACE") && !text.contains("sudo"), "{text}");
        }
    }
}
