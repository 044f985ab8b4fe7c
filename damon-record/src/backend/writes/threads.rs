//! Which thread of the target is best asked for one system call, and what `/proc` says about it.

use std::fs;
use std::path::Path;

/// More threads than this are not looked at: any one will do.
const MAX_CANDIDATES: usize = 128;
/// With a running one among them, so many are choice enough.
const ENOUGH: usize = 8;

/// How much a stop disturbs a thread; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disturbance {
    /// It runs: nothing is interrupted.
    Running,
    /// It stands still already.
    Stopped,
    /// It waits in a system call that the kernel resumes as if nothing had happened.
    Resumes,
    /// It waits in a system call that starts again from the beginning, with its whole time limit.
    StartsAgain,
    /// It sleeps uninterruptibly (a vfork(2) parent, a dead file server): it may not stop at all.
    Uninterruptible,
}

/// A living thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) tid: i32,
    pub(super) disturbance: Disturbance,
}

/// System calls that return `EINTR` after a mere ptrace stop (signal(7), last section) and that have
/// done nothing when they do, so that executing them again is right. Sockets are among them for the
/// sake of `SO_RCVTIMEO` and `SO_SNDTIMEO`. x86-64 numbers.
const STARTS_AGAIN: [i64; 24] = [
    0,   // read
    1,   // write
    19,  // readv
    20,  // writev
    42,  // connect
    43,  // accept
    44,  // sendto
    45,  // recvfrom
    46,  // sendmsg
    47,  // recvmsg
    65,  // semop
    69,  // msgsnd
    70,  // msgrcv
    128, // rt_sigtimedwait
    208, // io_getevents
    220, // semtimedop
    232, // epoll_wait
    281, // epoll_pwait
    288, // accept4
    299, // recvmmsg
    307, // sendmmsg
    333, // io_pgetevents
    426, // io_uring_enter
    441, // epoll_pwait2
];

/// Of these only some start again; without a time limit the kernel resumes them.
const USUALLY_RESUMES: [i64; 12] = [0, 1, 19, 20, 42, 43, 44, 45, 46, 47, 288, 307];

/// True for a system call that must be executed again when a stop made it return `EINTR`.
pub(super) fn starts_again(number: i64) -> bool {
    STARTS_AGAIN.contains(&number)
}

/// The living threads of `pid`, the one that a stop disturbs least first. Empty when the process is
/// gone.
pub(super) fn candidates(pid: i32) -> Vec<Candidate> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut running = false;
    for entry in entries.flatten() {
        let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(disturbance) = disturbance(pid, tid) else {
            continue;
        };
        found.push(Candidate { tid, disturbance });
        running |= disturbance == Disturbance::Running;
        if found.len() >= if running { ENOUGH } else { MAX_CANDIDATES } {
            break;
        }
    }
    found.sort_by_key(|candidate| candidate.disturbance);
    found
}

fn disturbance(pid: i32, tid: i32) -> Option<Disturbance> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    let state = state(&stat)?;
    let syscall = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
    classify(state, &syscall)
}

/// Field 3 of `/proc/PID/stat`; the command name before it may contain anything, also `)`.
fn state(stat: &str) -> Option<char> {
    let (_command, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

fn classify(state: char, syscall: &str) -> Option<Disturbance> {
    let number = syscall.split_ascii_whitespace().next().unwrap_or_default();
    match state {
        'Z' | 'X' | 'x' => None,
        'R' => Some(Disturbance::Running),
        'T' | 't' => Some(Disturbance::Stopped),
        'D' => Some(Disturbance::Uninterruptible),
        _ => match number.parse::<i64>() {
            Ok(number) if starts_again(number) && !USUALLY_RESUMES.contains(&number) => {
                Some(Disturbance::StartsAgain)
            }
            _ => Some(Disturbance::Resumes),
        },
    }
}

/// True while the thread belongs to the process.
pub(super) fn is_thread_of(pid: i32, tid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
}

/// True for a thread that has exited but is not reaped, as an exited leader whose threads live on; its
/// tracer is not told.
pub(super) fn has_exited(pid: i32, tid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat"))
        .is_ok_and(|stat| matches!(state(&stat), Some('Z' | 'X')))
}

/// Number in the line `name:` of a `/proc/…/status` text.
fn status_field(status: &str, name: &str) -> Option<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// The process that traces the thread; 0 when none does.
pub(super) fn tracer(pid: i32, tid: i32) -> i32 {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"))
        .ok()
        .and_then(|status| status_field(&status, "TracerPid"))
        .unwrap_or(0)
}

/// Whether the thread runs under seccomp; `None` when it cannot be told.
pub(super) fn under_seccomp(pid: i32, tid: i32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    // A kernel without seccomp has no such line.
    Some(status_field(&status, "Seccomp").unwrap_or(0) != 0)
}

/// Where the `[vdso]` of the process lies; read from the thread, as the maps of an exited leader are
/// empty.
pub(super) fn vdso(pid: i32, tid: i32) -> Option<(u64, u64)> {
    let maps = fs::read(format!("/proc/{pid}/task/{tid}/maps")).ok()?;
    let line = maps.rsplit(|&byte| byte == b'\n').find(|line| line.ends_with(b"[vdso]"))?;
    let range = std::str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_thread_is_preferred_and_a_dead_one_is_no_candidate() {
        let order = [
            classify('R', "running"),
            classify('T', "-1 0x7ff 0x4"),
            classify('S', "230 0x1 0x2"),
            classify('S', "232 0x1 0x2"),
            classify('D', "58 0x1"),
        ];
        assert!(order.iter().all(Option::is_some));
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(classify('Z', ""), None);
        assert_eq!(
            classify('S', "0 0x3 0x7f"),
            classify('S', "230 0x1"),
            "a blocked read usually resumes"
        );
    }

    #[test]
    fn the_state_is_found_behind_any_command_name() {
        assert_eq!(state("12 (a) S b) R 1 2"), Some('R'));
        assert_eq!(state("12 (sleep) S 1"), Some('S'));
        assert_eq!(state("12 broken"), None);
    }

    #[test]
    fn status_fields_are_matched_by_their_whole_name() {
        let status = "Name:\tx\nTracerPid:\t17\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(status_field(status, "TracerPid"), Some(17));
        assert_eq!(status_field(status, "Seccomp"), Some(2));
        assert_eq!(status_field(status, "Trace"), None);
    }

    #[test]
    fn our_own_threads_and_vdso_are_found() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let found = candidates(pid);
        assert_eq!(
            found.first().map(|first| first.disturbance),
            Some(Disturbance::Running),
            "this very thread runs"
        );
        let (start, end) = vdso(pid, pid).unwrap();
        assert!(start < end && (end - start) % 4096 == 0);
        assert_eq!(candidates(i32::MAX), []);
    }
}
