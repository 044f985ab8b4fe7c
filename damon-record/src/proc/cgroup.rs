//! Control groups (cgroups(7)): where their hierarchies are mounted, and which processes a group holds.

use super::{ProcRoot, decimal};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The file of every group that lists its processes, in version 1 and 2.
const PROCESSES: &str = "cgroup.procs";

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where.
    pub mount: PathBuf,
    /// The group that is seen at the mount point: not `/` in a container without a namespace of its own.
    pub root: PathBuf,
    /// `v2`, or the controllers of version 1.
    pub controllers: String,
}

/// Why a control group cannot be found. Each text says what there is instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy.
    #[error("no control group hierarchy is mounted here (there is none in /proc/self/mountinfo)")]
    NoHierarchy,
    /// A part of the path exists.
    #[error("there is no control group {}; the nearest that exists is {}", path.display(), nearest.display())]
    Nearest {
        /// As given.
        path: PathBuf,
        /// The deepest directory on the way to it.
        nearest: PathBuf,
    },
    /// Nothing of the path exists.
    #[error(
        "there is no control group {}: give its directory, or its path below one of the hierarchies, as in \
         /proc/PID/cgroup; mounted are {hierarchies}", path.display()
    )]
    Unknown {
        /// As given.
        path: PathBuf,
        /// All of them.
        hierarchies: String,
    },
}

/// The mounted hierarchies, in the order of mounting.
pub fn hierarchies(proc: &ProcRoot) -> Vec<Hierarchy> {
    let text = fs::read(proc.path().join("self/mountinfo")).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(parse_mount).collect()
}

/// One line of `mountinfo` (`proc_pid_mountinfo(5)`); `None` when it mounts something else.
fn parse_mount(line: &[u8]) -> Option<Hierarchy> {
    let mut words = line.split(|byte| *byte == b' ');
    let root = unescaped(words.nth(3)?);
    let mount = unescaped(words.next()?);
    let mut rest = words.skip_while(|word| *word != b"-").skip(1);
    let kind = rest.next()?;
    let options = rest.nth(1).unwrap_or_default();
    let controllers = match kind {
        b"cgroup2" => "v2".to_owned(),
        b"cgroup" => {
            let options = String::from_utf8_lossy(options).into_owned();
            let known = |option: &&str| !["rw", "ro", "xattr"].contains(option);
            options.split(',').filter(known).collect::<Vec<_>>().join(",")
        }
        _ => return None,
    };
    Some(Hierarchy { mount, root, controllers })
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(octal.unwrap_or(first));
        rest = if octal.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// The directories of the group that `path` names: a directory below a mount point, or a path from the
/// root of a hierarchy as in `/proc/PID/cgroup`, which may exist in several of them.
pub fn find(proc: &ProcRoot, path: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let hierarchies = hierarchies(proc);
    if hierarchies.is_empty() {
        return Err(CgroupError::NoHierarchy);
    }
    let below = |h: &&Hierarchy| path.starts_with(&h.mount);
    // The deepest mount point: others may be mounted below the first one's.
    let mounted = hierarchies.iter().filter(below).max_by_key(|h| h.mount.as_os_str().len());
    let candidates: Vec<(PathBuf, &Hierarchy)> = match mounted {
        Some(hierarchy) => vec![(path.to_path_buf(), hierarchy)],
        None => hierarchies.iter().flat_map(|h| below_mount(h, path)).collect(),
    };
    let found: Vec<PathBuf> = candidates
        .iter()
        .map(|(group, _)| group)
        .filter(|group| is_group(group))
        .cloned()
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let nearest = candidates
        .iter()
        .filter_map(|(group, hierarchy)| {
            let nearest = group.ancestors().find(|ancestor| is_group(ancestor))?;
            // In a group given by its directory even the root is worth naming.
            (mounted.is_some() || nearest != hierarchy.mount).then_some(nearest)
        })
        .max_by_key(|nearest| nearest.components().count());
    Err(match nearest {
        Some(nearest) => CgroupError::Nearest { path: path.into(), nearest: nearest.into() },
        None => CgroupError::Unknown { path: path.into(), hierarchies: list(&hierarchies) },
    })
}

/// Where `path`, from the root of the hierarchy, would be.
fn below_mount<'a>(hierarchy: &'a Hierarchy, path: &Path) -> Vec<(PathBuf, &'a Hierarchy)> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut places = vec![(hierarchy.mount.join(relative), hierarchy)];
    if hierarchy.root != Path::new("/")
        && let Ok(inner) = Path::new("/").join(relative).strip_prefix(&hierarchy.root)
    {
        places.push((hierarchy.mount.join(inner), hierarchy));
    }
    places
}

