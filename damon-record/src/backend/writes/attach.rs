//! Getting a userfaultfd of a target, and what to say when there is none.

use super::helper::HELPER_ARGUMENT;
use super::protocol::{Failure, REPLY_LEN, Reply, Request, Step};
use crate::sys::{fdpass, pidfd, userfaultfd::Userfaultfd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the helper may take in all; it gives up by itself after about two thirds of this unless the
/// target stops being scheduled in the middle of the injection.
const HELPER_LIMIT: Duration = Duration::from_secs(12);

/// The program that is started to inject: it must call
/// [`serve_if_asked`](super::serve_if_asked) first thing in its `main`.
#[derive(Clone, Debug)]
pub struct Helper {
    program: PathBuf,
}

impl Helper {
    /// This very program, also after its file was replaced or deleted.
    pub fn this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe") }
    }

    /// Another program, for libraries and tests.
    pub fn program(path: impl Into<PathBuf>) -> Self {
        Self { program: path.into() }
    }
}

/// Why a target cannot be watched with `writes`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No such process, or it exited meanwhile.
    #[error("process {pid} does not exist or has exited")]
    Gone {
        /// The target.
        pid: i32,
    },
    /// A debugger is there first; the kernel allows one tracer at a time.
    #[error(
        "process {pid} is being traced by process {tracer} ({name}); detach that debugger or choose \
         a backend that does not need to stop the target"
    )]
    Traced {
        /// The target.
        pid: i32,
        /// Who traces it.
        tracer: i32,
        /// Command name of the tracer.
        name: String,
    },
    /// The kernel refuses ptrace.
    #[error("not allowed to trace process {pid}: {why}")]
    NotPermitted {
        /// The target.
        pid: i32,
        /// What is, what is needed, which command helps.
        why: String,
    },
    /// A seccomp filter might kill the target for the injected call.
    #[error(
        "process {pid} runs under seccomp, and suspending its filters needs CAP_SYS_ADMIN and a \
         recorder outside seccomp; its filters might kill it otherwise, so nothing was done: run \
         the recorder as root"
    )]
    Seccomp {
        /// The target.
        pid: i32,
    },
    /// Its system calls may be redirected into its own code.
    #[error(
        "process {pid} handles system calls itself (syscall user dispatch, as Wine does); nothing can \
         be injected safely"
    )]
    SyscallDispatch {
        /// The target.
        pid: i32,
    },
    /// No thread stopped.
    #[error(
        "no thread of process {pid} came to a stop within its time limit; a vfork(2) parent waits for \
         its child, a process in state D for a device: try again later"
    )]
    NoStop {
        /// The target.
        pid: i32,
    },
    /// No place to execute a system call at.
    #[error(
        "process {pid} has no [vdso] with a 64-bit system call in it, so nothing can be injected"
    )]
    NoInstruction {
        /// The target.
        pid: i32,
    },
    /// What should execute the system call did not.
    #[error(
        "process {pid} could not execute a system call in its [vdso]: it got signal {signal} there, \
         which was kept from it; nothing was changed, try again"
    )]
    Faulted {
        /// The target.
        pid: i32,
        /// The signal.
        signal: i32,
    },
    /// Another architecture.
    #[error(
        "the writes backend is written for x86-64 only, this is {}; choose another backend",
        std::env::consts::ARCH
    )]
    Architecture,
    /// The helper process could not do its work.
    #[error("the injection helper {program} failed: {what}")]
    Helper {
        /// Its program.
        program: String,
        /// What went wrong.
        what: String,
    },
    /// A system call failed.
    #[error("{what} failed for process {pid}: {errno}")]
    Call {
        /// The target.
        pid: i32,
        /// Which call, where.
        what: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
}

/// What an injection brought.
#[derive(Debug)]
pub(super) struct Acquired {
    pub(super) userfaultfd: Userfaultfd,
    pub(super) process: OwnedFd,
    /// A thread that is alive, for `/proc/PID/task/TID`.
    pub(super) tid: i32,
    pub(super) pause: Duration,
}

