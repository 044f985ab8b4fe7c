//! One target under write protection.

use super::attach::{self, AttachError, Helper};
use super::memory::has_memory;
use crate::backend::{Toll, Touched, Watch, WatchError};
use crate::sys::own_pages::page_size;
use crate::sys::pagemap_scan::{self, MAX_RANGES, PageRange, Then, Unregistered};
use crate::sys::{pidfd, userfaultfd::Userfaultfd};
use damon_format::Mapping;
use nix::errno::Errno;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The smallest hugetlb page of x86-64; single small pages inside one cannot be protected.
const HUGE_PAGE: u64 = 2 << 20;

/// What a page that was written has cost the target, about: the fault (0.75 to 1.2 µs measured), and a TLB
/// entry that the next protection takes away.
const FAULT: Duration = Duration::from_nanos(1200);

/// How much of the target's writable memory is under observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Bytes of writable mappings that are watched.
    pub watched: u64,
    /// Bytes of writable mappings that the kernel does not let us watch, mostly because the target
    /// gave them to a userfaultfd of its own.
    pub refused: u64,
}

/// A writable mapping and what registering it gave.
#[derive(Clone, Copy, Debug)]
struct Area {
    start: u64,
    end: u64,
    registered: bool,
    /// Registered once more since the mappings were last read, because the kernel had forgotten it.
    retried: bool,
}

/// A target whose writes are seen: the watch of the backend `writes`.
///
/// Dropping it removes all protection; the kernel does the same when the recorder dies.
pub struct WritesWatch {
    pid: i32,
    userfaultfd: Userfaultfd,
    process: OwnedFd,
    pagemap: File,
    pause: Duration,
    page_size: u64,
    /// Writable mappings, ascending.
    areas: Vec<Area>,
    /// For each address of the last `prepare`: whether it is protected.
    armed: Vec<bool>,
    /// Whether `look` has protected everything once.
    looking: bool,
    ranges: Vec<PageRange>,
    /// Pages found written since the last question for the toll, each of which has cost a fault.
    faults: u64,
}

impl fmt::Debug for WritesWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritesWatch")
            .field("pid", &self.pid)
            .field("pause", &self.pause)
            .field("coverage", &self.coverage())
            .finish_non_exhaustive()
    }
}

/// How often the threads of a process are listed before one is found alive: while a thread executes a
/// program, all others vanish, and it takes the leader's number.
const LISTINGS: u32 = 5;

/// Opens the file of a living thread, best `tid`; that of an exited leader would be empty.
///
/// When a program is executed in between, the file is the new program's and the userfaultfd the old one's,
/// which has no memory any more: the first registration says so.
fn open_pagemap(pid: i32, tid: i32) -> io::Result<File> {
    let mut outcome = File::open(format!("/proc/{pid}/task/{tid}/pagemap"));
    for _ in 0..LISTINGS {
        if !outcome.as_ref().is_err_and(has_vanished) {
            break;
        }
        for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            outcome = File::open(thread.path().join("pagemap"));
            if outcome.is_ok() {
                break;
            }
        }
    }
    outcome
}

fn has_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// What became of one page or range.
enum Outcome<T> {
    Value(T),
    /// Not registered: unmapped and mapped again meanwhile, or never ours.
    NotWatched,
}

