//! The bytes of an event, by its description.

use super::format::{Field, Format};
use crate::import::events::{Event, Hits, Kind};
use damon_format::Region;
use damon_format::damos::rules::Stats;

#[derive(Clone, Copy, Debug)]
struct RegionFields {
    target: Field,
    start: Field,
    end: Field,
    nr_accesses: Field,
    age: Option<Field>,
}

impl RegionFields {
    fn new(format: &Format, target: &str) -> Option<Self> {
        Some(Self {
            target: format.number(target)?,
            start: format.number("start")?,
            end: format.number("end")?,
            nr_accesses: format.number("nr_accesses")?,
            age: format.number("age"),
        })
    }

    #[inline]
    fn read(&self, raw: &[u8]) -> Option<(u64, Region)> {
        let age = match self.age {
            Some(age) => narrow(age.number(raw)?),
            None => 0,
        };
        let region = Region {
            start: self.start.number(raw)?,
            end: self.end.number(raw)?,
            nr_accesses: narrow(self.nr_accesses.number(raw)?),
            age,
        };
        Some((self.target.number(raw)?, region))
    }
}

#[derive(Clone, Copy, Debug)]
enum Fields {
    Aggregated { region: RegionFields, nr_regions: Field, hits: Option<Field> },
    Apply { region: RegionFields, scheme: Field },
    Tuned { sample_us: Field },
    Quota { scheme: Field, bytes: Field },
    Stats { scheme: Field, counts: [Field; 7] },
}

/// Where the fields of one kind of event are.
#[derive(Clone, Copy, Debug)]
pub(in crate::import) struct Layout {
    /// The event's number in the recording.
    pub(in crate::import) id: u64,
    /// Where an event of the ring buffer has the number of its kind.
    kind: Option<Field>,
    thread: Field,
    fields: Fields,
}

impl Layout {
    /// `None`: it lacks a field that is needed.
    pub(in crate::import) fn new(kind: Kind, format: &Format) -> Option<Self> {
        let fields = match kind {
            Kind::Aggregated => Fields::Aggregated {
                region: RegionFields::new(format, "target_id")?,
                nr_regions: format.number("nr_regions")?,
                hits: format.array("probe_hits"),
            },
            Kind::Apply => Fields::Apply {
                region: RegionFields::new(format, "target_idx")?,
                scheme: format.number("scheme_idx")?,
            },
            Kind::Tuned => Fields::Tuned { sample_us: format.number("sample_us")? },
            Kind::Quota => {
                Fields::Quota { scheme: format.number("scheme_idx")?, bytes: format.number("esz")? }
            }
            Kind::Stats => Fields::Stats {
                scheme: format.number("scheme_idx")?,
                counts: [
                    format.number("nr_tried")?,
                    format.number("sz_tried")?,
                    format.number("nr_applied")?,
                    format.number("sz_applied")?,
                    format.number("sz_ops_filter_passed")?,
                    format.number("qt_exceeds")?,
                    format.number("nr_snapshots")?,
                ],
            },
        };
        let thread = format.number("common_pid")?;
        Some(Self { id: format.id, kind: format.number("common_type"), thread, fields })
    }

    /// Whether these are the bytes of such an event.
    #[inline]
    pub(in crate::import) fn is_of(&self, raw: &[u8]) -> bool {
        self.kind.is_some_and(|kind| kind.number(raw) == Some(self.id))
    }

    /// The thread and what it told. `None`: the bytes end before the fields do.
    #[inline]
    pub(in crate::import) fn read(&self, raw: &[u8]) -> Option<(u64, Event)> {
        let event = match &self.fields {
            Fields::Aggregated { region: fields, nr_regions, hits } => {
                let (target, region) = fields.read(raw)?;
                let hits = match hits {
                    Some(hits) => Hits::new(hits.array(raw)?.iter().copied()),
                    None => Hits::default(),
                };
                let nr_regions = narrow(nr_regions.number(raw)?);
                Event::Region { target, nr_regions, region, has_age: fields.age.is_some(), hits }
            }
            Fields::Apply { region, scheme } => {
                let (target, region) = region.read(raw)?;
                Event::Apply { scheme: narrow(scheme.number(raw)?), target, region }
            }
            Fields::Tuned { sample_us } => Event::Tuned { sample_us: sample_us.number(raw)? },
            Fields::Quota { scheme, bytes } => {
                Event::Quota { scheme: narrow(scheme.number(raw)?), bytes: bytes.number(raw)? }
            }
            Fields::Stats { scheme, counts } => {
                let mut numbers = [0; 7];
                for (number, field) in numbers.iter_mut().zip(counts) {
                    *number = field.number(raw)?;
                }
                let [
                    nr_tried,
                    sz_tried,
                    nr_applied,
                    sz_applied,
                    sz_ops_filter_passed,
                    qt_exceeds,
                    nr_snapshots,
                ] = numbers;
                let stats = Stats {
                    nr_tried,
                    sz_tried,
                    nr_applied,
                    sz_applied,
                    sz_ops_filter_passed,
                    qt_exceeds,
                    nr_snapshots,
                };
                Event::Stats { scheme: narrow(scheme.number(raw)?), stats }
            }
        };
        Some((self.thread.number(raw)?, event))
    }
}

#[inline]
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
