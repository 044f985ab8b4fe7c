//! Events through perf rings: attached to the kdamonds' threads, else one on each CPU.

use super::order::Order;
use super::{Collect, CollectError, Collected, Intake, Tally, Wanted};
use super::{kib, thread_filter, thread_names};
use crate::damon::events::Catalog;
use crate::host::monotonic_ns;
use crate::sys::perf::{OpenError, PerfRing, Step, Where};
use crate::sys::ring::Record;
use nix::errno::Errno;
use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
pub(crate) const ONLINE: &str = "/sys/devices/system/cpu/online";
/// What the first pid namespace is called: its number is fixed (`include/linux/proc_ns.h`, `PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
/// All rings of a machine with many CPUs together.
const MOST_BYTES: usize = 64 << 20;
const LEAST_BYTES: usize = 128 << 10;

/// A ring that events come from.
pub trait Ring: std::fmt::Debug {
    /// Hands over what is in it.
    fn drain(&mut self, each: impl FnMut(Record<'_>));

    /// Samples it had no room for, ever; `None` where nobody counts.
    fn lost(&self) -> Option<u64>;

    /// Readable when draining is due.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

impl Ring for PerfRing {
    fn drain(&mut self, mut each: impl FnMut(Record<'_>)) {
        let _continue = Self::drain(self, |record| {
            each(record);
            ControlFlow::<()>::Continue(())
        });
    }

    fn lost(&self) -> Option<u64> {
        Self::lost(self)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

/// A ring and what is known of its losses.
#[derive(Debug)]
struct Source<R> {
    ring: R,
    /// Lost according to its records.
    recorded: u64,
    /// Handed on as lost.
    told: u64,
    last_ns: u64,
}

impl<R> Source<R> {
    /// How many of `total` have not been handed on yet; they count as handed on now.
    fn news(&mut self, total: u64) -> u64 {
        let news = total.saturating_sub(self.told);
        self.told = self.told.saturating_add(news);
        news
    }
}

/// The collector.
#[derive(Debug)]
pub struct Perf<R = PerfRing> {
    sources: Vec<Source<R>>,
    intake: Intake,
    order: Order<Collected>,
    how: String,
    /// All events of a thread are in one ring.
    of_threads: bool,
}

/// Attaches to the kdamonds' threads; where that is refused, watches every CPU and picks out their events.
///
/// # Errors
/// The kernel has not the events, or perf is refused both ways.
pub fn open(wanted: &Wanted<'_>) -> Result<Perf, CollectError> {
    let &thread = wanted.threads.first().ok_or(CollectError::NoThreads)?;
    let catalog = Catalog::read(wanted.tracefs, wanted.events)?;
    // Elsewhere the kdamond's number is nobody's to us, or somebody else's.
    let may_attach = in_first_pid_namespace();
    let of_thread = if may_attach {
        match on_threads(wanted, &catalog) {
            Ok(perf) => return Ok(perf),
            Err(error) => error,
        }
    } else {
        OpenError { step: Step::Open(0), errno: Errno::ESRCH }
    };
    let refused = |of_cpus| CollectError::Perf {
        thread,
        of_thread,
        of_cpus,
        paranoid: std::fs::read_to_string(PARANOID).ok().map(|text| text.trim().to_owned()),
    };
    if of_thread.errno == Errno::ESRCH && may_attach {
        return Err(refused(None));
    }
    let cpus = online_cpus(Path::new(ONLINE))?;
    let mut perf = on_cpus(wanted, &catalog, &cpus).map_err(|of_cpus| refused(Some(of_cpus)))?;
    perf.how = format!("{}; attaching to the thread failed: {of_thread}", perf.how);
    Ok(perf)
}

fn ids(catalog: &Catalog) -> Vec<u32> {
    catalog.events.iter().map(|event| event.id).collect()
}

/// One ring for each thread.
fn on_threads(wanted: &Wanted<'_>, catalog: &Catalog) -> Result<Perf, OpenError> {
    let ids = ids(catalog);
    let rings = wanted
        .threads
        .iter()
        .map(|&thread| PerfRing::open(&ids, Where::Thread(thread), wanted.bytes))
        .collect::<Result<Vec<PerfRing>, OpenError>>()?;
    let how = format!(
        "perf ring of {} attached to the kdamond's {}: {}",
        kib(rings.iter().map(PerfRing::capacity).min().unwrap_or(0)),
        thread_names(wanted.threads),
        catalog.names(),
    );
    let perf = Perf::new(rings, Intake::new(catalog.decoder.clone(), wanted.threads), how);
    Ok(Perf { of_threads: true, ..perf })
}

/// One ring for each CPU. A CPU that is switched on later is not seen; what its events leave is incomplete.
fn on_cpus(wanted: &Wanted<'_>, catalog: &Catalog, cpus: &[u32]) -> Result<Perf, OpenError> {
    let ids = ids(catalog);
    let bytes = wanted.bytes.min(MOST_BYTES / cpus.len().max(1)).max(LEAST_BYTES);
    let rings = cpus
        .iter()
        .map(|&cpu| PerfRing::open(&ids, Where::Cpu(cpu), bytes))
        .collect::<Result<Vec<PerfRing>, OpenError>>()?;
    // Keeps others' events out of the rings, but we can do without.
    if let Ok(filter) = CString::new(thread_filter(wanted.threads)) {
        let _without = rings.iter().try_for_each(|ring| ring.filter(&filter));
    }
    let how = format!(
        "perf rings of {} on each of {} CPUs, for the kdamond's {}: {}",
        kib(rings.iter().map(PerfRing::capacity).min().unwrap_or(0)),
        rings.len(),
        thread_names(wanted.threads),
        catalog.names(),
    );
    Ok(Perf::new(rings, Intake::new(catalog.decoder.clone(), wanted.threads), how))
}

/// Watches every CPU without trying to attach; for a test.
#[cfg(test)]
pub(super) fn open_cpus(wanted: &Wanted<'_>) -> Result<Perf, CollectError> {
    let catalog = Catalog::read(wanted.tracefs, wanted.events)?;
    let cpus = online_cpus(Path::new(ONLINE))?;
    on_cpus(wanted, &catalog, &cpus).map_err(|of_thread| CollectError::Perf {
        thread: 0,
        of_thread,
        of_cpus: None,
        paranoid: None,
    })
}

impl<R: Ring> Perf<R> {
    fn new(rings: Vec<R>, intake: Intake, how: String) -> Self {
        let source = |ring| Source { ring, recorded: 0, told: 0, last_ns: 0 };
        let sources = rings.into_iter().map(source).collect();
        Self { sources, intake, order: Order::default(), how, of_threads: false }
    }

    /// Over rings that are there already; for tests and benchmarks.
    #[doc(hidden)]
    pub fn over(rings: Vec<R>, decoder: crate::damon::events::Decoder, threads: &[i32]) -> Self {
        Self::new(rings, Intake::new(decoder, threads), "rings of a test".to_owned())
    }

    fn drain_until(&mut self, until_ns: u64, each: &mut dyn FnMut(Collected)) {
        let Self { sources, intake, order, .. } = self;
        if let [only] = sources.as_mut_slice() {
            take(only, intake, |_, what| each(what));
            return;
        }
        for source in sources {
            take(source, intake, |time_ns, what| order.push(time_ns, what));
        }
        order.release(until_ns, each);
    }
}

/// Everything that is in a ring.
fn take<R: Ring>(
    source: &mut Source<R>,
    intake: &mut Intake,
    mut each: impl FnMut(u64, Collected),
) {
    let Source { ring, recorded, told, last_ns } = source;
    ring.drain(|record| match record {
        Record::Sample(sample) => {
            *last_ns = sample.time_ns;
            if let Some(what) = intake.event(sample.time_ns, sample.raw) {
                each(sample.time_ns, what);
            }
        }
        Record::Lost { time_ns, count } => {
            *recorded = recorded.saturating_add(count);
            // Part of it may have been counted already.
            let news = recorded.saturating_sub(*told);
            if news > 0 {
                *told = *recorded;
                each(time_ns.unwrap_or(*last_ns), intake.lost(time_ns, news));
            }
        }
        Record::Damaged { .. } => each(*last_ns, intake.lost(None, 1)),
        // Nobody asked for it.
        Record::Task(_) => {}
    });
}

impl<R: Ring> Collect for Perf<R> {
    fn drain(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        self.drain_until(monotonic_ns(), each);
        Ok(())
    }

    fn settle(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        self.drain_until(u64::MAX, each);
        for source in &mut self.sources {
            if let Some(total) = source.ring.lost() {
                let news = source.news(total);
                if news > 0 {
                    each(self.intake.lost(None, news));
                }
            }
        }
        Ok(())
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.sources.iter().filter_map(|source| source.ring.fd()).collect()
    }

    /// A ring tells of a loss before it takes the next event.
    fn tells_losses_in_order(&self) -> bool {
        self.of_threads
    }

    fn tally(&self) -> Tally {
        Tally { late: self.order.late(), ..self.intake.tally }
    }

    fn describe(&self) -> String {
        self.how.clone()
    }
}

/// Whether thread ids mean to us what they mean to the kernel.
fn in_first_pid_namespace() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name == Path::new(FIRST_PID_NAMESPACE))
}

/// The CPUs in a list like `0-3,8`.
pub(crate) fn online_cpus(path: &Path) -> Result<Vec<u32>, CollectError> {
    let text = std::fs::read_to_string(path).map_err(|source| CollectError::read(path, source))?;
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        // CONFIG_NR_CPUS has been at most 8192 so far.
        (first <= last && last < 1 << 16).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = text.trim().split(',').map(range).collect();
    match ranges {
        Some(ranges) => Ok(ranges.into_iter().flatten().collect()),
        None => Err(CollectError::unexpected(path, text.as_bytes(), "a list of CPUs like 0-3,8")),
    }
}

#[cfg(test)]
mod tests;
