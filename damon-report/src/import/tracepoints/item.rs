//! Events on their way from buffers into the order of time.

use crate::import::events::{Event, Telling};
use crate::import::{ImportError, Position};
use std::collections::HashMap;

/// Threads whose names are kept.
const MAX_NAMES: usize = 1 << 12;

/// What waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::import) enum What {
    /// A thread told an event.
    Event { thread: u64, event: Event },
    /// So many were lost.
    Lost(u64),
}

/// Something, when, and where in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::import) struct Item {
    pub(in crate::import) time_ns: u64,
    pub(in crate::import) at: u64,
    pub(in crate::import) what: What,
}

impl Item {
    /// Tells it, once its turn has come. `lost` says why events are missing.
    pub(in crate::import) fn tell(
        &self,
        telling: &mut Telling<'_>,
        names: &mut Names,
        lost: &str,
    ) -> Result<(), ImportError> {
        match &self.what {
            What::Event { thread, event } => {
                telling.event(self.time_ns, names.of(*thread), event, Position::Byte(self.at))
            }
            What::Lost(count) => telling.lost(Some(self.time_ns), *count, lost),
        }
    }
}

/// What threads are called; the last one at hand.
#[derive(Debug)]
pub(in crate::import) struct Names {
    /// What stands between name and number in this recorder's texts.
    between: &'static str,
    comms: HashMap<u64, Vec<u8>>,
    last: Option<(u64, Vec<u8>)>,
}

impl Names {
    pub(in crate::import) fn new(between: &'static str) -> Self {
        Self { between, comms: HashMap::new(), last: None }
    }

    pub(in crate::import) fn of(&mut self, thread: u64) -> &[u8] {
        if self.last.as_ref().is_none_or(|(last, _)| *last != thread) {
            let comm = self.comms.get(&thread).map_or(&b"kdamond"[..], Vec::as_slice);
            // A thread id is a C int.
            let number = format!("{}{}", self.between, thread.cast_signed());
            self.last = Some((thread, [comm, number.as_bytes()].concat()));
        }
        self.last.as_ref().map_or(&[], |(_, name)| name)
    }

    /// A thread's name; the first one stays. Threads that are not kdamonds are of no interest, and there may be very many.
    pub(in crate::import) fn learn(&mut self, thread: u32, comm: &[u8]) {
        let comm = comm.split(|byte| *byte == 0).next().unwrap_or(&[]);
        if comm.starts_with(b"kdamond") && self.comms.len() < MAX_NAMES {
            let thread = i64::from(thread.cast_signed()).cast_unsigned();
            // A name that changes in the middle would make another kdamond of it.
            self.comms.entry(thread).or_insert_with(|| comm.to_vec());
        }
    }
}
