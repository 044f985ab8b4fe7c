//! Binary events into [`Event`]s, by the layouts that the running kernel shows.

mod usual;

use super::format::{Field, Format};
use damon_format::Region;
use damon_format::damos::rules::Stats;

/// Something that DAMON told. Addresses are in the context's address units (bytes unless `addr_unit` says otherwise).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// One region at the end of an aggregation.
    Aggregated {
        /// Index of the target in its context; before 5.18 a number that only tells targets apart.
        target: u64,
        /// Regions of this target now: so many of these events belong together.
        nr_regions: u32,
        /// The region. Its age is 0 where it was not told.
        region: Region,
        /// Whether the age was told (5.17).
        has_age: bool,
    },
    /// A region, just before a scheme's action is applied to it.
    BeforeApply {
        /// Index of the scheme in its context.
        scheme: u32,
        /// Index of the target in its context.
        target: u64,
        /// The region; `nr_accesses` is the moving sum.
        region: Region,
        /// Regions of the target at this moment; no count of events.
        nr_regions: u32,
    },
    /// The intervals were tuned; the regions of the same aggregation follow, ages already in the new unit.
    IntervalsTuned {
        /// The new sampling interval in microseconds. The aggregation interval stays the same multiple of it.
        sample_us: u64,
    },
    /// A scheme's effective size quota has changed.
    EffectiveQuota {
        /// Index of the scheme in its context.
        scheme: u32,
        /// Bytes per window.
        bytes: u64,
    },
    /// What a scheme has done since it was installed, told after each time it was applied.
    SchemeStat {
        /// Index of the scheme in its context.
        scheme: u32,
        /// Its counters.
        stats: Stats,
    },
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// [`Event::Aggregated`].
    Aggregated,
    /// [`Event::BeforeApply`].
    BeforeApply,
    /// [`Event::IntervalsTuned`].
    IntervalsTuned,
    /// [`Event::EffectiveQuota`].
    EffectiveQuota,
    /// [`Event::SchemeStat`].
    SchemeStat,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Aggregated,
        Self::BeforeApply,
        Self::IntervalsTuned,
        Self::EffectiveQuota,
        Self::SchemeStat,
    ];

    /// The tracepoint of the group `damon` that tells it.
    pub fn tracepoint(self) -> &'static str {
        match self {
            Self::Aggregated => "damon_aggregated",
            Self::BeforeApply => "damos_before_apply",
            Self::IntervalsTuned => "damon_monitor_intervals_tune",
            Self::EffectiveQuota => "damos_esz",
            Self::SchemeStat => "damos_stat_after_apply_interval",
        }
    }
}

/// A kernel whose event lacks what we need.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A field is not there.
    #[error("the event has no field {field:?} that is a number")]
    MissingField {
        /// Its name.
        field: &'static str,
    },
    /// All events of a kernel begin alike; this one does not.
    #[error("the field {field:?} is elsewhere than in the other events")]
    OtherHeader {
        /// Its name.
        field: &'static str,
    },
}

/// Why bytes are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// They end before the event's fields do.
    #[error("{bytes} bytes are too short for the event")]
    Short {
        /// How many there are.
        bytes: usize,
    },
    /// They are an event that nobody asked for.
    #[error("unknown event number {id}")]
    Unknown {
        /// The event's number.
        id: u64,
    },
    /// The region is empty or ends before it starts.
    #[error("no region: {start:#x} to {end:#x}")]
    NoRegion {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct RegionLayout {
    start: Field,
    end: Field,
    nr_accesses: Field,
    age: Option<Field>,
}

impl RegionLayout {
    fn new(format: &Format) -> Result<Self, LayoutError> {
        Ok(Self {
            start: number(format, "start")?,
            end: number(format, "end")?,
            nr_accesses: number(format, "nr_accesses")?,
            age: number(format, "age").ok(),
        })
    }

    /// Outer: whether all is there. Inner: whether it is a region.
    #[inline]
    fn read(&self, raw: &[u8]) -> Option<Result<Region, Undecodable>> {
        let start = self.start.number(raw)?;
        let end = self.end.number(raw)?;
        let nr_accesses = narrow(self.nr_accesses.number(raw)?);
        let age = match self.age {
            Some(age) => narrow(age.number(raw)?),
            None => 0,
        };
        Some(if start < end {
            Ok(Region { start, end, nr_accesses, age })
        } else {
            Err(Undecodable::NoRegion { start, end })
        })
    }
}

/// Where the fields of one kind of event are.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Aggregated { target: Field, nr_regions: Field, region: RegionLayout },
    BeforeApply { scheme: Field, target: Field, region: RegionLayout, nr_regions: Field },
    IntervalsTuned { sample_us: Field },
    EffectiveQuota { scheme: Field, bytes: Field },
    SchemeStat { scheme: Field, counts: [Field; 7] },
}

