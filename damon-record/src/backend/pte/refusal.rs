//! Why page tables cannot be read here, in one sentence each: what is, and what to do.

use crate::sys::bpf::LoadError;
use nix::errno::Errno;

const NEEDS: &str = "run as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_SYS_ADMIN (containers \
    drop them unless they are granted)";

/// Another architecture.
pub(super) fn architecture() -> String {
    format!(
        "reading page tables is written for x86-64 only, this is {}; use another backend",
        std::env::consts::ARCH
    )
}

/// The type information cannot be read.
pub(super) fn type_information(path: &str, error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound {
        format!(
            "the kernel does not describe its types: there is no {path}; boot one built with \
             CONFIG_DEBUG_INFO_BTF (distribution kernels are)"
        )
    } else {
        format!("{path} cannot be read: {error}; make it readable (is /sys mounted?)")
    }
}

/// bpf(2) made no array.
pub(super) fn array(errno: Errno) -> String {
    match errno {
        Errno::ENOSYS => "the kernel has no bpf(2); boot one built with CONFIG_BPF_SYSCALL".into(),
        Errno::EPERM | Errno::EACCES => format!("bpf(2) is not permitted; {NEEDS}"),
        Errno::EINVAL => {
            "the kernel has no BPF arrays that can be mapped; boot Linux 5.10 or later".into()
        }
        errno => {
            format!("bpf(2) cannot make an array: {errno}; free memory, or use another backend")
        }
    }
}

/// The kernel accepted no program.
pub(super) fn program(name: &str, error: &LoadError) -> String {
    match error.errno {
        Errno::EPERM | Errno::EACCES if error.log.is_empty() => {
            format!("loading a BPF program is not permitted; {NEEDS}")
        }
        _ if error.log.contains("probe_read_kernel") => format!(
            "BPF programs may not read kernel memory here ({}); boot without lockdown=confidentiality, \
             and a kernel built with CONFIG_BPF_EVENTS",
            lockdown()
        ),
        _ => format!("the kernel refuses the BPF program {name}: {error}; use another backend"),
    }
}

/// The kernel did not run a program.
pub(super) fn run(errno: Errno) -> String {
    // Before 5.10 it is ENOTSUPP (524), which leaks from the kernel without being part of its interface.
    if matches!(errno, Errno::EINVAL | Errno::UnknownErrno) {
        "the kernel cannot run a program of this type on request (BPF_PROG_TEST_RUN); boot Linux 5.10 or \
         later"
            .into()
    } else {
        format!("BPF_PROG_TEST_RUN failed: {errno}; {NEEDS}")
    }
}

/// `pagemap` shows no page frame numbers.
pub(super) fn frames_hidden() -> String {
    format!("/proc/PID/pagemap hides page frame numbers; {NEEDS}")
}

fn lockdown() -> String {
    let state = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match state.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some((mode, _)) => format!("lockdown={mode}"),
        None => "the state of lockdown cannot be read".into(),
    }
}
