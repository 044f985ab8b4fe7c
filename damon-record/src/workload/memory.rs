//! The machine with real memory and the real clock.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::run::Machine;
use super::spec::{AreaSpec, Kind, Spec};
use super::truth::AreaTruth;
use crate::sys::area::{Area, Reservation, Source, page_size};

/// How often an interruption is looked for while there is no sleep.
const LOOK_NS: u64 = 10_000_000;

/// Why the memory of a workload cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// More than the machine has free.
    #[error(
        "the areas need {needed} MiB, but only {available} MiB are available; use smaller areas"
    )]
    TooLittle {
        /// MiB.
        needed: u64,
        /// MiB.
        available: u64,
    },
    /// This system's pages are larger than the workload's unit.
    #[error("area `{area}` is not made of this system's pages of {page_size} bytes")]
    PageSize {
        /// Name.
        area: String,
        /// Bytes.
        page_size: u64,
    },
    /// A mapping failed.
    #[error("cannot map area `{area}`: {source}")]
    Map {
        /// Name.
        area: String,
        /// What the system said.
        source: Errno,
    },
    /// The file of an area cannot be made.
    #[error("cannot make the file {} of an area: {source}; choose a place with --dir", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call that always works did not.
    #[error("cannot {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What the system said.
        source: Errno,
    },
    /// A touch outside an area: a defect of the generator.
    #[error("touch outside area {area} at offset {offset}")]
    Outside {
        /// Number of the area.
        area: usize,
        /// Bytes.
        offset: u64,
    },
}

/// The areas of a workload, mapped.
#[derive(Debug)]
pub struct Memory {
    areas: Vec<Area>,
    signals: SignalFd,
    caught: Option<i32>,
    next_look: u64,
    value: u64,
}

impl Memory {
    /// Maps the areas of `spec` without touching them; files go to `dir` and are unlinked at once.
    /// SIGINT, SIGTERM and SIGHUP no longer end the process but the phase.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn map(spec: &Spec, dir: &Path) -> Result<Self, MemoryError> {
        let system = |what| move |source| MemoryError::System { what, source };
        let page = page_size().map_err(system("learn the page size"))?;
        check_room(spec)?;
        let total = spec.areas.iter().map(|area| area.size + area.align);
        let total = total.sum::<u64>() + spec.gap * (spec.areas.len() as u64 + 1);
        let mut areas = Vec::new();
        if !spec.areas.is_empty() {
            let whole = |source| MemoryError::Map { area: spec.areas[0].name.clone(), source };
            let bytes = to_usize(total).ok_or(whole(Errno::ENOMEM))?;
            let mut reservation = Reservation::new(bytes).map_err(whole)?;
            for area in &spec.areas {
                areas.push(place(&mut reservation, area, spec.gap, page, dir)?);
            }
        }
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            mask.add(signal);
        }
        mask.thread_block().map_err(system("block signals"))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&mask, flags).map_err(system("open a signalfd"))?;
        nix::sys::prctl::set_timerslack(1_000).map_err(system("set the timer slack"))?;
        Ok(Self { areas, signals, caught: None, next_look: 0, value: 0 })
    }

    /// Where the areas are, in the order of `spec`.
    pub fn truth(&self, spec: &Spec) -> Vec<AreaTruth> {
        let describe = |(area, spec): (&Area, &AreaSpec)| AreaTruth {
            name: spec.name.clone(),
            kind: spec.kind.to_string(),
            huge: spec.huge,
            start: area.address() as u64,
            end: (area.address() + area.size()) as u64,
        };
        self.areas.iter().zip(&spec.areas).map(describe).collect()
    }

    /// The signal that asked for an end, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.caught
    }

    /// Sleeps until `input` has something to read or is at its end, or until an interruption.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn wait_for(&mut self, input: &impl AsFd) -> Result<(), MemoryError> {
        self.poll(Some(input.as_fd()), None)
    }

    fn poll(
        &mut self,
        input: Option<std::os::fd::BorrowedFd<'_>>,
        timeout: Option<TimeSpec>,
    ) -> Result<(), MemoryError> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(input.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(source) => {
                return Err(MemoryError::System { what: "wait", source });
            }
        }
        self.look();
        Ok(())
    }

    fn look(&mut self) {
        if let Ok(Some(signal)) = self.signals.read_signal() {
            self.caught = i32::try_from(signal.ssi_signo).ok();
        }
    }
}