impl Layout {
    fn new(kind: EventKind, format: &Format) -> Result<Self, LayoutError> {
        Ok(match kind {
            EventKind::Aggregated => Self::Aggregated {
                target: number(format, "target_id")?,
                nr_regions: number(format, "nr_regions")?,
                region: RegionLayout::new(format)?,
            },
            EventKind::BeforeApply => Self::BeforeApply {
                scheme: number(format, "scheme_idx")?,
                target: number(format, "target_idx")?,
                region: RegionLayout::new(format)?,
                nr_regions: number(format, "nr_regions")?,
            },
            EventKind::IntervalsTuned => {
                Self::IntervalsTuned { sample_us: number(format, "sample_us")? }
            }
            EventKind::EffectiveQuota => Self::EffectiveQuota {
                scheme: number(format, "scheme_idx")?,
                bytes: number(format, "esz")?,
            },
            EventKind::SchemeStat => Self::SchemeStat {
                scheme: number(format, "scheme_idx")?,
                counts: [
                    number(format, "nr_tried")?,
                    number(format, "sz_tried")?,
                    number(format, "nr_applied")?,
                    number(format, "sz_applied")?,
                    number(format, "sz_ops_filter_passed")?,
                    number(format, "qt_exceeds")?,
                    number(format, "nr_snapshots")?,
                ],
            },
        })
    }

    /// Outer: whether all is there. Inner: whether it makes sense.
    #[inline]
    fn read(&self, raw: &[u8]) -> Option<Result<Event, Undecodable>> {
        Some(Ok(match self {
            Self::Aggregated { target, nr_regions, region } => {
                let has_age = region.age.is_some();
                let target = target.number(raw)?;
                let nr_regions = narrow(nr_regions.number(raw)?);
                return Some(region.read(raw)?.map(|region| Event::Aggregated {
                    target,
                    nr_regions,
                    region,
                    has_age,
                }));
            }
            Self::BeforeApply { scheme, target, region, nr_regions } => {
                let scheme = narrow(scheme.number(raw)?);
                let target = target.number(raw)?;
                let nr_regions = narrow(nr_regions.number(raw)?);
                return Some(region.read(raw)?.map(|region| Event::BeforeApply {
                    scheme,
                    target,
                    region,
                    nr_regions,
                }));
            }
            Self::IntervalsTuned { sample_us } => {
                Event::IntervalsTuned { sample_us: sample_us.number(raw)? }
            }
            Self::EffectiveQuota { scheme, bytes } => Event::EffectiveQuota {
                scheme: narrow(scheme.number(raw)?),
                bytes: bytes.number(raw)?,
            },
            Self::SchemeStat { scheme, counts } => {
                let [tried, sz_tried, applied, sz_applied, passed, exceeds, snapshots] = counts;
                let stats = Stats {
                    nr_tried: tried.number(raw)?,
                    sz_tried: sz_tried.number(raw)?,
                    nr_applied: applied.number(raw)?,
                    sz_applied: sz_applied.number(raw)?,
                    sz_ops_filter_passed: passed.number(raw)?,
                    qt_exceeds: exceeds.number(raw)?,
                    nr_snapshots: snapshots.number(raw)?,
                };
                Event::SchemeStat { scheme: narrow(scheme.number(raw)?), stats }
            }
        }))
    }
}

/// What all events begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    id: Field,
    thread: Field,
}

/// Knows the layouts of the events that it was told of.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    header: Option<Header>,
    layouts: Vec<(u64, Layout)>,
    /// The number of an event that is laid out as [`usual`]; it has its layout among the others, too.
    usual: Option<u16>,
}

impl Decoder {
    /// Learns a kind of event.
    ///
    /// # Errors
    /// See [`LayoutError`]; the decoder is as it was.
    pub fn learn(&mut self, kind: EventKind, format: &Format) -> Result<(), LayoutError> {
        let header =
            Header { id: number(format, "common_type")?, thread: number(format, "common_pid")? };
        if let Some(known) = self.header.filter(|known| *known != header) {
            let field = if known.id == header.id { "common_pid" } else { "common_type" };
            return Err(LayoutError::OtherHeader { field });
        }
        let layout = Layout::new(kind, format)?;
        self.header = Some(header);
        self.layouts.push((u64::from(format.id), layout));
        if kind == EventKind::Aggregated {
            self.usual = usual::id(format);
        }
        Ok(())
    }

    /// An event and the thread that told it (its id in the machine's first pid namespace). Bytes after the event's
    /// fields are padding.
    ///
    /// # Errors
    /// See [`Undecodable`].
    #[inline]
    pub fn decode(&self, raw: &[u8]) -> Result<(i32, Event), Undecodable> {
        match self.usual.and_then(|id| usual::decode(id, raw)) {
            Some(decoded) => decoded,
            None => self.decode_any(raw),
        }
    }

    /// By the places that the kernel has told.
    fn decode_any(&self, raw: &[u8]) -> Result<(i32, Event), Undecodable> {
        let short = Undecodable::Short { bytes: raw.len() };
        let header = self.header.as_ref().ok_or(Undecodable::Unknown { id: 0 })?;
        let id = header.id.number(raw).ok_or(short)?;
        let thread = header.thread.number(raw).ok_or(short)?;
        let known = self.layouts.iter().find(|(known, _)| *known == id);
        let (_, layout) = known.ok_or(Undecodable::Unknown { id })?;
        let event = layout.read(raw).ok_or(short)??;
        // A thread id is a C int.
        let thread = i32::try_from(thread.cast_signed()).unwrap_or(-1);
        Ok((thread, event))
    }
}

fn number(format: &Format, field: &'static str) -> Result<Field, LayoutError> {
    let found = format.field(field).filter(|found| found.is_number());
    found.ok_or(LayoutError::MissingField { field })
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
