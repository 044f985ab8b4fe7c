//! What has to be known of the running kernel, found once and shared by all targets.

use super::btf::Btf;
use super::directmap;
use super::machine::{Machine, Peek};
use super::program::Members;
use super::refusal;
use super::tasks::TaskMembers;
use crate::proc::ProcRoot;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// The means to read the page tables of any process: loaded programs, and what had to be found out for them.
///
/// Nothing is attached to the kernel; everything vanishes with the last reference.
#[derive(Debug)]
pub struct PageTables {
    machine: Mutex<Machine>,
    pub(super) members: TaskMembers,
    /// 4 or 5.
    pub(super) levels: u8,
}

static SHARED: Mutex<Option<Arc<PageTables>>> = Mutex::new(None);

impl PageTables {
    /// Finds everything out and loads the programs.
    ///
    /// # Errors
    /// One sentence: why page tables cannot be read here, and what to do.
    pub fn open(proc: &ProcRoot) -> Result<Self, String> {
        if !cfg!(target_arch = "x86_64") || crate::proc::page_size() != 4096 {
            return Err(refusal::architecture());
        }
        // The cheap questions first: reading the types takes longest.
        let mut peek = Peek::new()?;
        let members = find_members(Path::new(TYPES))?;
        let found = directmap::find(proc, &mut peek, &members)?;
        let for_programs = Members {
            tgid: members.tgid,
            start_time: members.start_time,
            mm: members.mm,
            pgd: members.pgd,
        };
        let mut machine = Machine::new(peek, &for_programs, found.layout, found.encryption)?;
        machine.set_limit(found.limit);
        Ok(Self { machine: Mutex::new(machine), members, levels: found.layout.levels })
    }

    /// The same for everybody in this process, made at the first call that succeeds.
    ///
    /// # Errors
    /// As [`PageTables::open`].
    pub fn shared(proc: &ProcRoot) -> Result<Arc<Self>, String> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = shared.as_ref() {
            return Ok(Arc::clone(tables));
        }
        let tables = Arc::new(Self::open(proc)?);
        *shared = Some(Arc::clone(&tables));
        Ok(tables)
    }

    /// The programs. Every question sets everything that its answer depends on, so it does not matter where
    /// somebody stopped who panicked.
    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find_members(path: &Path) -> Result<TaskMembers, String> {
    let bytes = std::fs::read(path)
        .map_err(|error| refusal::type_information(&path.to_string_lossy(), &error))?;
    let btf = Btf::parse(&bytes)
        .map_err(|error| format!("{} is damaged: {error}; use another backend", path.display()))?;
    let find = |structure, member| {
        btf.offset(structure, member).ok_or_else(|| {
            format!(
                "the kernel's struct {structure} has no usable member {member}; use another backend, \
                 and tell us the kernel's release"
            )
        })
    };
    let task = |member| find("task_struct", member);
    Ok(TaskMembers {
        tasks: task("tasks")?,
        tgid: task("tgid")?,
        mm: task("mm")?,
        start_time: task("start_time")?,
        start_boottime: task("start_boottime")?,
        group_leader: task("group_leader")?,
        signal: task("signal")?,
        thread_node: task("thread_node")?,
        thread_head: find("signal_struct", "thread_head")?,
        pgd: find("mm_struct", "pgd")?,
    })
}
