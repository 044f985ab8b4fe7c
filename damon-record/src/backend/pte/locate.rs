//! Finding the page tables of a process, and reading them while it lives.

use super::agree::{self, Agreement};
use super::kernel::PageTables;
use super::machine::{RunError, Subject};
use super::pagemap::{Page, Pagemap};
use super::program::{BATCH, TABLES};
use super::refusal;
use super::tables::{Leaf, Tables};
use super::tasks::Task;
use crate::backend::WatchError;
use crate::backend::kind::AttachError;
use crate::proc::{Identity, MapsFile, ProcRoot};
use damon_format::Mapping;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often locating is tried while the target executes programs or has no memory yet.
const LOCATE_TRIES: u32 = 8;
/// How often in a row a process must seem to be gone before that is believed.
const GONE_LOOKS: u32 = 3;
/// How often a run is repeated because the thread looked through has exited.
const RELOCATE_TRIES: u32 = 4;
/// How often an address is walked for again whose tables changed meanwhile; then it counts as not mapped.
const SETTLE_TRIES: u32 = 16;
/// How often the tables are compared with `pagemap`.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// Pages compared each time, and before the first use.
const COMPARED: usize = 16;
/// Pages of one mapping looked at for pages in memory, and how many of it are taken.
const LOOKED_AT: usize = 512;
const TAKEN: usize = 4;

/// The page tables of one process.
#[derive(Debug)]
pub struct Located {
    kernel: Arc<PageTables>,
    proc: ProcRoot,
    identity: Identity,
    subject: Subject,
    /// Also keeps the kernel from giving `mm_struct` and the topmost table to somebody else: what is equal to
    /// [`Self::subject`] is the same.
    pagemap: Pagemap,
    compared: Instant,
    /// Copies of tables, while they are handed out.
    pub(super) copies: Vec<u64>,
    pub(super) ends: Vec<Option<Leaf>>,
}

/// Pages to recognise an address space by.
struct Sample {
    addresses: Vec<u64>,
    /// No other address space has them at the same place.
    unmistakable: bool,
}

/// Finds the page tables of the process that `pid` (a process, or any thread of one) belongs to, and makes
/// sure that they are its tables.
pub fn locate(kernel: &Arc<PageTables>, proc: &ProcRoot, pid: u32) -> Result<Located, AttachError> {
    let (mut why, mut gone) = (String::new(), 0);
    for attempt in 0..LOCATE_TRIES {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(u64::from(attempt)));
        }
        match try_locate(kernel, proc, pid) {
            Ok(Ok(located)) => return Ok(located),
            Ok(Err(text)) => why = text.into(),
            Err(AttachError::Gone) => {}
            Err(refused) => return Err(refused),
        }
        // While another thread than the first executes a program, the process seems to be gone for a moment.
        gone = if is_gone(proc, pid) { gone + 1 } else { 0 };
        if gone == GONE_LOOKS {
            return Err(AttachError::Gone);
        }
    }
    Err(AttachError::Refused(format!("process {pid} {why}; use another backend")))
}

fn is_gone(proc: &ProcRoot, pid: u32) -> bool {
    proc.stat(pid).map_or(true, |stat| stat.is_dead()) && proc.memory_dir(pid).is_empty()
}

/// One try; the inner error is what may be otherwise in a moment.
fn try_locate(
    kernel: &Arc<PageTables>,
    proc: &ProcRoot,
    pid: u32,
) -> Result<Result<Located, &'static str>, AttachError> {
    let pid = Some(proc.status(pid)?.tgid).filter(|tgid| *tgid != 0).unwrap_or(pid);
    let stat = proc.stat(pid)?;
    if stat.is_kernel_thread() {
        return Err(AttachError::Refused(format!(
            "{pid} ({}) is a thread of the kernel; it has no memory of its own",
            stat.comm
        )));
    }
    let identity = Identity { pid, start_ticks: stat.start_ticks };
    let pagemap = Pagemap::open(proc, pid)?;
    let Some(sample) = choose_sample(proc, pid, &pagemap)? else {
        return Ok(Err("has no page in memory"));
    };
    let Some(subject) = find_subject(kernel, identity, &pagemap, &sample)? else {
        return Ok(Err("has page tables that were not found in the kernel"));
    };
    Ok(Ok(Located {
        kernel: Arc::clone(kernel),
        proc: proc.clone(),
        identity,
        subject,
        pagemap,
        compared: Instant::now(),
        copies: Vec::new(),
        ends: Vec::new(),
    }))
}