impl WritesWatch {
    /// Fetches a userfaultfd of process `pid` with the help of `helper`. Nothing is watched before
    /// [`mappings_changed`](Watch::mappings_changed) has been told what there is.
    ///
    /// Stops one thread of the target for about 0.2 ms.
    pub fn attach(pid: i32, helper: &Helper) -> Result<Self, AttachError> {
        let acquired = attach::acquire(pid, helper)?;
        let pagemap = open_pagemap(pid, acquired.tid).map_err(|error| {
            if pidfd::has_exited(acquired.process.as_fd()) {
                return AttachError::Gone { pid };
            }
            AttachError::Call {
                pid,
                what: "opening /proc/PID/task/TID/pagemap",
                errno: error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw),
            }
        })?;
        Ok(Self {
            pid,
            userfaultfd: acquired.userfaultfd,
            process: acquired.process,
            pagemap,
            pause: acquired.pause,
            page_size: page_size() as u64,
            areas: Vec::new(),
            armed: Vec::new(),
            looking: false,
            ranges: vec![PageRange::default(); MAX_RANGES],
            faults: 0,
        })
    }

    /// How long the injection held one thread of the target.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// What is under observation, as of the last [`mappings_changed`](Watch::mappings_changed).
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        for area in &self.areas {
            let bytes = area.end.saturating_sub(area.start);
            if area.registered {
                coverage.watched += bytes;
            } else {
                coverage.refused += bytes;
            }
        }
        coverage
    }

    /// What a vanished address space means. An exiting process has none any more; after an exec there is
    /// a new one.
    fn vanished(&self) -> WatchError {
        if pidfd::has_exited(self.process.as_fd()) {
            return WatchError::Gone;
        }
        if has_memory(self.pid) { WatchError::Replaced } else { WatchError::Gone }
    }

    fn sort_out<T>(&self, what: &str, result: Result<T, Errno>) -> Result<Outcome<T>, WatchError> {
        match result {
            Ok(value) => Ok(Outcome::Value(value)),
            // EFAULT: outside of what the target could ever map.
            Err(Errno::EPERM | Errno::EFAULT) => Ok(Outcome::NotWatched),
            Err(Errno::ESRCH | Errno::ENOMEM) => Err(self.vanished()),
            Err(errno) => {
                Err(WatchError::Failed(format!("{what} failed for process {}: {errno}", self.pid)))
            }
        }
    }

    /// Registers one mapping; false when the kernel refuses that mapping.
    fn register(&self, start: u64, end: u64) -> Result<bool, WatchError> {
        match self.userfaultfd.register(start, end) {
            Ok(()) => Ok(true),
            Err(Errno::ENOMEM | Errno::ESRCH) => Err(self.vanished()),
            Err(_) => Ok(false),
        }
    }

    /// Registers the mapping at `areas[index]` once more after the kernel said that it is not; once per
    /// reading of the mappings. True when it is worth trying again.
    fn heal(&mut self, index: usize) -> Result<bool, WatchError> {
        let Some(area) = self.areas.get(index).copied() else {
            return Ok(false);
        };
        if area.retried || !area.registered {
            return Ok(false);
        }
        let registered = self.register(area.start, area.end)?;
        if let Some(area) = self.areas.get_mut(index) {
            area.retried = true;
            area.registered = registered;
        }
        Ok(registered)
    }

    fn area_at(&self, address: u64) -> Option<usize> {
        let after = self.areas.partition_point(|area| area.start <= address);
        let index = after.checked_sub(1)?;
        let area = self.areas.get(index)?;
        (address < area.end).then_some(index)
    }

    /// Protects the page at `page`; false when it cannot be watched.
    fn arm(&mut self, page: u64) -> Result<bool, WatchError> {
        match self.try_arm(page)? {
            Outcome::Value(armed) => Ok(armed),
            Outcome::NotWatched => {
                let Some(index) = self.area_at(page) else {
                    return Ok(false);
                };
                if !self.heal(index)? {
                    return Ok(false);
                }
                Ok(matches!(self.try_arm(page)?, Outcome::Value(true)))
            }
        }
    }

    fn try_arm(&self, page: u64) -> Result<Outcome<bool>, WatchError> {
        let end = page.saturating_add(self.page_size);
        let done = pagemap_scan::protect(self.pagemap.as_fd(), page, end);
        match self.sort_out("PAGEMAP_SCAN (protect)", done)? {
            Outcome::Value(false) => {
                let start = page & !(HUGE_PAGE - 1);
                let done = pagemap_scan::protect(
                    self.pagemap.as_fd(),
                    start,
                    start.saturating_add(HUGE_PAGE),
                );
                self.sort_out("PAGEMAP_SCAN (protect)", done)
            }
            outcome => Ok(outcome),
        }
    }

    fn is_written(&mut self, page: u64) -> Result<bool, WatchError> {
        let found = pagemap_scan::written(
            self.pagemap.as_fd(),
            page,
            page.saturating_add(self.page_size),
            Then::Keep,
            Unregistered::Refuse,
            self.ranges.get_mut(..1).unwrap_or_default(),
        );
        Ok(matches!(self.sort_out("PAGEMAP_SCAN", found)?, Outcome::Value(1..)))
    }

    fn page_of(&self, address: u64) -> u64 {
        address & !(self.page_size - 1)
    }

    /// Protects everything without reporting.
    fn protect_all(&mut self) -> Result<(), WatchError> {
        for index in 0..self.areas.len() {
            let Some(area) = self.areas.get(index).copied().filter(|area| area.registered) else {
                continue;
            };
            let done = pagemap_scan::protect(self.pagemap.as_fd(), area.start, area.end);
            let outcome = self.sort_out("PAGEMAP_SCAN (protect)", done)?;
            if matches!(outcome, Outcome::NotWatched) && self.heal(index)? {
                let done = pagemap_scan::protect(self.pagemap.as_fd(), area.start, area.end);
                self.sort_out("PAGEMAP_SCAN (protect)", done)?;
            }
        }
        Ok(())
    }

    /// Appends what was written in one mapping and protects it again.
    fn look_at(
        &mut self,
        index: usize,
        own: usize,
        touched: &mut Vec<Touched>,
    ) -> Result<(), WatchError> {
        let Some(area) = self.areas.get(index).copied().filter(|area| area.registered) else {
            return Ok(());
        };
        let mut position = area.start;
        let mut unregistered = Unregistered::Refuse;
        while position < area.end {
            let found = pagemap_scan::written(
                self.pagemap.as_fd(),
                position,
                area.end,
                Then::Protect,
                unregistered,
                &mut self.ranges,
            );
            match self.sort_out("PAGEMAP_SCAN", found)? {
                Outcome::Value(count) => {
                    let ranges = self.ranges.get(..count).unwrap_or_default();
                    let bytes: u64 = ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
                    self.faults = self.faults.saturating_add(bytes / self.page_size);
                    append(ranges, own, touched);
                    match ranges.last() {
                        Some(last) if count == self.ranges.len() && last.end > position => {
                            position = last.end;
                        }
                        _ => break,
                    }
                }
                Outcome::NotWatched if unregistered == Unregistered::Refuse => {
                    // Part of the mapping is new under an old address; the rest must not be missed.
                    self.heal(index)?;
                    unregistered = Unregistered::Skip;
                }
                Outcome::NotWatched => break,
            }
        }
        Ok(())
    }
}