pub(super) fn acquire(pid: i32, helper: &Helper) -> Result<Acquired, AttachError> {
    if !cfg!(target_arch = "x86_64") {
        return Err(AttachError::Architecture);
    }
    let process = pidfd::open(pid).map_err(|errno| match errno {
        Errno::ESRCH => AttachError::Gone { pid },
        // EINVAL, or ENOENT since 6.16: the number is a thread, not a process.
        errno => call_failed(pid, "pidfd_open(2)", errno),
    })?;
    let (reply, fd) = ask_in_turn(pid, &process, helper)?;
    match (reply, fd) {
        (Reply::Done { tid, pause_ns }, Some(fd)) => {
            let userfaultfd = Userfaultfd::from_fd(fd);
            userfaultfd
                .enable_async_write_protection()
                .map_err(|errno| call_failed(pid, "UFFDIO_API (Linux 6.7 or later)", errno))?;
            Ok(Acquired { userfaultfd, process, tid, pause: Duration::from_nanos(pause_ns) })
        }
        (Reply::Done { .. }, None) => Err(helper_failed(
            helper,
            "its descriptor did not arrive; is the limit of open files reached (ulimit -n)?",
        )),
        (Reply::Failed(failure), _) => Err(explain(pid, failure)),
    }
}

fn helper_failed(helper: &Helper, what: impl Into<String>) -> AttachError {
    AttachError::Helper { program: helper.program.display().to_string(), what: what.into() }
}

fn call_failed(pid: i32, what: &'static str, errno: Errno) -> AttachError {
    AttachError::Call { pid, what, errno }
}

/// Asks, and asks again when a helper started earlier, by this recorder or by one that died, still holds
/// the target: it is no debugger, and ends by itself.
fn ask_in_turn(
    pid: i32,
    process: &OwnedFd,
    helper: &Helper,
) -> Result<(Reply, Option<OwnedFd>), AttachError> {
    let deadline = Instant::now() + HELPER_LIMIT;
    loop {
        let (reply, fd) = ask(pid, process, helper)?;
        let Reply::Failed(Failure::Traced { tracer }) = reply else {
            return Ok((reply, fd));
        };
        if !is_helper(tracer) {
            return Ok((reply, fd));
        }
        if !ends_until(tracer, deadline) {
            let what = format!(
                "an earlier one (process {tracer}) still waits for process {pid} to be scheduled, and \
                 will restore it and end by itself: try again later"
            );
            return Err(helper_failed(helper, what));
        }
    }
}

/// Whether the thread `tid` belongs to a helper of any recorder, or has ended since it was looked up.
fn is_helper(tid: i32) -> bool {
    fs::read(format!("/proc/{tid}/cmdline")).map_or(true, |line| {
        line.split(|byte| *byte == 0).nth(1) == Some(HELPER_ARGUMENT.as_bytes())
    })
}

/// Waits until the process of the thread `tid` has ended; false when it has not at the deadline.
fn ends_until(tid: i32, deadline: Instant) -> bool {
    let process = status_field(&tid.to_string(), "Tgid:").unwrap_or(tid);
    let Ok(process) = pidfd::open(process) else {
        return Instant::now() < deadline;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout) {
        Ok(ready) => ready > 0,
        Err(_) => Instant::now() < deadline,
    }
}

fn ask(
    pid: i32,
    process: &OwnedFd,
    helper: &Helper,
) -> Result<(Reply, Option<OwnedFd>), AttachError> {
    let socket_failed = |errno: Errno| helper_failed(helper, format!("its socket: {errno}"));
    let (ours, theirs) = fdpass::pair().map_err(socket_failed)?;
    // Only the standard descriptors reach the helper, and our end of the socket is not among them.
    let mut child = Command::new(&helper.program)
        .arg(HELPER_ARGUMENT)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| helper_failed(helper, format!("it cannot be started: {error}")))?;
    let request = Request { pid }.encode();
    let answer =
        fdpass::send(ours.as_fd(), &request, Some(process.as_fd())).and_then(|()| receive(&ours));
    drop(ours);
    if matches!(answer, Err(Errno::ETIMEDOUT)) {
        // It holds a thread of the target and must not be disturbed; it is reaped by whoever adopts it.
        return Err(helper_failed(
            helper,
            "it still waits for the target to be scheduled; it will restore it and end by itself",
        ));
    }
    reap(&mut child);
    let (bytes, fd) = match answer {
        Ok(answer) => answer,
        // It was gone before it had read the request.
        Err(Errno::EPIPE | Errno::ECONNRESET) => (Vec::new(), None),
        Err(errno) => return Err(socket_failed(errno)),
    };
    let reply = Reply::decode(&bytes).ok_or_else(|| {
        helper_failed(
            helper,
            "it ended without an answer; was it killed, or is it another program?",
        )
    })?;
    Ok((reply, fd))
}

