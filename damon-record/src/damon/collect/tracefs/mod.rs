//! Events through a private instance of tracefs, for where perf is forbidden.
//!
//! Nothing global is touched: neither the top instance's switches nor its buffers. The instance is a folder that is
//! removed at the end, or by the next recorder if this one is killed.

mod instance;
mod page;

use super::order::Order;
use super::{Collect, CollectError, Collected, Intake, Tally, Wanted};
use super::{kib, thread_filter, thread_names};
use crate::damon::events::Catalog;
use crate::host::monotonic_ns;
use crate::proc::ProcRoot;
use instance::{Folders, Instance, Kernel};
use nix::libc;
use page::{Layout, Missed};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// All buffers of a machine with many CPUs together.
const MOST_BYTES: usize = 64 << 20;
const LEAST_BYTES: usize = 128 << 10;

/// The buffer of one CPU.
#[derive(Debug)]
struct Cpu {
    path: PathBuf,
    /// `trace_pipe_raw`: what is read from it is gone.
    pages: File,
    /// Lost according to the pages.
    flagged: u64,
    /// Handed on as lost.
    told: u64,
}

impl Cpu {
    /// Events that this buffer lost, ever: overwritten, dropped, or interrupted while being written.
    fn lost(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.path.join("stats")).ok()?;
        let counts = text.lines().filter_map(|line| {
            let (name, count) = line.split_once(':')?;
            let counts = matches!(name.trim(), "overrun" | "commit overrun" | "dropped events");
            counts.then(|| count.trim().parse::<u64>().ok())?
        });
        Some(counts.fold(0, u64::saturating_add))
    }

    /// How many of `total` have not been handed on yet; they count as handed on now.
    fn news(&mut self, total: u64) -> u64 {
        let news = total.saturating_sub(self.told);
        self.told = self.told.saturating_add(news);
        news
    }

    /// What a page says about events missing before it.
    fn missed(&mut self, missed: Missed) -> u64 {
        let total = if let Missed::Counted(count) = missed {
            self.flagged = self.flagged.saturating_add(count);
            self.flagged
        } else {
            self.lost().unwrap_or(0).max(self.told.saturating_add(1))
        };
        self.news(total)
    }
}

/// The collector.
#[derive(Debug)]
pub struct Trace {
    // Closed before the instance is removed: the kernel keeps one that is being read.
    cpus: Vec<Cpu>,
    instance: Instance,
    layout: Layout,
    page: Vec<u8>,
    /// Pages that a CPU's buffer can hold.
    most_pages: usize,
    intake: Intake,
    order: Order<Collected>,
    how: String,
}

/// Makes an instance and switches DAMON's events on in it, for the wanted threads.
///
/// # Errors
/// The kernel has not the events, or the instance cannot be made or set up; then it is gone again.
pub fn open(wanted: &Wanted<'_>) -> Result<Trace, CollectError> {
    let proc = ProcRoot::default();
    let alive = |pid: u32| pid == std::process::id() || proc.of(pid, "stat").exists();
    for left in instance::stale(wanted.tracefs, &alive) {
        // Refused while anybody reads it, so one in use (of another pid namespace) stays.
        let _in_use = Kernel.remove(&left);
    }
    Trace::with(wanted, std::process::id(), Box::new(Kernel))
}

