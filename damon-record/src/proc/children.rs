//! Which processes a process has started.

use super::{ProcRoot, decimal};

/// The living children of `pid`, ascending: from `task/TID/children` of every thread, or, where the
/// kernel has no such file, from the parent field of all processes.
pub fn children_of(proc: &ProcRoot, pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut answered = false;
    for thread in proc.threads(pid) {
        if let Ok(text) = proc.read(pid, &format!("task/{thread}/children")) {
            answered = true;
            found.extend(
                text.split(u8::is_ascii_whitespace)
                    .filter_map(decimal)
                    .filter_map(|child| u32::try_from(child).ok()),
            );
        }
    }
    if !answered {
        found = proc
            .processes()
            .into_iter()
            .filter(|other| proc.stat(*other).is_ok_and(|stat| stat.ppid == pid))
            .collect();
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// All descendants of `pid` with their parents, parents first.
pub fn descendants_of(proc: &ProcRoot, pid: u32) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    let mut next = 0;
    let mut parent = pid;
    loop {
        for child in children_of(proc, parent) {
            if child != pid && found.iter().all(|(known, _)| *known != child) {
                found.push((child, parent));
            }
        }
        let Some((deeper, _)) = found.get(next) else {
            return found;
        };
        parent = *deeper;
        next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root, stat_line};

    #[test]
    fn children_of_all_threads_are_found() {
        let (dir, proc) = root();
        put(dir.path(), "5/task/5/children", "7 9 ");
        put(dir.path(), "5/task/6/children", "8 ");
        put(dir.path(), "8/task/8/children", "11 ");
        assert_eq!(children_of(&proc, 5), [7, 8, 9]);
        assert_eq!(descendants_of(&proc, 5), [(7, 5), (8, 5), (9, 5), (11, 8)]);
    }

    #[test]
    fn without_the_file_parents_are_asked() {
        let (dir, proc) = root();
        std::fs::create_dir_all(dir.path().join("5/task/5")).unwrap();
        for (pid, parent) in [(5, 1), (7, 5), (8, 7), (9, 1)] {
            put(dir.path(), &format!("{pid}/stat"), &stat_line(pid, "x", 'S', parent, 1));
        }
        assert_eq!(children_of(&proc, 5), [7]);
        assert_eq!(descendants_of(&proc, 5), [(7, 5), (8, 7)]);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let (dir, proc) = root();
        put(dir.path(), "5/task/5/children", "6");
        put(dir.path(), "6/task/6/children", "5 6");
        assert_eq!(descendants_of(&proc, 5), [(6, 5)]);
    }
}
