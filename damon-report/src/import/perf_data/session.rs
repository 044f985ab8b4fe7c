//! What the records of a recording mean, in their order.

use super::attr::Attr;
use super::inflate::Inflate;
use super::order::Order;
use super::records::Record;
use super::unexpected;
use crate::import::events::{Source, Telling};
use crate::import::tracepoints::{Item, Names, Tracing, What};
use crate::import::{ImportError, ImportOptions, Position, Sink};
use damon_format::ClockAnchor;
use std::collections::HashMap;

/// Events with attributes of their own, and identities of events, that a recording may have.
const MAX_ATTRS: usize = 1 << 12;
const MAX_IDS: usize = 1 << 20;

/// Types of records (`perf_event_open(2)`, and from 64 on `tools/lib/perf/include/perf/event.h`).
pub(super) mod kinds {
    pub(in super::super) const LOST: u32 = 2;
    pub(in super::super) const COMM: u32 = 3;
    pub(in super::super) const SAMPLE: u32 = 9;
    pub(in super::super) const LOST_SAMPLES: u32 = 13;
    pub(in super::super) const HEADER_ATTR: u32 = 64;
    pub(in super::super) const TRACING_DATA: u32 = 66;
    pub(in super::super) const FINISHED_ROUND: u32 = 68;
    pub(in super::super) const AUXTRACE: u32 = 71;
    pub(in super::super) const HEADER_FEATURE: u32 = 80;
    pub(in super::super) const COMPRESSED: u32 = 81;
    pub(in super::super) const COMPRESSED2: u32 = 83;
}

/// A set bit in a record of lost samples: they were left out by a filter.
const LOST_BY_FILTER: u16 = 1 << 15;
const LOST: &str = "perf lost events, because it did not read them fast enough";

