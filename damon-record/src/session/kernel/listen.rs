//! How what a kdamond counts comes to us: by its events, or by looking where nothing may be traced.

use super::drain::Sink;
use super::looks::{Look, Looks};
use super::source::Source;
use super::{Kernel, Slot};
use crate::damon::Running;
use crate::damon::collect::{self, Chosen, Collected};
use crate::damon::events::{Assembler, Event, EventKind};
use crate::host::monotonic_ns;
use damon_format::{Attrs, Sampling};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// Between two times that events are fetched, where nobody looks and they tell if they are many before. So
/// much, and what waits for the next flush, is lost with a recorder that is killed.
const DRAIN_NS: u64 = 500_000_000;
/// Where somebody looks, or they do not tell; the rings hold those of seconds.
const DRAIN_SOON_NS: u64 = 250_000_000;

/// Begins to trace a kdamond with this thread, if that is possible.
#[derive(Clone)]
pub(in crate::session) struct Tracing(Rc<dyn Fn(i32) -> Chosen>);

impl Tracing {
    pub(super) fn new(begin: impl Fn(i32) -> Chosen + 'static) -> Self {
        Self(Rc::new(begin))
    }
}

impl Default for Tracing {
    fn default() -> Self {
        let bytes = collect::Wanted::DEFAULT_BYTES;
        Self::new(move |thread| collect::choose(&[thread], &EventKind::ALL, bytes))
    }
}

impl std::fmt::Debug for Tracing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracing").finish_non_exhaustive()
    }
}

/// What a running kdamond tells.
pub(super) struct Events {
    way: Way,
    thread: i32,
    assembler: Assembler,
    /// A change of ours was made then, and no event has come since.
    committed_ns: Option<u64>,
    /// Whether they still tell that there are many.
    telling: bool,
}

enum Way {
    Traced(Chosen),
    Looked(Box<Looks>),
}

impl Events {
    fn new(way: Way, thread: i32, attrs: &Attrs) -> Self {
        let mut assembler = match &way {
            Way::Traced(chosen) if chosen.tells_losses_in_order() => Assembler::of_told_losses(),
            _ => Assembler::default(),
        };
        assembler.watch(thread, Sampling::from_intervals(attrs.sample_us, attrs.aggr_us));
        Self { way, thread, assembler, committed_ns: None, telling: true }
    }

    /// A change was made that was begun at `time_ns`.
    pub(super) fn committed(&mut self, time_ns: u64) {
        self.committed_ns.get_or_insert(time_ns);
    }

    /// When the next aggregation that ends after `after_ns` is likely to end, where that can be told.
    pub(super) fn next_end_ns(&self, after_ns: u64) -> Option<u64> {
        self.assembler.next_end_ns(self.thread, after_ns)
    }

    /// Hands over what has come, or all of it at the `last` time. The error says why no more will come.
    pub(super) fn fetch(&mut self, sink: &mut Sink<'_>, last: bool) -> Result<(), String> {
        let Self { way, assembler, committed_ns, .. } = self;
        let attrs = sink.attrs();
        let mut each = |collected| match collected {
            Collected::Event { time_ns, thread, event } => {
                if committed_ns.take_if(|committed| time_ns >= *committed).is_some() {
                    assembler.committed(thread);
                }
                sink.event(time_ns, &event);
                assembler.push(time_ns, thread, &event, &mut |assembled| sink.assembled(assembled));
            }
            Collected::Lost { time_ns, count } => {
                assembler.lost();
                sink.lost(time_ns, count);
            }
        };
        let fetched = match way {
            Way::Traced(chosen) => match chosen.collector() {
                Some(collect) if last => collect.settle(&mut each).map_err(|e| e.to_string()),
                Some(collect) => collect.drain(&mut each).map_err(|e| e.to_string()),
                None => Ok(()),
            },
            // A look at the end would wait for the end of an aggregation.
            Way::Looked(_) if last => Ok(()),
            Way::Looked(looks) => match looks.look(&attrs, &mut each) {
                Look::Done => Ok(()),
                Look::Failed(why) => {
                    assembler.lost();
                    sink.failed_look(&why);
                    Ok(())
                }
                Look::GivenUp(why) => Err(why),
            },
        };
        if last {
            assembler.finish(&mut |assembled| sink.assembled(assembled));
        }
        fetched
    }