impl Trace {
    fn with(
        wanted: &Wanted<'_>,
        pid: u32,
        folders: Box<dyn Folders>,
    ) -> Result<Self, CollectError> {
        if wanted.threads.is_empty() {
            return Err(CollectError::NoThreads);
        }
        let catalog = Catalog::read(wanted.tracefs, wanted.events)?;
        let instance = Instance::make(wanted.tracefs, pid, folders)?;
        let layout = instance.read("events/header_page")?;
        let layout = Layout::parse(&layout).ok_or_else(|| {
            let path = instance.path().join("events/header_page");
            CollectError::unexpected(&path, &layout, "the fields timestamp, commit and data")
        })?;
        let folders = cpu_folders(instance.path())?;
        let bytes = wanted.bytes.min(MOST_BYTES / folders.len().max(1)).max(LEAST_BYTES);
        // The clock first: changing it empties the buffers.
        instance.write("trace_clock", "mono")?;
        instance.write("buffer_size_kb", &(bytes >> 10).to_string())?;
        let filter = thread_filter(wanted.threads);
        for event in &catalog.events {
            let folder = format!("events/damon/{}", event.kind.tracepoint());
            instance.write(&format!("{folder}/filter"), &filter)?;
        }
        let cpus = folders.into_iter().map(open_cpu).collect::<Result<Vec<Cpu>, _>>()?;
        for event in &catalog.events {
            instance.write(&format!("events/damon/{}/enable", event.kind.tracepoint()), "1")?;
        }
        let how = format!(
            "private tracing instance {} with {} for each of {} CPUs, for the kdamond's {}: {}",
            instance.path().file_name().unwrap_or_default().display(),
            kib(bytes),
            cpus.len(),
            thread_names(wanted.threads),
            catalog.names(),
        );
        Ok(Self {
            cpus,
            instance,
            layout,
            page: vec![0; layout.page_bytes()],
            most_pages: bytes / layout.page_bytes() + 2,
            intake: Intake::new(catalog.decoder, wanted.threads),
            order: Order::default(),
            how,
        })
    }

    fn drain_until(
        &mut self,
        until_ns: u64,
        each: &mut dyn FnMut(Collected),
    ) -> Result<(), CollectError> {
        let Self { cpus, layout, page, most_pages, intake, order, .. } = self;
        for cpu in cpus {
            // Not for ever, if events come faster than we read.
            for _ in 0..*most_pages {
                let length = match cpu.pages.read(page) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if is_empty(&error) => break,
                    Err(source) => {
                        return Err(CollectError::read(&cpu.path.join("trace_pipe_raw"), source));
                    }
                };
                let bytes = page.get(..length).unwrap_or_default();
                take(cpu, *layout, bytes, intake, order);
            }
        }
        order.release(until_ns, each);
        Ok(())
    }
}

/// All events of a page.
fn take(
    cpu: &mut Cpu,
    layout: Layout,
    bytes: &[u8],
    intake: &mut Intake,
    order: &mut Order<Collected>,
) {
    let Ok(page) = layout.open(bytes) else {
        order.push(0, intake.lost(None, 1));
        return;
    };
    if let Some(missed) = page.missed {
        let news = cpu.missed(missed);
        if news > 0 {
            order.push(page.time_ns, intake.lost(Some(page.time_ns), news));
        }
    }
    let mut last_ns = page.time_ns;
    let read = page.events(|time_ns, raw| {
        last_ns = time_ns;
        if let Some(what) = intake.event(time_ns, raw) {
            order.push(time_ns, what);
        }
    });
    if read.is_err() {
        order.push(last_ns, intake.lost(Some(last_ns), 1));
    }
}

/// Nothing there now; `ENODEV`: the CPU is not there.
fn is_empty(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENODEV)
}

/// The folders `per_cpu/cpuN` in the order of N.
fn cpu_folders(instance: &Path) -> Result<Vec<PathBuf>, CollectError> {
    let parent = instance.join("per_cpu");
    let entries =
        std::fs::read_dir(&parent).map_err(|source| CollectError::read(&parent, source))?;
    let mut cpus: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix("cpu")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    cpus.sort_unstable();
    Ok(cpus.into_iter().map(|(_, path)| path).collect())
}

fn open_cpu(path: PathBuf) -> Result<Cpu, CollectError> {
    let pipe = path.join("trace_pipe_raw");
    let pages = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe);
    let pages = pages.map_err(|source| CollectError::read(&pipe, source))?;
    Ok(Cpu { path, pages, flagged: 0, told: 0 })
}

impl Collect for Trace {
    fn drain(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        self.drain_until(monotonic_ns(), each)
    }

    fn settle(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        self.drain_until(u64::MAX, each)?;
        for cpu in &mut self.cpus {
            if let Some(total) = cpu.lost() {
                let news = cpu.news(total);
                if news > 0 {
                    each(self.intake.lost(None, news));
                }
            }
        }
        Ok(())
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.cpus.iter().map(|cpu| cpu.pages.as_fd()).collect()
    }

    fn tally(&self) -> Tally {
        Tally { late: self.order.late(), ..self.intake.tally }
    }

    fn describe(&self) -> String {
        self.how.clone()
    }

    fn instance(&self) -> Option<&Path> {
        Some(self.instance.path())
    }
}

#[cfg(test)]
mod tests;
