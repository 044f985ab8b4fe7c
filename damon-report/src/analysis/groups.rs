//! What a mapping is called so that it has the same name in another run: address-space layout randomisation moves
//! mappings, so that addresses do not identify them.

use super::mapping_history::Mapped;
use super::num::float;

use serde::{Deserialize, Serialize};

/// What kind of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryKind {
    /// A file's pages, private or shared.
    File,
    /// Uninitialised data of a program or a library: anonymous memory that follows its file's.
    Bss,
    /// The program break, `[heap]`.
    Heap,
    /// Of the main thread.
    Stack,
    /// Of other threads, with their guard pages.
    ThreadStack,
    /// Other private memory without a file; allocators get theirs here.
    Anonymous,
    /// Shared memory without a file on a disk: memfd, `/dev/shm`, System V, shared anonymous.
    Shared,
    /// What the kernel maps for itself: `[vdso]`, `[vvar]`, …
    Kernel,
    /// Monitored, but in no mapping that was recorded: holes between mappings, mappings that came and went between two
    /// looks, and all of a target whose mappings were not recorded.
    Unknown,
}

impl MemoryKind {
    /// The word for tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Bss => "bss",
            Self::Heap => "heap",
            Self::Stack => "stack",
            Self::ThreadStack => "thread stack",
            Self::Anonymous => "anonymous",
            Self::Shared => "shared memory",
            Self::Kernel => "kernel",
            Self::Unknown => "in no known mapping",
        }
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset one past the last byte.
    pub end: u64,
}

/// Identity of a mapping, or of several at a coarser [grouping](GroupBy): equal in two runs of a program if they do
/// the same.
///
/// What has a name is identified by it, and files by the part that is mapped as well. Anonymous memory
/// has neither: it is the so many-th one (in the order in which it appeared, and from high to low addresses among what appeared at
/// once, as the kernel hands addresses out) among those whose greatest sizes have the same power of two. A number
/// becomes free when its mapping goes, so that a buffer that is mapped again and again keeps it. Runs in which a
/// size passes a power of two, or which map in another order, cannot be told from others that differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MappingId {
    /// What kind of memory.
    pub kind: MemoryKind,
    /// Path of the file, or the name in brackets; empty where there is none.
    pub name: String,
    /// Which part of the file; absent for what has no file and for whole files.
    pub file_range: Option<FileRange>,
    /// Of anonymous memory: its greatest size was at least this power of two, and less than the next.
    pub size_class: Option<u32>,
    /// Of anonymous memory and stacks of threads: which of its class, from 0.
    pub order: Option<u32>,
}

/// How finely mappings are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// Each for itself.
    #[default]
    Mapping,
    /// All mappings of a file together with its bss; what has no file by name, or else by kind.
    File,
    /// By kind.
    Kind,
}

impl MappingId {
    /// Of a kind, without anything that tells it apart from others.
    pub fn kind(kind: MemoryKind) -> Self {
        Self { kind, name: String::new(), file_range: None, size_class: None, order: None }
    }

    fn named(kind: MemoryKind, name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::kind(kind) }
    }

    /// The `order`-th thread's stack.
    pub(super) fn thread_stack(order: u32) -> Self {
        Self { order: Some(order), ..Self::kind(MemoryKind::ThreadStack) }
    }

    /// The `order`-th anonymous mapping of a size class.
    pub(super) fn anonymous(size: u64, order: u32) -> Self {
        let size_class = Some(size.max(1).ilog2());
        Self { size_class, order: Some(order), ..Self::kind(MemoryKind::Anonymous) }
    }

    /// Uninitialised data of the file of a mapping.
    pub(super) fn bss(of: &Mapped) -> Self {
        Self::named(MemoryKind::Bss, path(of))
    }

    /// What a mapping's own name says; `None` for what has no name that would be the same in another run.
    pub(super) fn of(mapping: &Mapped) -> Option<Self> {
        let name = path(mapping);
        if name.is_empty() || is_thread_stack(name) {
            return None;
        }
        if let Some(inside) = name.strip_prefix('[') {
            return Some(match inside.trim_end_matches(']') {
                "heap" => Self::kind(MemoryKind::Heap),
                "stack" => Self::kind(MemoryKind::Stack),
                inside if inside.starts_with("anon_shmem:") => {
                    Self::named(MemoryKind::Shared, name)
                }
                inside if inside.starts_with("anon:") => Self::named(MemoryKind::Anonymous, name),
                _ => Self::named(MemoryKind::Kernel, name),
            });
        }
        let shared = SHARED.iter().any(|prefix| name.starts_with(prefix));
        let kind = if shared { MemoryKind::Shared } else { MemoryKind::File };
        let size = mapping.end.saturating_sub(mapping.start);
        let file_range =
            FileRange { start: mapping.offset, end: mapping.offset.saturating_add(size) };
        Some(Self { file_range: Some(file_range), ..Self::named(kind, name) })
    }

    /// The same at a coarser grouping.
    #[must_use]
    pub fn grouped(&self, by: GroupBy) -> Self {
        match by {
            GroupBy::Mapping => self.clone(),
            GroupBy::File => {
                let kind = if self.kind == MemoryKind::Bss { MemoryKind::File } else { self.kind };
                Self::named(kind, &self.name)
            }
            GroupBy::Kind => Self::kind(self.kind),
        }
    }

    /// For people: `/usr/lib/libc.so.6 +0x28000..0x1b0000`, `[heap]`, `anonymous 64 MiB #0`.
    pub fn label(&self) -> String {
        let what = match self.kind {
            MemoryKind::Heap => "[heap]".to_owned(),
            MemoryKind::Stack => "[stack]".to_owned(),
            MemoryKind::Bss if !self.name.is_empty() => format!("{} (bss)", self.name),
            kind if self.name.is_empty() => kind.as_str().to_owned(),
            _ => self.name.clone(),
        };
        let part = self.file_range.map(|r| format!(" +{:#x}..{:#x}", r.start, r.end));
        let class = self.size_class.map(|class| format!(" {}", power_of_two(class)));
        let order = self.order.map(|order| format!(" #{order}"));
        [Some(what), part, class, order].into_iter().flatten().collect()
    }
}