    /// What the kernel tells by no event to those who look: that it has tuned the intervals.
    pub(super) fn tuned(&mut self, sink: &mut Sink<'_>, running: &Running) {
        let Way::Looked(_) = &self.way else { return };
        let Ok(Some((sample_us, _))) = running.tuned_intervals() else { return };
        if sample_us == sink.attrs().sample_us {
            return;
        }
        let (time_ns, event) = (monotonic_ns(), Event::IntervalsTuned { sample_us });
        sink.event(time_ns, &event);
        self.assembler.push(time_ns, self.thread, &event, &mut |remains| sink.assembled(remains));
    }
}

impl Kernel {
    /// When there is something to fetch next; sooner where somebody looks on (`live`).
    pub(in crate::session) fn next_drain_ns(&self, now: u64, live: bool) -> u64 {
        match &self.events {
            Some(Events { way: Way::Looked(looks), .. }) => looks.next_ns(),
            _ if live || self.fds().is_empty() => now.saturating_add(DRAIN_SOON_NS),
            _ => now.saturating_add(DRAIN_NS),
        }
    }

    /// Readable when there are many events to fetch.
    pub(in crate::session) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match &self.events {
            Some(Events { way: Way::Traced(chosen), telling: true, .. }) => chosen.fds(),
            _ => Vec::new(),
        }
    }

    /// One of them is hung up: the kdamond of these events has ended.
    pub(in crate::session) fn hung_up(&mut self) {
        if let Some(events) = &mut self.events {
            events.telling = false;
        }
    }

    /// Begins to listen to the kdamond with the thread `tid`. Where tracing is forbidden, one of ours is started anew
    /// with a scheme that lists its regions.
    pub(super) fn listen(&mut self, tid: u32) -> Result<(), String> {
        let listened = self.begin_listening(tid);
        match &listened {
            Ok(text) => {
                self.tell(text.clone());
                self.deaf = None;
            }
            Err(why) => self.deaf = Some(why.clone()),
        }
        listened.map(drop)
    }

    fn begin_listening(&mut self, tid: u32) -> Result<String, String> {
        let mut why = "; tracing was not possible before".to_owned();
        if !self.source.lists_regions() {
            let thread =
                i32::try_from(tid).map_err(|_too_large| format!("thread {tid} cannot exist"))?;
            let mut chosen = (self.tracing.0)(thread);
            if chosen.collector().is_some() {
                let text = chosen.describe();
                self.events = Some(Events::new(Way::Traced(chosen), thread, &self.attrs));
                return Ok(text);
            }
            why = chosen.reasons();
        }
        let own = match &mut self.source {
            Source::Own(own) => own,
            Source::Foreign(foreign) => {
                return Err(format!(
                    "what kdamond {} counts cannot be read{why}; without tracing only a kdamond of our own can be \
                     read (--backend damon)",
                    foreign.name
                ));
            }
        };
        if self.slots.iter().filter(|slot| slot.id.is_some()).count() > 1 {
            return Err(format!("{ONE_ONLY}{why}"));
        }
        let looks = own.list_regions().map_err(|error| format!("{error}{why}"))?;
        // For the scheme that lists them the others were begun anew.
        self.series.accounts.begin_anew();
        let text = format!("{}{why}", looks.describe());
        let thread = looks.thread();
        self.events = Some(Events::new(Way::Looked(Box::new(looks)), thread, &self.attrs));
        Ok(text)
    }

    /// Why only one process can be recorded, if so.
    pub(in crate::session) fn one_only(&self) -> Option<&'static str> {
        self.source.lists_regions().then_some(ONE_ONLY)
    }

    /// Keeps what is to be said and recorded.
    pub(super) fn tell(&mut self, text: String) {
        self.news.push((monotonic_ns(), text));
    }

    /// What there is to be said and recorded, with its time.
    pub(in crate::session) fn news(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.news)
    }

    /// What `old` targets have told is fetched the next time; from now on another kdamond is listened to.
    pub(super) fn stop_listening(&mut self, old: Vec<Slot>) {
        self.past.extend(self.events.take().map(|events| (events, old)));
    }
}

/// The kernel lists regions without saying whose they are.
pub(super) const ONE_ONLY: &str = "without tracing the kernel's DAMON shows the memory of one process only: allow \
                                   perf or tracefs, record one after the other, or choose another backend";
