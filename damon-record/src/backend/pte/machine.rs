//! The loaded programs with their array: asking and answering.

use super::program::{self, Layout, Members, UNSETTLED, word};
use super::refusal;
use super::tables::Leaf;
use crate::sys::bpf::{Array, Program};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// The process that a run is for, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// Address of a `task_struct` of it that has not exited.
    pub(super) task: u64,
    /// Process id in the initial namespace.
    pub(super) tgid: u32,
    /// `task_struct.start_time` of that task.
    pub(super) start_time: u64,
    /// Address of its `mm_struct`.
    pub(super) mm: u64,
    /// Address of its topmost page table.
    pub(super) pgd: u64,
}

/// Why a run brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RunError {
    /// The task is not the expected one or uses another address space.
    Another,
    /// Says what.
    Failed(String),
}

/// Reads any address of the kernel.
#[derive(Debug)]
pub(super) struct Peek {
    array: Array,
    copy: Program,
}

impl Peek {
    /// Makes the array and loads *Copy*.
    pub(super) fn new() -> Result<Self, String> {
        let array = make_array().map_err(refusal::array)?;
        let code = program::copy(array.as_fd().as_raw_fd()).ok_or("a program has loose ends")?;
        let copy = Program::load(&code).map_err(|error| refusal::program("copy", &error))?;
        Ok(Self { array, copy })
    }

    /// Copies kernel memory from `address` on. False: it cannot be read.
    pub(super) fn read(&mut self, address: u64, words: &mut [u64]) -> Result<bool, Errno> {
        self.array.set(word::ADDRESS, address);
        self.array.set(word::LENGTH, words.len() as u64 * 8);
        let done = self.copy.run()? == program::DONE;
        if done {
            self.array.read(word::DATA, words);
        }
        Ok(done)
    }

    /// One word.
    pub(super) fn word(&mut self, address: u64) -> Result<Option<u64>, Errno> {
        let mut words = [0];
        Ok(self.read(address, &mut words)?.then_some(words[0]))
    }

    /// `task_struct` of the thread that calls this.
    pub(super) fn current(&mut self) -> Result<u64, Errno> {
        self.array.set(word::LENGTH, 0);
        self.copy.run()?;
        Ok(self.array.get(word::CURRENT))
    }
}

fn make_array() -> Result<Array, Errno> {
    Array::new(word::TOTAL)
}

/// All programs.
#[derive(Debug)]
pub(super) struct Machine {
    /// The one that needs to know nothing.
    pub(super) peek: Peek,
    walk: Program,
    tables: Program,
    /// Set in every entry when memory is encrypted, and no part of an address.
    encryption: u64,
}

impl Machine {
    /// Loads the others.
    pub(super) fn new(
        peek: Peek,
        members: &Members,
        layout: Layout,
        encryption: u64,
    ) -> Result<Self, String> {
        let fd = peek.array.as_fd().as_raw_fd();
        let load = |name, code: Option<Vec<_>>| {
            let code = code.ok_or("a program has loose ends")?;
            Program::load(&code).map_err(|error| refusal::program(name, &error))
        };
        let walk = load("walk", program::walk(fd, members, layout))?;
        let tables = load("tables", program::tables(fd, members, layout))?;
        Ok(Self { peek, walk, tables, encryption })
    }

    /// Sets where physical memory ends.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.peek.array.set(word::LIMIT, limit);
    }

    fn ask(&mut self, subject: &Subject, addresses: &[u64]) {
        let array = &mut self.peek.array;
        array.set(word::TASK, subject.task);
        array.set(word::TGID, u64::from(subject.tgid));
        array.set(word::START_TIME, subject.start_time);
        array.set(word::MM, subject.mm);
        array.set(word::PGD, subject.pgd);
        array.set(word::COUNT, addresses.len() as u64);
        for (index, address) in (word::ADDRESSES..).zip(addresses) {
            array.set(index, *address);
        }
    }

    /// Walks for at most [`program::BATCH`] addresses of the lower half. `None` for an address: ask again.
    pub(super) fn walk(
        &mut self,
        subject: &Subject,
        addresses: &[u64],
        leaves: &mut [Option<Leaf>],
    ) -> Result<(), RunError> {
        self.ask(subject, addresses);
        answer(self.walk.run())?;
        for (index, leaf) in leaves.iter_mut().enumerate().take(addresses.len()) {
            *leaf = self.leaf(index);
        }
        Ok(())
    }

    fn leaf(&self, index: usize) -> Option<Leaf> {
        let level = self.peek.array.get(word::LEVELS + index);
        let level = u8::try_from(level).ok().filter(|level| u64::from(*level) != UNSETTLED)?;
        let entry = self.peek.array.get(word::ENTRIES + index) & !self.encryption;
        Some(Leaf { entry, level })
    }

    /// Copies the page tables with entries of `level` around at most [`program::TABLES`] addresses.
    pub(super) fn copy_tables(
        &mut self,
        subject: &Subject,
        level: u8,
        addresses: &[u64],
    ) -> Result<(), RunError> {
        self.ask(subject, addresses);
        self.peek.array.set(word::LEVEL, u64::from(level));
        answer(self.tables.run())
    }

    /// Where the copying for address `index` ended: at its level when there is a copy, above it at a leaf or
    /// where nothing is mapped. `None`: ask again.
    pub(super) fn ended(&self, index: usize) -> Option<Leaf> {
        self.leaf(index)
    }

    /// Entries of copy `index` from entry `first` on.
    pub(super) fn entries(&self, index: usize, first: usize, entries: &mut [u64]) {
        let start = word::DATA + index * program::ENTRIES_PER_TABLE;
        self.peek.array.read(start + first, entries);
        if self.encryption != 0 {
            for entry in entries {
                *entry &= !self.encryption;
            }
        }
    }
}

fn answer(returned: Result<u32, Errno>) -> Result<(), RunError> {
    match returned {
        Ok(program::DONE) => Ok(()),
        Ok(_) => Err(RunError::Another),
        Err(errno) => Err(RunError::Failed(refusal::run(errno))),
    }
}