impl Machine for Memory {
    type Error = MemoryError;

    fn now(&mut self) -> u64 {
        monotonic_ns()
    }

    fn sleep_until(&mut self, ns: u64) -> Result<(), MemoryError> {
        let left = std::time::Duration::from_nanos(ns.saturating_sub(self.now()));
        self.poll(None, Some(TimeSpec::from_duration(left)))
    }

    fn interrupted(&mut self) -> bool {
        let now = self.now();
        if self.caught.is_none() && now >= self.next_look {
            self.next_look = now + LOOK_NS;
            self.look();
        }
        self.caught.is_some()
    }

    #[inline]
    fn touch(&mut self, area: usize, offset: u64, write: bool) -> Result<(), MemoryError> {
        let word = to_usize(offset).zip(self.areas.get(area));
        let touched = word.and_then(|(offset, area)| {
            if write {
                // Never 0 and never twice the same, so that no page looks untouched or alike.
                self.value += 1;
                area.write(offset, self.value)
            } else {
                area.read(offset).map(drop)
            }
        });
        touched.ok_or(MemoryError::Outside { area, offset })
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

fn place(
    reservation: &mut Reservation,
    area: &AreaSpec,
    gap: u64,
    page: usize,
    dir: &Path,
) -> Result<Area, MemoryError> {
    let map_error = |source| MemoryError::Map { area: area.name.clone(), source };
    let number = |bytes| to_usize(bytes).ok_or(map_error(Errno::ENOMEM));
    if !area.size.is_multiple_of(page as u64) {
        return Err(MemoryError::PageSize { area: area.name.clone(), page_size: page as u64 });
    }
    let name = CString::new(area.name.as_str()).unwrap_or_default();
    let (size, align, gap) = (number(area.size)?, number(area.align)?.max(page), number(gap)?);
    let mut map = |source| reservation.place(size, align, gap, source).map_err(map_error);
    let mapped = match area.kind {
        Kind::Anon => map(Source::Anonymous)?,
        Kind::Shared => {
            let file = File::from(
                memfd_create(name.as_c_str(), MFdFlags::MFD_CLOEXEC).map_err(map_error)?,
            );
            file.set_len(area.size).map_err(|error| map_error(errno(&error)))?;
            map(Source::Shared(file.as_fd()))?
        }
        Kind::File => map(Source::Shared(backing_file(area, dir)?.as_fd()))?,
    };
    match mapped.advise_huge_pages(area.huge) {
        // A kernel without huge pages has none to refuse.
        Err(Errno::EINVAL) if !area.huge => {}
        advised => advised.map_err(map_error)?,
    }
    if area.kind == Kind::Anon {
        // A convenience that only some kernels offer.
        let _named = mapped.set_name(&name);
    }
    Ok(mapped)
}

/// A file without holes: a full disk is an error here, not a SIGBUS at some touch.
fn backing_file(area: &AreaSpec, dir: &Path) -> Result<File, MemoryError> {
    let path = dir.join(format!("damon-workload-{}-{}", std::process::id(), area.name));
    let file =
        File::options().read(true).write(true).create_new(true).open(&path).and_then(|file| {
            std::fs::remove_file(&path)?;
            let bytes = i64::try_from(area.size).map_err(io::Error::other)?;
            nix::fcntl::posix_fallocate(&file, 0, bytes)?;
            Ok(file)
        });
    file.map_err(|source| MemoryError::File { path, source })
}

fn check_room(spec: &Spec) -> Result<(), MemoryError> {
    let needed = spec.areas.iter().filter(|area| !area.lazy);
    let needed = needed.map(|area| area.size).sum::<u64>() >> 20;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(u64::MAX, |kib| kib >> 10);
    if needed > available {
        return Err(MemoryError::TooLittle { needed, available });
    }
    Ok(())
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

fn to_usize(bytes: u64) -> Option<usize> {
    usize::try_from(bytes).ok()
}