/// Appends ranges, joining neighbours among the entries from index `own` on.
fn append(ranges: &[PageRange], own: usize, touched: &mut Vec<Touched>) {
    for range in ranges {
        let joined = touched.len() > own
            && touched.last_mut().is_some_and(|last| {
                let adjacent = last.end == range.start;
                if adjacent {
                    last.end = range.end;
                    last.bytes = range.end.saturating_sub(last.start);
                }
                adjacent
            });
        if !joined {
            touched.push(Touched {
                start: range.start,
                end: range.end,
                bytes: range.end.saturating_sub(range.start),
            });
        }
    }
}

/// Mappings that a program can write to. The kernel's own pages in it are never written.
fn is_writable(mapping: &Mapping) -> bool {
    mapping.permissions.write && !mapping.name.starts_with("[v") && mapping.start < mapping.end
}

impl Watch for WritesWatch {
    fn prepare(&mut self, addresses: &[u64]) -> Result<(), WatchError> {
        let mut armed = std::mem::take(&mut self.armed);
        armed.clear();
        for &address in addresses {
            match self.arm(self.page_of(address)) {
                Ok(done) => armed.push(done),
                Err(error) => {
                    armed.clear();
                    self.armed = armed;
                    return Err(error);
                }
            }
        }
        self.armed = armed;
        Ok(())
    }

    fn check(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
        if addresses.len() != self.armed.len() || accessed.len() != addresses.len() {
            return Err(WatchError::Failed(format!(
                "{} pages were checked, {} were prepared",
                addresses.len(),
                self.armed.len()
            )));
        }
        for (index, (&address, accessed)) in addresses.iter().zip(accessed).enumerate() {
            *accessed =
                self.armed.get(index) == Some(&true) && self.is_written(self.page_of(address))?;
            self.faults += u64::from(*accessed);
        }
        Ok(())
    }

    fn look(&mut self, touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        if !self.looking {
            self.protect_all()?;
            self.looking = true;
            return Ok(());
        }
        let own = touched.len();
        for index in 0..self.areas.len() {
            self.look_at(index, own, touched)?;
        }
        Ok(())
    }

    fn mappings_changed(&mut self, mappings: &[Mapping]) -> Result<(), WatchError> {
        let mut areas = Vec::with_capacity(mappings.len());
        for mapping in mappings.iter().filter(|mapping| is_writable(mapping)) {
            let known = self
                .area_at(mapping.start)
                .and_then(|index| self.areas.get(index))
                .is_some_and(|area| area.registered && mapping.end <= area.end);
            areas.push(Area {
                start: mapping.start,
                end: mapping.end,
                registered: known || self.register(mapping.start, mapping.end)?,
                retried: false,
            });
        }
        areas.sort_unstable_by_key(|area| area.start);
        self.areas = areas;
        Ok(())
    }

    fn toll(&mut self) -> Toll {
        let faults = u32::try_from(std::mem::take(&mut self.faults)).unwrap_or(u32::MAX);
        Toll { target: FAULT.saturating_mul(faults), ..Toll::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PageRange {
        PageRange { start, end, ..PageRange::default() }
    }

    #[test]
    fn neighbours_are_joined_but_never_with_what_was_there_before() {
        let mut touched = vec![Touched { start: 0, end: 0x1000, bytes: 0x1000 }];
        append(
            &[range(0x1000, 0x2000), range(0x2000, 0x3000), range(0x5000, 0x6000)],
            1,
            &mut touched,
        );
        let shape: Vec<_> = touched.iter().map(|t| (t.start, t.end, t.bytes)).collect();
        assert_eq!(
            shape,
            [(0, 0x1000, 0x1000), (0x1000, 0x3000, 0x2000), (0x5000, 0x6000, 0x1000)]
        );
    }

    #[test]
    fn kernel_pages_and_read_only_mappings_are_left_out() {
        let mut mapping = Mapping {
            start: 0x1000,
            end: 0x2000,
            permissions: damon_format::Permissions {
                read: true,
                write: true,
                ..Default::default()
            },
            offset: 0,
            inode: 0,
            name: String::new(),
        };
        assert!(is_writable(&mapping));
        mapping.name = "[vvar]".to_owned();
        assert!(!is_writable(&mapping));
        mapping.name = "[heap]".to_owned();
        assert!(is_writable(&mapping));
        mapping.permissions.write = false;
        assert!(!is_writable(&mapping));
    }
}