fn is_group(directory: &Path) -> bool {
    directory.join(PROCESSES).is_file()
}

fn list(hierarchies: &[Hierarchy]) -> String {
    let shown: Vec<String> =
        hierarchies.iter().map(|h| format!("{} ({})", h.mount.display(), h.controllers)).collect();
    shown.join(", ")
}

/// The processes of the group at `directory` and of all groups below, ascending; `None` when the group
/// does not exist any more. Processes of other pid namespaces have no number here and are left out.
pub fn processes_below(directory: &Path) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    let mut is_first = true;
    while let Some(group) = open.pop() {
        match fs::read(group.join(PROCESSES)) {
            Ok(text) => found.extend(
                text.split(|byte| *byte == b'\n')
                    .filter_map(decimal)
                    .filter_map(|pid| u32::try_from(pid).ok())
                    .filter(|pid| *pid != 0),
            ),
            Err(error) if is_first && has_vanished(&error) => return None,
            // Removed meanwhile; or threaded, then the group above lists its processes.
            Err(_) => {}
        }
        is_first = false;
        let entries = fs::read_dir(&group).into_iter().flatten().flatten();
        open.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

fn has_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root};

    /// A v1 hierarchy, one of another container's view, and a v2 one, in a directory of the test.
    fn machine() -> (tempfile::TempDir, ProcRoot) {
        let (dir, proc) = root();
        let base = dir.path().display();
        let mounts = format!(
            "22 27 0:21 / /proc rw - proc proc rw\n\
             35 31 0:32 / {base}/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
             36 31 0:33 /docker/abc {base}/with\\040space rw - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / {base}/unified rw,relatime - cgroup2 cgroup2 rw\n"
        );
        put(dir.path(), "self/mountinfo", &mounts);
        for (group, pids) in [
            ("memory", "1\n2\n"),
            ("memory/a", "30\n30\n7\n0\n"),
            ("memory/a/b", "8\n"),
            ("unified", "1\n"),
            ("unified/a", ""),
            ("with space", ""),
            ("with space/deep", "5\n"),
        ] {
            put(dir.path(), &format!("{group}/cgroup.procs"), pids);
        }
        (dir, proc)
    }

    #[test]
    fn hierarchies_are_read_from_the_mounts() {
        let (dir, proc) = machine();
        let found = hierarchies(&proc);
        let controllers: Vec<&str> = found.iter().map(|h| h.controllers.as_str()).collect();
        assert_eq!(controllers, ["memory", "name=systemd", "v2"]);
        assert_eq!(found[1].mount, dir.path().join("with space"));
        assert_eq!(found[1].root, Path::new("/docker/abc"));
    }

    #[test]
    fn a_group_is_named_by_its_directory_or_by_its_path_in_a_hierarchy() {
        let (dir, proc) = machine();
        let below = |name: &str| dir.path().join(name);
        let found = |path: &str| find(&proc, Path::new(path)).unwrap();
        let absolute = below("memory/a");
        assert_eq!(found(absolute.to_str().unwrap()), [absolute]);
        assert_eq!(found("/a"), [below("memory/a"), below("unified/a")], "in two hierarchies");
        assert_eq!(found("a/b"), [below("memory/a/b")]);
        assert_eq!(found("/docker/abc/deep"), [below("with space/deep")]);
    }

    #[test]
    fn a_wrong_path_names_what_there_is() {
        let (dir, proc) = machine();
        let error = |path: &Path| find(&proc, path).unwrap_err().to_string();
        let nearest = dir.path().join("memory/a/b");
        let text = error(Path::new("/a/b/c/d"));
        assert!(text.ends_with(&format!("exists is {}", nearest.display())), "{text}");
        let text = error(&dir.path().join("unified/no"));
        assert!(text.ends_with(&format!("exists is {}", below(&dir, "unified"))), "{text}");
        let text = error(Path::new("/elsewhere"));
        assert!(text.contains(&format!("{} (v2)", below(&dir, "unified"))), "{text}");
        let (_dir, nothing) = root();
        assert_eq!(find(&nothing, Path::new("/a")), Err(CgroupError::NoHierarchy));
    }

    fn below(dir: &tempfile::TempDir, name: &str) -> String {
        dir.path().join(name).display().to_string()
    }

    #[test]
    fn processes_of_the_whole_tree_are_found_once() {
        let (dir, _proc) = machine();
        let at = |name: &str| processes_below(&dir.path().join(name));
        assert_eq!(at("memory"), Some(vec![1, 2, 7, 8, 30]));
        assert_eq!(at("memory/a"), Some(vec![7, 8, 30]));
        assert_eq!(at("unified/a"), Some(Vec::new()));
        assert_eq!(at("memory/gone"), None);
    }
}