/// How the names of shared memory begin.
const SHARED: [&str; 4] = ["/memfd:", "/dev/shm/", "/dev/zero", "/SYSV"];

/// The name without what the kernel adds when the file is gone.
fn path(mapping: &Mapped) -> &str {
    let name = mapping.name().trim();
    name.strip_suffix(" (deleted)").unwrap_or(name)
}

/// Names of threads' stacks contain the number of the thread: old kernels', Android's and glibc's.
pub(super) fn is_thread_stack(name: &str) -> bool {
    ["[stack:", "[anon:stack_and_tls:", "[anon: glibc: pthread stack", "[anon:glibc: pthread stack"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn power_of_two(exponent: u32) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = usize::try_from(exponent / 10).ok().and_then(|i| UNITS.get(i)).unwrap_or(&"");
    format!("{} {unit}", float(1 << (exponent % 10)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Mapping, Permissions};

    fn mapping(name: &str) -> Mapped {
        Mapped::from(Mapping {
            start: 0x1000,
            end: 0x4000,
            permissions: Permissions::default(),
            offset: 0x2000,
            inode: 7,
            name: name.to_owned(),
        })
    }

    fn label(name: &str) -> Option<String> {
        MappingId::of(&mapping(name)).map(|id| id.label())
    }

    #[test]
    fn names_that_differ_from_run_to_run_are_no_names() {
        for name in ["", " ", "[stack:4711]", "[anon: glibc: pthread stack: 4711]"] {
            assert_eq!(label(name), None, "{name}");
        }
    }

    #[test]
    fn what_has_a_name_is_identified_by_it() {
        let cases = [
            ("/usr/lib/libc.so.6", MemoryKind::File, "/usr/lib/libc.so.6 +0x2000..0x5000"),
            ("/a b (deleted)", MemoryKind::File, "/a b +0x2000..0x5000"),
            ("/memfd:pool (deleted)", MemoryKind::Shared, "/memfd:pool +0x2000..0x5000"),
            ("[heap]", MemoryKind::Heap, "[heap]"),
            ("[stack]", MemoryKind::Stack, "[stack]"),
            ("[anon:glibc: malloc]", MemoryKind::Anonymous, "[anon:glibc: malloc]"),
            ("[vdso]", MemoryKind::Kernel, "[vdso]"),
        ];
        for (name, kind, text) in cases {
            let id = MappingId::of(&mapping(name)).unwrap();
            assert_eq!((id.kind, id.label().as_str()), (kind, text));
        }
        assert_eq!(MappingId::anonymous(100 << 20, 2).label(), "anonymous 64 MiB #2");
        assert_eq!(MappingId::anonymous(0, 0).label(), "anonymous 1 B #0");
        assert_eq!(MappingId::anonymous(u64::MAX, 0).label(), "anonymous 8 EiB #0");
    }

    #[test]
    fn coarser_groups_forget_what_tells_their_members_apart() {
        let library = mapping("/lib/x.so");
        let (text, bss) = (MappingId::of(&library).unwrap(), MappingId::bss(&library));
        assert_ne!(text.grouped(GroupBy::Mapping), bss.grouped(GroupBy::Mapping));
        assert_eq!(text.grouped(GroupBy::File), bss.grouped(GroupBy::File));
        let (a, b) = (MappingId::anonymous(4096, 0), MappingId::anonymous(1 << 30, 5));
        assert_eq!(a.grouped(GroupBy::File), b.grouped(GroupBy::File));
        assert_eq!(a.grouped(GroupBy::Kind).label(), "anonymous");
        assert_eq!(bss.grouped(GroupBy::Kind).label(), "bss");
    }

    #[test]
    fn identities_survive_json() {
        for id in [MappingId::of(&mapping("/x")).unwrap(), MappingId::thread_stack(3)] {
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<MappingId>(&text).unwrap(), id);
        }
    }
}
