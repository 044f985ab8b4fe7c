//! What the recorder and its injection helper say to each other: one request, one reply, both of
//! fixed length, on a socket that keeps message boundaries.

/// Asks for a userfaultfd of the process; its pidfd comes along, so that the number cannot come to
/// mean another process meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) pid: i32,
}

/// How an injection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The userfaultfd comes along.
    Done {
        /// The thread that served: a living one, also where the leader has exited.
        tid: i32,
        /// How long that thread stood still.
        pause_ns: u64,
    },
    /// Nothing was changed in the target.
    Failed(Failure),
}

/// Why there is no userfaultfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The process has exited.
    Gone,
    /// Another process traces it already.
    Traced { tracer: i32 },
    /// The kernel does not let us trace it.
    NotPermitted,
    /// It runs under seccomp and its filters cannot be suspended.
    Seccomp,
    /// Its system calls are dispatched to user space.
    SyscallDispatch,
    /// No thread came to a stop in time.
    NoStop,
    /// Its `[vdso]` holds no system-call instruction.
    NoInstruction,
    /// The thread could not execute the system call and got this signal instead, which was kept from it.
    Faulted { signal: i32 },
    /// A system call failed, in the target (`userfaultfd`) or on it.
    Errno { step: Step, errno: i32 },
    /// The helper does not work on this machine architecture.
    Architecture,
}

/// Where a system call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// userfaultfd(2), executed by the target.
    Create,
    /// `pidfd_getfd(2)` of what it returned.
    Fetch,
    /// Anything of ptrace(2).
    Trace,
}

/// Bytes of an encoded request.
pub(super) const REQUEST_LEN: usize = 4;
/// Bytes of an encoded reply: kind, step, two unused, number, duration.
pub(super) const REPLY_LEN: usize = 16;

impl Request {
    pub(super) fn encode(self) -> [u8; REQUEST_LEN] {
        self.pid.to_le_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let pid = i32::from_le_bytes(bytes.try_into().ok()?);
        (pid > 0).then_some(Self { pid })
    }
}

impl Reply {
    pub(super) fn encode(self) -> [u8; REPLY_LEN] {
        let (kind, step, number, duration) = match self {
            Self::Done { tid, pause_ns } => (0, 0, tid, pause_ns),
            Self::Failed(failure) => match failure {
                Failure::Gone => (1, 0, 0, 0),
                Failure::Traced { tracer } => (2, 0, tracer, 0),
                Failure::NotPermitted => (3, 0, 0, 0),
                Failure::Seccomp => (4, 0, 0, 0),
                Failure::SyscallDispatch => (5, 0, 0, 0),
                Failure::NoStop => (6, 0, 0, 0),
                Failure::NoInstruction => (7, 0, 0, 0),
                Failure::Errno { step, errno } => (8, step as u8, errno, 0),
                Failure::Architecture => (9, 0, 0, 0),
                Failure::Faulted { signal } => (10, 0, signal, 0),
            },
        };
        let [n0, n1, n2, n3] = number.to_le_bytes();
        let [d0, d1, d2, d3, d4, d5, d6, d7] = u64::to_le_bytes(duration);
        [kind, step, 0, 0, n0, n1, n2, n3, d0, d1, d2, d3, d4, d5, d6, d7]
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; REPLY_LEN] = bytes.try_into().ok()?;
        let [kind, step, _, _, n0, n1, n2, n3, d0, d1, d2, d3, d4, d5, d6, d7] = bytes;
        let number = i32::from_le_bytes([n0, n1, n2, n3]);
        let step = match step {
            0 => Step::Create,
            1 => Step::Fetch,
            _ => Step::Trace,
        };
        let failure = match kind {
            0 => {
                return Some(Self::Done {
                    tid: number,
                    pause_ns: u64::from_le_bytes([d0, d1, d2, d3, d4, d5, d6, d7]),
                });
            }
            1 => Failure::Gone,
            2 => Failure::Traced { tracer: number },
            3 => Failure::NotPermitted,
            4 => Failure::Seccomp,
            5 => Failure::SyscallDispatch,
            6 => Failure::NoStop,
            7 => Failure::NoInstruction,
            8 => Failure::Errno { step, errno: number },
            9 => Failure::Architecture,
            10 => Failure::Faulted { signal: number },
            _ => return None,
        };
        Some(Self::Failed(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_survives_the_way() {
        let mut replies = vec![Reply::Done { tid: 4711, pause_ns: 0x0123_4567_89ab_cdef }];
        replies.extend(
            [
                Failure::Gone,
                Failure::Traced { tracer: 99 },
                Failure::NotPermitted,
                Failure::Seccomp,
                Failure::SyscallDispatch,
                Failure::NoStop,
                Failure::NoInstruction,
                Failure::Errno { step: Step::Create, errno: 24 },
                Failure::Errno { step: Step::Fetch, errno: 1 },
                Failure::Errno { step: Step::Trace, errno: 5 },
                Failure::Architecture,
                Failure::Faulted { signal: 11 },
            ]
            .map(Reply::Failed),
        );
        for reply in replies {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        assert_eq!(Reply::decode(&[0; REPLY_LEN - 1]), None, "too short");
        assert_eq!(Reply::decode(&[77; REPLY_LEN]), None, "unknown kind");
    }

    #[test]
    fn a_request_names_one_process() {
        assert_eq!(Request::decode(&Request { pid: 12 }.encode()), Some(Request { pid: 12 }));
        assert_eq!(Request::decode(&0i32.to_le_bytes()), None);
        assert_eq!(Request::decode(&(-1i32).to_le_bytes()), None, "kill(2) would mean everybody");
        assert_eq!(Request::decode(&[1, 0]), None);
    }
}