/// Some pages in memory, those that only one address space has where there are such.
fn choose_sample(
    proc: &ProcRoot,
    pid: u32,
    pagemap: &Pagemap,
) -> Result<Option<Sample>, AttachError> {
    let mut mappings: Vec<Mapping> = Vec::new();
    MapsFile::open(proc, pid)?.read(&mut mappings)?;
    // Written pages are rarely shared, and those of the stack never.
    mappings.sort_by_key(|mapping| (!mapping.permissions.write, mapping.permissions.shared));
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    let mut pages = [Page::default(); LOOKED_AT];
    for mapping in mappings.iter().filter(|mapping| !mapping.name.starts_with("[v")) {
        let start = if mapping.name == "[stack]" {
            mapping.end.saturating_sub(LOOKED_AT as u64 * 4096).max(mapping.start)
        } else {
            mapping.start
        };
        let count = usize::try_from((mapping.end - start) / 4096).unwrap_or(LOOKED_AT);
        let wanted = pages.get_mut(..count.min(LOOKED_AT)).unwrap_or_default();
        let Ok(found) = pagemap.read(start, wanted) else { continue };
        let mut taken = 0;
        for (address, page) in (start..).step_by(4096).zip(found) {
            if page.frame() == Some(0) {
                return Err(AttachError::Refused(refusal::frames_hidden()));
            }
            if page.is_present() && taken < TAKEN {
                taken += usize::from(page.is_exclusive());
                if page.is_exclusive() { &mut own } else { &mut shared }.push(address);
            }
        }
        if own.len() >= COMPARED {
            break;
        }
    }
    let unmistakable = !own.is_empty();
    let mut addresses = if unmistakable { own } else { shared };
    addresses.truncate(COMPARED);
    Ok((!addresses.is_empty()).then_some(Sample { addresses, unmistakable }))
}