/// Waits for a helper that has answered or closed its socket, so it is about to end.
fn reap(child: &mut Child) {
    // Fails only when somebody else in this process has reaped it already.
    let _reaped = child.wait();
}

fn receive(socket: &OwnedFd) -> Result<(Vec<u8>, Option<OwnedFd>), Errno> {
    let deadline = Instant::now() + HELPER_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) => return Err(Errno::ETIMEDOUT),
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let mut buffer = [0; REPLY_LEN];
    let (len, fd) = fdpass::receive(socket.as_fd(), &mut buffer)?;
    Ok((buffer.get(..len).unwrap_or_default().to_vec(), fd))
}

fn explain(pid: i32, failure: Failure) -> AttachError {
    match failure {
        Failure::Gone => AttachError::Gone { pid },
        Failure::Traced { tracer } => {
            // What traces is a thread; people know its process.
            let tracer = status_field(&tracer.to_string(), "Tgid:").unwrap_or(tracer);
            AttachError::Traced {
                pid,
                tracer,
                name: first_line(&format!("/proc/{tracer}/comm"))
                    .unwrap_or_else(|| "unknown".to_owned()),
            }
        }
        Failure::NotPermitted => AttachError::NotPermitted { pid, why: why_not_permitted(pid) },
        Failure::Seccomp => AttachError::Seccomp { pid },
        Failure::SyscallDispatch => AttachError::SyscallDispatch { pid },
        Failure::NoStop => AttachError::NoStop { pid },
        Failure::NoInstruction => AttachError::NoInstruction { pid },
        Failure::Architecture => AttachError::Architecture,
        Failure::Faulted { signal } => AttachError::Faulted { pid, signal },
        Failure::Errno { step, errno } => AttachError::Call {
            pid,
            what: match step {
                Step::Create => "userfaultfd(2), executed by the target,",
                Step::Fetch => "pidfd_getfd(2)",
                Step::Trace => "ptrace(2)",
            },
            errno: Errno::from_raw(errno),
        },
    }
}

fn first_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(ToOwned::to_owned)
}

/// First number in a line of `/proc/PID/status`, such as the real user id in `Uid:`.
fn status_field<T: std::str::FromStr>(pid: &str, name: &str) -> Option<T> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn why_not_permitted(pid: i32) -> String {
    let own: Option<u32> = status_field("self", "Uid:");
    let theirs: Option<u32> = status_field(&pid.to_string(), "Uid:");
    if let (Some(own), Some(theirs)) = (own, theirs)
        && own != theirs
        && own != 0
    {
        return format!(
            "it belongs to user {theirs} and you are user {own}; run the recorder as that user or \
             as root"
        );
    }
    let yama = first_line("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match yama.trim() {
        "1" if own != Some(0) => {
            "kernel.yama.ptrace_scope is 1, so only a program's own ancestors may \
             trace it; start it with `damon-record -- COMMAND`, run the recorder as root, or run \
             `sudo sysctl kernel.yama.ptrace_scope=0`"
                .to_owned()
        }
        "2" if own != Some(0) => {
            "kernel.yama.ptrace_scope is 2; run the recorder as root".to_owned()
        }
        "3" => {
            "kernel.yama.ptrace_scope is 3, which forbids tracing until the next boot; choose a \
             backend without injection"
                .to_owned()
        }
        _ if own == Some(0) => {
            "CAP_SYS_PTRACE is missing (a container?) or a security module forbids \
             it; start the container with --cap-add SYS_PTRACE"
                .to_owned()
        }
        _ => "it has protected itself (prctl PR_SET_DUMPABLE, set-user-ID, capabilities); run the \
             recorder as root"
            .to_owned(),
    }
}
