//! The kernel's list of processes, read while processes come and go.

use super::machine::{Peek, Subject};
use nix::errno::Errno;
use std::ops::ControlFlow;

/// Where members lie, bytes from the beginning of their structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskMembers {
    pub(super) tasks: u32,
    pub(super) tgid: u32,
    pub(super) mm: u32,
    pub(super) start_time: u32,
    pub(super) start_boottime: u32,
    pub(super) group_leader: u32,
    pub(super) signal: u32,
    pub(super) thread_node: u32,
    /// In `signal_struct`.
    pub(super) thread_head: u32,
    /// In `mm_struct`.
    pub(super) pgd: u32,
}

/// What is read of one `task_struct`, in one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Its address.
    pub(super) address: u64,
    /// Process id in the initial namespace.
    pub(super) tgid: u32,
    /// Address of its `mm_struct`; 0 for kernel threads and after the exit.
    pub(super) mm: u64,
    /// When it started, nanoseconds since boot without suspended time.
    pub(super) start_time: u64,
    /// The same with suspended time, from which `/proc/PID/stat` is made.
    pub(super) start_boottime: u64,
    group_leader: u64,
    signal: u64,
    tasks: Link,
    thread: Link,
}

/// `struct list_head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    next: u64,
    prev: u64,
}

/// More processes, or threads of one, than Linux can have (`PID_MAX_LIMIT`): the list is a circle that we
/// are not on.
const MAX_TASKS: u32 = 1 << 22;
/// How often the walk begins again because the element it stood on was removed.
const MAX_RESTARTS: u32 = 64;
/// How often the element before is asked for its successor again.
const MAX_STEPS_BACK: u32 = 8;

fn word(words: &[u64], first: u32, at: u32) -> u64 {
    let index = at.checked_sub(first).and_then(|bytes| usize::try_from(bytes / 8).ok());
    index.and_then(|index| words.get(index)).copied().unwrap_or(0)
}

impl TaskMembers {
    fn all(&self) -> [u32; 8] {
        [
            self.tasks,
            self.tgid,
            self.mm,
            self.start_time,
            self.start_boottime,
            self.group_leader,
            self.signal,
            self.thread_node,
        ]
    }

    /// Reads one task. `None`: nothing that can be read, or nothing that can be a task.
    fn read(&self, peek: &mut Peek, address: u64) -> Result<Option<Task>, Errno> {
        if !is_kernel_address(address) {
            return Ok(None);
        }
        let first = self.all().into_iter().min().unwrap_or(0) & !7;
        // The lists have two words; so many are taken after every member.
        let end = self.all().into_iter().max().unwrap_or(0).saturating_add(16).next_multiple_of(8);
        let count = usize::try_from((end - first) / 8).unwrap_or(0);
        let mut words = vec![0; count];
        if !peek.read(address.wrapping_add(u64::from(first)), &mut words)? {
            return Ok(None);
        }
        let at = |member| word(&words, first, member);
        let link = |member| Link { next: at(member), prev: at(member + 8) };
        let tgid = at(self.tgid & !7) >> (8 * (self.tgid & 4));
        Ok(Some(Task {
            address,
            tgid: u32::try_from(tgid & 0xffff_ffff).unwrap_or(0),
            mm: at(self.mm),
            start_time: at(self.start_time),
            start_boottime: at(self.start_boottime),
            group_leader: at(self.group_leader),
            signal: at(self.signal),
            tasks: link(self.tasks),
            thread: link(self.thread_node),
        }))
    }

    /// Shows `visit` the leader of every process, this one first, until it breaks. One that comes or goes
    /// meanwhile may be missed; one may be shown twice.
    pub(super) fn each_process(
        &self,
        peek: &mut Peek,
        mut visit: impl FnMut(&mut Peek, &Task) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        for _ in 0..MAX_RESTARTS {
            let current = peek.current()?;
            let Some(own) = self.read(peek, current)? else { return Err(Errno::EFAULT) };
            let Some(first) = self.read(peek, own.group_leader)? else {
                return Err(Errno::EFAULT);
            };
            let mut here = first;
            for _ in 0..MAX_TASKS {
                if visit(peek, &here).is_break() {
                    return Ok(());
                }
                match self.next_process(peek, &here)? {
                    Some(next) if next.address == first.address => return Ok(()),
                    Some(next) => here = next,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// The element after `here`. A successor whose backward link does not lead to where we come from was
    /// inserted before, or either of the two was removed (`list_del_rcu` spoils the backward link), and its
    /// memory may be anything by now. `None`: begin again.
    fn next_process(&self, peek: &mut Peek, here: &Task) -> Result<Option<Task>, Errno> {
        let mut here = *here;
        for _ in 0..MAX_STEPS_BACK {
            let address = here.tasks.next.wrapping_sub(u64::from(self.tasks));
            let next = self.read(peek, address)?;
            let own_link = here.address.wrapping_add(u64::from(self.tasks));
            if let Some(next) = next.filter(|next| next.tasks.prev == own_link) {
                return Ok(Some(next));
            }
            match self.read(peek, here.address)? {
                Some(again) if again.tasks.prev == here.tasks.prev => here = again,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A thread of the process led by `leader` that has memory, and the memory: the leader's exit does not
    /// end the process.
    pub(super) fn subject(&self, peek: &mut Peek, leader: &Task) -> Result<Option<Subject>, Errno> {
        if leader.mm != 0 {
            return self.subject_of(peek, leader);
        }
        let head = leader.signal.wrapping_add(u64::from(self.thread_head));
        if !is_kernel_address(head) {
            return Ok(None);
        }
        let (mut from, Some(mut link)) = (head, peek.word(head)?) else { return Ok(None) };
        for _ in 0..MAX_TASKS {
            if link == head {
                break;
            }
            let address = link.wrapping_sub(u64::from(self.thread_node));
            let Some(thread) = self.read(peek, address)? else { break };
            if thread.thread.prev != from || thread.tgid != leader.tgid {
                break;
            }
            if thread.mm != 0 {
                return self.subject_of(peek, &thread);
            }
            (from, link) = (link, thread.thread.next);
        }
        Ok(None)
    }

    fn subject_of(&self, peek: &mut Peek, task: &Task) -> Result<Option<Subject>, Errno> {
        if !is_kernel_address(task.mm) {
            return Ok(None);
        }
        let pgd = peek.word(task.mm.wrapping_add(u64::from(self.pgd)))?;
        Ok(pgd.filter(|pgd| is_kernel_address(*pgd)).map(|pgd| Subject {
            task: task.address,
            tgid: task.tgid,
            start_time: task.start_time,
            mm: task.mm,
            pgd,
        }))
    }
}

/// The upper half of the address space, where structures are aligned to words.
fn is_kernel_address(address: u64) -> bool {
    address >= 0xff00_0000_0000_0000 && address.is_multiple_of(8)
}
