//! Bringing DAMON's events in: through perf rings, else through a private instance of tracefs, else by reading the
//! regions that a scheme was tried on. None of them changes anything that somebody else could see.

mod choose;
mod error;
mod order;
pub mod perf;
mod place;
pub mod tracefs;
pub mod tried_regions;

use crate::damon::events::{Decoder, Event, EventKind};
use std::os::fd::BorrowedFd;
use std::path::Path;

pub use choose::{Chosen, Refusal, choose, has_events};
pub use error::CollectError;
pub(crate) use order::Order;
pub use place::Tracefs;

/// Something that a collector brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// An event.
    Event {
        /// When, nanoseconds of `CLOCK_MONOTONIC`.
        time_ns: u64,
        /// The kdamond's thread id.
        thread: i32,
        /// What it told.
        event: Event,
    },
    /// Events that will never come, between those before this and those after it.
    Lost {
        /// When it was noticed, nanoseconds of `CLOCK_MONOTONIC`, where that is known.
        time_ns: Option<u64>,
        /// How many, at least. They may be events that nobody waits for, where a ring is shared with others.
        count: u64,
    },
}

/// What has been brought so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events handed over.
    pub events: u64,
    /// Events told to be lost.
    pub lost: u64,
    /// Of the lost ones, those that came and could not be understood.
    pub undecodable: u64,
    /// Events of threads that are not wanted.
    pub foreign: u64,
    /// Events handed over after later ones.
    pub late: u64,
}

/// A way to get at events.
pub trait Collect: std::fmt::Debug {
    /// Hands over what is there, in the order of time for each thread. Never waits for events.
    ///
    /// # Errors
    /// The kernel refuses to hand out what is there. Events lost are no error.
    fn drain(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError>;

    /// Like [`Collect::drain`], and also hands over what had to be held back until now and losses that nothing has
    /// told about. For the end of a recording, after the kdamond has been stopped if it is ours.
    ///
    /// # Errors
    /// As for [`Collect::drain`].
    fn settle(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError>;

    /// Descriptors that become readable when draining is due; they stay the same. One that is hung up (`POLLHUP`)
    /// belongs to a kdamond that has ended. None where there is nothing to wait for: drain once an aggregation.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Whether each loss is handed over between the events before it and those after it, without exception. Where
    /// events of a thread come through several rings, one may be told when the next is in another.
    fn tells_losses_in_order(&self) -> bool {
        false
    }

    /// What has been brought so far.
    fn tally(&self) -> Tally;

    /// How events are brought, in one sentence for the recording and for people.
    fn describe(&self) -> String;

    /// The folder in tracefs that this one removes at its end, and somebody else should (`rmdir`) if it is killed.
    fn instance(&self) -> Option<&Path> {
        None
    }
}

/// What is to be collected.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Root of tracefs; see [`Tracefs`].
    pub tracefs: &'a Path,
    /// Thread ids of the kdamonds.
    pub threads: &'a [i32],
    /// Kinds of events, where the kernel has them; [`EventKind::Aggregated`] always.
    pub events: &'a [EventKind],
    /// Bytes of memory for each thread or CPU whose events are not read yet; rounded, and less if the kernel grants
    /// less. A second of 1,000 regions and 100 ms takes 1 MB.
    pub bytes: usize,
}

impl Wanted<'_> {
    /// Room for two seconds of 1,000 regions every 100 ms.
    pub const DEFAULT_BYTES: usize = 2 << 20;
}

/// Turns raw events into [`Collected`] ones and counts.
#[derive(Debug)]
struct Intake {
    decoder: Decoder,
    threads: Vec<i32>,
    tally: Tally,
}

impl Intake {
    fn new(decoder: Decoder, threads: &[i32]) -> Self {
        Self { decoder, threads: threads.to_vec(), tally: Tally::default() }
    }

    /// An event's bytes. `None`: somebody else's.
    #[inline]
    fn event(&mut self, time_ns: u64, raw: &[u8]) -> Option<Collected> {
        match self.decoder.decode(raw) {
            Ok((thread, event)) if self.threads.contains(&thread) => {
                self.tally.events += 1;
                Some(Collected::Event { time_ns, thread, event })
            }
            Ok(_) => {
                self.tally.foreign += 1;
                None
            }
            Err(_) => {
                self.tally.undecodable += 1;
                Some(self.lost(Some(time_ns), 1))
            }
        }
    }

    fn lost(&mut self, time_ns: Option<u64>, count: u64) -> Collected {
        self.tally.lost = self.tally.lost.saturating_add(count);
        Collected::Lost { time_ns, count }
    }
}

/// A filter of trace events for these threads.
fn thread_filter(threads: &[i32]) -> String {
    let terms: Vec<String> =
        threads.iter().map(|thread| format!("common_pid == {thread}")).collect();
    terms.join(" || ")
}

/// The threads' ids, for people.
fn thread_names(threads: &[i32]) -> String {
    let noun = if threads.len() == 1 { "thread" } else { "threads" };
    let names: Vec<String> = threads.iter().map(ToString::to_string).collect();
    format!("{noun} {}", names.join(", "))
}

/// Bytes as KiB, for people.
fn kib(bytes: usize) -> String {
    format!("{} KiB", bytes >> 10)
}

#[cfg(test)]
mod tests;