/// Reads records.
pub(super) struct Session<'a> {
    telling: Telling<'a>,
    attrs: Vec<Attr>,
    /// Index of the attributes of each identity.
    ids: HashMap<u64, usize>,
    /// How often an identity was told, the same ones too.
    told_ids: usize,
    /// Where samples have their identity, if they need one.
    id_offset: Option<usize>,
    tracing: Option<Tracing>,
    pub(super) source: Source,
    order: Order,
    names: Names,
    inflate: Option<Inflate>,
    is_first: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(options: &ImportOptions, sink: &'a mut dyn Sink) -> Self {
        Self {
            telling: Telling::new(options, sink),
            attrs: Vec::new(),
            ids: HashMap::new(),
            told_ids: 0,
            id_offset: None,
            tracing: None,
            source: Source { format: "perf.data", ..Source::default() },
            order: Order::default(),
            names: Names::new(" "),
            inflate: None,
            is_first: true,
        }
    }

    /// Learns of an event and of its identities.
    pub(super) fn attr(&mut self, attr: Attr, at: u64) -> Result<(), ImportError> {
        if self.attrs.len() >= MAX_ATTRS {
            return Err(unexpected(at, "at most 4096 events", "more"));
        }
        self.attrs.push(attr);
        Ok(())
    }

    /// An identity of the event that was learnt last.
    pub(super) fn id(&mut self, id: u64, at: u64) -> Result<(), ImportError> {
        self.told_ids += 1;
        if self.told_ids > MAX_IDS {
            return Err(unexpected(at, "at most a million identities of events", "more"));
        }
        self.ids.insert(id, self.attrs.len().saturating_sub(1));
        Ok(())
    }

    pub(super) fn tracing(&mut self, tracing: Tracing) {
        self.source.page_size = tracing.page_size;
        self.tracing = Some(tracing);
    }

    /// A clock of the recording and the wall clock at one moment.
    pub(super) fn clock(&mut self, clock_ns: u64, wall_ns: u64) {
        let anchor = ClockAnchor { monotonic_ns: clock_ns, realtime_ns: wall_ns };
        self.source.clock = Some(anchor);
    }

    /// Takes a record; those whose data stand after them are the caller's.
    #[inline]
    pub(super) fn record(&mut self, record: &Record<'_>) -> Result<(), ImportError> {
        match record.kind {
            kinds::SAMPLE => self.sample(record),
            kinds::LOST | kinds::LOST_SAMPLES => self.lost(record),
            kinds::FINISHED_ROUND => {
                let Self { order, telling, names, .. } = self;
                order.round(|item| item.tell(telling, names, LOST))
            }
            kinds::COMM => {
                // Process, thread, name.
                let thread = record.body.get(4..).and_then(|rest| rest.first_chunk());
                if let (Some(thread), Some(comm)) = (thread, record.body.get(8..)) {
                    self.names.learn(u32::from_le_bytes(*thread), comm);
                }
                Ok(())
            }
            kinds::COMPRESSED => self.compressed(record.body, record.at),
            kinds::COMPRESSED2 => {
                let cut = || unexpected(record.at, "a compressed record", "one that is too short");
                let size = record.body.first_chunk().map(|size| u64::from_le_bytes(*size));
                let size = size.and_then(|size| usize::try_from(size).ok()).ok_or_else(cut)?;
                let piece = record.body.get(8..).and_then(|rest| rest.get(..size));
                self.compressed(piece.ok_or_else(cut)?, record.at)
            }
            _ => Ok(()),
        }
    }

    fn compressed(&mut self, piece: &[u8], at: u64) -> Result<(), ImportError> {
        let mut inflate = match self.inflate.take() {
            Some(inflate) => inflate,
            None => Inflate::new()?,
        };
        inflate.piece(piece, at, &mut |record| match record.kind {
            kinds::COMPRESSED | kinds::COMPRESSED2 | kinds::TRACING_DATA | kinds::AUXTRACE => {
                Err(unexpected(at, "records of the kernel in a compressed one", "one of perf"))
            }
            _ => self.record(&record),
        })?;
        self.inflate = Some(inflate);
        Ok(())
    }

    /// The attributes that a sample is laid out by.
    #[inline]
    fn attr_of(&self, body: &[u8]) -> Option<&Attr> {
        let index = match self.id_offset {
            None => 0,
            Some(offset) => {
                let id = u64::from_le_bytes(*body.get(offset..)?.first_chunk()?);
                *self.ids.get(&id)?
            }
        };
        self.attrs.get(index)
    }

    #[inline]
    fn sample(&mut self, record: &Record<'_>) -> Result<(), ImportError> {
        if self.is_first {
            self.begin(record.at)?;
        }
        let Some(tracing) = &self.tracing else { return Ok(()) };
        let Some(attr) = self.attr_of(record.body).filter(|attr| attr.is_tracepoint) else {
            return Ok(());
        };
        let Some(layout) = tracing.layouts.iter().find(|layout| layout.id == attr.config) else {
            return Ok(());
        };
        let time_ns = attr.time_offset().and_then(|at| record.body.get(at..)?.first_chunk());
        let told = attr.raw(record.body).and_then(|raw| layout.read(raw));
        let (Some(time_ns), Some((thread, event))) = (time_ns, told) else {
            return Err(unexpected(
                record.at,
                "a sample of DAMON's event",
                "one that is too short",
            ));
        };
        let time_ns = u64::from_le_bytes(*time_ns);
        self.push(Item { time_ns, at: record.at, what: What::Event { thread, event } })
    }

    fn lost(&mut self, record: &Record<'_>) -> Result<(), ImportError> {
        let at = if record.kind == kinds::LOST { 8 } else { 0 };
        let count = record.body.get(at..).and_then(|rest| rest.first_chunk());
        let Some(count) = count.map(|count| u64::from_le_bytes(*count)) else {
            return Err(unexpected(
                record.at,
                "how many events were lost",
                "the end of the record",
            ));
        };
        if record.misc & LOST_BY_FILTER != 0 && record.kind == kinds::LOST_SAMPLES || count == 0 {
            return Ok(());
        }
        // Its event's identity comes first; or last, if it is there at all.
        let begin =
            if record.kind == kinds::LOST { Some(0) } else { record.body.len().checked_sub(8) };
        let id = begin.and_then(|begin| record.body.get(begin..)?.first_chunk());
        let index = id.and_then(|id| self.ids.get(&u64::from_le_bytes(*id))).copied();
        let attr = self.attrs.get(index.unwrap_or(0));
        let time_ns = attr.and_then(|attr| attr.trailing_time(record.body));
        let time_ns = time_ns.unwrap_or_else(|| self.order.newest_ns());
        self.push(Item { time_ns, at: record.at, what: What::Lost(count) })
    }

    #[inline]
    fn push(&mut self, item: Item) -> Result<(), ImportError> {
        if self.order.push(item) {
            let Self { order, telling, names, .. } = self;
            order.make_room(|item| item.tell(telling, names, LOST))?;
        }
        Ok(())
    }

    /// Before the first sample: all that explains it must have come.
    fn begin(&mut self, at: u64) -> Result<(), ImportError> {
        self.is_first = false;
        let Some(tracing) = &self.tracing else {
            return Err(ImportError::Useless(
                "it has no descriptions of tracepoints, so none were recorded in it".into(),
            ));
        };
        let is_damon = |attr: &&Attr| {
            attr.is_tracepoint && tracing.layouts.iter().any(|l| l.id == attr.config)
        };
        let Some(damon) = self.attrs.iter().find(is_damon).copied() else {
            return Err(ImportError::Useless(
                "it has no events of DAMON; record with perf record -e damon:damon_aggregated -a"
                    .into(),
            ));
        };
        if damon.time_offset().is_none() {
            return Err(ImportError::Useless("its samples have no times (perf record -T)".into()));
        }
        // Samples are alike, or each says what it is.
        if self.attrs.iter().any(|attr| *attr != damon) {
            self.id_offset = damon.id_offset();
            if self.attrs.iter().any(|attr| attr.id_offset() != self.id_offset)
                || self.id_offset.is_none()
            {
                let found = "different events that cannot be told apart";
                return Err(unexpected(at, "samples that name their event", found));
            }
        }
        let (clock, one_to_one) = clock_name(damon.clock);
        let wall = if one_to_one || self.source.clock.is_some() {
            ""
        } else {
            "; wall-clock times are unknown"
        };
        if one_to_one {
            self.source.clock.get_or_insert(ClockAnchor { monotonic_ns: 0, realtime_ns: 0 });
        }
        self.source.clock_note = format!("times are those of {clock}{wall}");
        *self.telling.source() = self.source.clone();
        Ok(())
    }

    /// The recording has ended.
    pub(super) fn finish(mut self, at: u64) -> Result<(), ImportError> {
        if self.inflate.as_ref().is_some_and(Inflate::is_inside) {
            return Err(unexpected(at, "the end of a compressed record", "the end"));
        }
        if self.is_first {
            self.begin(at)?;
        }
        let Self { mut order, mut telling, mut names, .. } = self;
        order.finish(|item| item.tell(&mut telling, &mut names, LOST))?;
        if order.late > 0 {
            telling.note(format!(
                "events came so late in the recording that they could not be put into order: {}",
                order.late
            ))?;
        }
        telling.finish(Position::Byte(at))
    }
}

/// A clock's name, and whether it is the wall clock.
fn clock_name(clock: Option<i32>) -> (String, bool) {
    let name = match clock {
        None => "perf's own clock, which is near CLOCK_MONOTONIC but not the same",
        Some(0) => "CLOCK_REALTIME",
        Some(1) => "CLOCK_MONOTONIC",
        Some(4) => "CLOCK_MONOTONIC_RAW",
        Some(7) => "CLOCK_BOOTTIME",
        Some(11) => "CLOCK_TAI",
        Some(other) => return (format!("clock {other}"), false),
    };
    (name.to_owned(), clock == Some(0))
}
