//! Has a process an address space?

use std::fs;
use std::io::ErrorKind;

/// How often a process without memory is looked at before it is believed: while a thread other than the
/// leader executes a program, all threads of a list just read may vanish and the process lives on.
const LOOKS: u32 = 3;

/// False once a process has given up its memory, which an exiting one does some time before its pidfd says
/// so. True in doubt, for example where reading it is not allowed.
pub(super) fn has_memory(pid: i32) -> bool {
    (0..LOOKS).any(|_| some_thread_has_memory(pid))
}

fn some_thread_has_memory(pid: i32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    // By thread: the maps of an exited leader are empty while the others live on.
    tasks.flatten().any(|task| match fs::read(task.path().join("maps")) {
        Ok(maps) => !maps.is_empty(),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_has_none_and_we_have() {
        assert!(has_memory(std::process::id().try_into().unwrap()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while has_memory(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!has_memory(pid), "reaped");
    }
}