/// The task of `identity`: the one with its process id; in another PID namespace, where the kernel's id is
/// another one, first those that started at the same time, then all. What decides are the frames.
fn find_subject(
    kernel: &PageTables,
    identity: Identity,
    pagemap: &Pagemap,
    sample: &Sample,
) -> Result<Option<Subject>, AttachError> {
    let mut found = None;
    each_process(kernel, |task| {
        if task.tgid == identity.pid {
            found = Some(*task);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(task) = found
        && let Some(subject) = verified(kernel, &task, pagemap, sample)?
    {
        return Ok(Some(subject));
    }
    if !sample.unmistakable {
        return Ok(None);
    }
    // In another namespace the same number may well belong to a process that is met before ours.
    let mut leaders: Vec<Task> = Vec::new();
    each_process(kernel, |task| {
        leaders.push(*task);
        ControlFlow::Continue(())
    })?;
    let ticks = |task: &Task| task.start_boottime / NANOSECONDS_PER_TICK;
    leaders.sort_by_key(|task| ticks(task).abs_diff(identity.start_ticks));
    for task in &leaders {
        if let Some(subject) = verified(kernel, task, pagemap, sample)? {
            return Ok(Some(subject));
        }
    }
    Ok(None)
}

fn each_process(
    kernel: &PageTables,
    mut visit: impl FnMut(&Task) -> ControlFlow<()>,
) -> Result<(), AttachError> {
    kernel
        .members
        .each_process(&mut kernel.machine().peek, |_, task| visit(task))
        .map_err(|errno| AttachError::Refused(refusal::run(errno)))
}

/// `/proc/PID/stat` counts in hundredths of a second (`USER_HZ`).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// The subject behind a task, if its tables hold the pages of `sample`.
fn verified(
    kernel: &PageTables,
    task: &Task,
    pagemap: &Pagemap,
    sample: &Sample,
) -> Result<Option<Subject>, AttachError> {
    let refuse = |errno| AttachError::Refused(refusal::run(errno));
    let subject = kernel.members.subject(&mut kernel.machine().peek, task).map_err(refuse)?;
    let Some(subject) = subject else { return Ok(None) };
    // Most candidates fail at the first look; nobody waits for those to come to agree.
    let mut plausible = false;
    for &address in sample.addresses.iter().take(TAKEN) {
        match kernel.walk_one(&subject, address) {
            Ok(leaf) => plausible |= agree::agrees(pagemap, address, leaf),
            Err(RunError::Another) => return Ok(None),
            Err(RunError::Failed(why)) => return Err(AttachError::Refused(why)),
        }
    }
    if !plausible && sample.unmistakable {
        return Ok(None);
    }
    let compared =
        agree::compare(pagemap, &sample.addresses, |address| kernel.walk_one(&subject, address));
    match compared {
        Ok(Agreement { hidden: true, .. }) => Err(AttachError::Refused(refusal::frames_hidden())),
        Ok(Agreement { disagreed: None, agreed, .. }) if agreed > 0 => Ok(Some(subject)),
        Ok(_) | Err(RunError::Another) => Ok(None),
        Err(RunError::Failed(why)) => Err(AttachError::Refused(why)),
    }
}

impl PageTables {
    /// One address; where the tables do not hold still, nothing is mapped.
    fn walk_one(&self, subject: &Subject, address: u64) -> Result<Leaf, RunError> {
        let mut leaf = [Leaf::default()];
        self.walk_all(subject, &[address], &mut leaf)?;
        Ok(leaf[0])
    }

    /// First address that no process can have.
    pub(super) fn end_of_user_space(&self) -> u64 {
        1 << (11 + 9 * u32::from(self.levels))
    }

    fn walk_all(
        &self,
        subject: &Subject,
        addresses: &[u64],
        leaves: &mut [Leaf],
    ) -> Result<(), RunError> {
        let mut found = [None; BATCH];
        let mut machine = self.machine();
        for (addresses, leaves) in addresses.chunks(BATCH).zip(leaves.chunks_mut(BATCH)) {
            machine.walk(subject, addresses, &mut found)?;
            for ((address, leaf), found) in addresses.iter().zip(leaves).zip(&found) {
                *leaf = match found {
                    _ if *address >= self.end_of_user_space() => Leaf::default(),
                    Some(leaf) => *leaf,
                    None => settle(&mut machine, subject, *address)?,
                };
            }
        }
        Ok(())
    }
}

/// Walks for one address whose tables changed during the walk.
fn settle(
    machine: &mut super::machine::Machine,
    subject: &Subject,
    address: u64,
) -> Result<Leaf, RunError> {
    let mut found = [None];
    for _ in 0..SETTLE_TRIES {
        machine.walk(subject, &[address], &mut found)?;
        if let [Some(leaf)] = found {
            return Ok(leaf);
        }
    }
    Ok(Leaf::default())
}

impl Located {
    /// The process.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Runs something that asks the kernel; once more through another thread when the one looked through has
    /// exited.
    fn run<T>(
        &mut self,
        mut ask: impl FnMut(&PageTables, &Subject) -> Result<T, RunError>,
    ) -> Result<T, WatchError> {
        for _ in 0..RELOCATE_TRIES {
            match ask(&self.kernel, &self.subject) {
                Ok(answer) => return Ok(answer),
                Err(RunError::Failed(why)) => return Err(WatchError::Failed(why)),
                Err(RunError::Another) => self.subject = self.relocate()?,
            }
        }
        Err(self.lost())
    }

    /// A living thread with the same address space. Its process id in the initial namespace is known by now.
    fn relocate(&self) -> Result<Subject, WatchError> {
        let mut machine = self.kernel.machine();
        let mut found = None;
        let listed = self.kernel.members.each_process(&mut machine.peek, |peek, task| {
            if task.tgid != self.subject.tgid {
                return ControlFlow::Continue(());
            }
            found = self.kernel.members.subject(peek, task).ok().flatten();
            ControlFlow::Break(())
        });
        drop(machine);
        listed.map_err(|errno| WatchError::Failed(refusal::run(errno)))?;
        // The address space is pinned, so an equal address means the same one.
        found
            .filter(|found| found.mm == self.subject.mm && found.pgd == self.subject.pgd)
            .ok_or_else(|| self.lost())
    }

    /// What has become of a process that no longer uses the address space.
    fn lost(&self) -> WatchError {
        let lives = |attempt| {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.has_memory()
        };
        if (0..GONE_LOOKS).any(lives) { WatchError::Replaced } else { WatchError::Gone }
    }

    fn has_memory(&self) -> bool {
        let pid = self.identity.pid;
        let mut mappings = Vec::new();
        let same = self.proc.stat(pid).is_ok_and(|s| s.start_ticks == self.identity.start_ticks);
        let read = MapsFile::open(&self.proc, pid).and_then(|mut maps| maps.read(&mut mappings));
        same && read.is_ok() && !mappings.is_empty()
    }

    /// Compares some of these addresses with `pagemap`, if it is time.
    pub(super) fn compare_now_and_then(
        &mut self,
        addresses: impl Iterator<Item = u64>,
    ) -> Result<(), WatchError> {
        if self.compared.elapsed() < COMPARE_EVERY {
            return Ok(());
        }
        let addresses: Vec<u64> = addresses.take(COMPARED).collect();
        let pagemap = &self.pagemap;
        let subject = self.subject;
        let compared =
            agree::compare(pagemap, &addresses, |address| self.kernel.walk_one(&subject, address));
        match compared {
            // Seen by the next walk, which sorts it out.
            Err(RunError::Another) => Ok(()),
            Err(RunError::Failed(why)) => Err(WatchError::Failed(why)),
            Ok(Agreement { disagreed: Some(at), .. }) => Err(WatchError::Failed(format!(
                "the page tables read for process {} do not agree with its pagemap: at {:#x} entry {:#x} of \
                 level {}, frame by pagemap {:x?}; what was read is not recorded; use another backend",
                self.identity.pid, at.address, at.leaf.entry, at.leaf.level, at.frame
            ))),
            Ok(Agreement { hidden: true, .. }) => Err(WatchError::Failed(refusal::frames_hidden())),
            Ok(_) => {
                self.compared = Instant::now();
                Ok(())
            }
        }
    }

    /// Copies the tables with entries of `level` around at most [`TABLES`] addresses into
    /// [`Self::copies`]; how each ended goes to [`Self::ends`].
    pub(super) fn copy_tables(&mut self, level: u8, addresses: &[u64]) -> Result<(), WatchError> {
        debug_assert!(addresses.len() <= TABLES);
        let mut copies = std::mem::take(&mut self.copies);
        let mut ends = std::mem::take(&mut self.ends);
        copies.resize(TABLES * super::program::ENTRIES_PER_TABLE, 0);
        let done = self.run(|kernel, subject| {
            let mut machine = kernel.machine();
            machine.copy_tables(subject, level, addresses)?;
            ends.clear();
            for (index, copy) in copies
                .chunks_mut(super::program::ENTRIES_PER_TABLE)
                .enumerate()
                .take(addresses.len())
            {
                let end = machine.ended(index);
                if end.is_some_and(|end| end.level == level) {
                    machine.entries(index, 0, copy);
                }
                ends.push(end);
            }
            Ok(())
        });
        (self.copies, self.ends) = (copies, ends);
        done
    }

    pub(super) fn levels(&self) -> u8 {
        self.kernel.levels
    }

    pub(super) fn end_of_user_space(&self) -> u64 {
        self.kernel.end_of_user_space()
    }
}

impl Tables for Located {
    fn walk(&mut self, addresses: &[u64], leaves: &mut [Leaf]) -> Result<(), WatchError> {
        self.run(|kernel, subject| kernel.walk_all(subject, addresses, leaves))?;
        let step = addresses.len().div_ceil(COMPARED).max(1);
        let present = addresses.iter().zip(&*leaves).filter(|(_, leaf)| leaf.is_present());
        let chosen: Vec<u64> = if self.compared.elapsed() < COMPARE_EVERY {
            Vec::new()
        } else {
            present.step_by(step).map(|(address, _)| *address).collect()
        };
        self.compare_now_and_then(chosen.into_iter())
    }

    fn scan(
        &mut self,
        start: u64,
        end: u64,
        each: &mut dyn FnMut(u64, u8, &[u64]),
    ) -> Result<(), WatchError> {
        super::scan::scan(self, start, end, each)
    }
}
