//! Which part of a recording is looked at.

mod times;

pub use times::{Duration, Moment, TimeSpec, parse_duration};

use damon_format::{BlockEntry, Record, SnapshotView, TargetId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use super::addresses::{Addresses, Pieces};
use super::mappings;
use super::num::float;
use super::overview::{Overview, TargetName};
use super::spans::SpanSet;

/// Why a selection cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Not a time range.
    #[error("`{0}` is no time range: write A..B, e.g. 2s..10s, ..500ms or 50%..")]
    TimeSyntax(String),
    /// Not a moment.
    #[error("`{0}` is no moment: write a time since the start, e.g. 7s, 500ms or 50%")]
    MomentSyntax(String),
    /// Ends where it begins, or before.
    #[error("the time range {0} ends before it begins")]
    Reversed(String),
    /// Not an address range.
    #[error("`{0}` is no address range: write A..B or A-B in hexadecimal, e.g. 0x5500..0x7700")]
    AddressSyntax(String),
    /// No snapshot covers that moment.
    #[error("nothing was recorded at {asked}: {nearest}")]
    NothingThen {
        /// What was asked for.
        asked: String,
        /// Where the nearest snapshots are.
        nearest: String,
    },
    /// Nothing was recorded then.
    #[error("{asked} is outside the recording, which lasts {lasts}")]
    OutsideTime {
        /// What was asked for.
        asked: String,
        /// Duration of the recording.
        lasts: String,
    },
    /// Nothing was monitored there.
    #[error("nothing was monitored at the addresses {asked}; the recording covers {covers}")]
    OutsideAddresses {
        /// What was asked for.
        asked: String,
        /// Lowest and highest monitored address.
        covers: String,
    },
    /// No mapping of this name.
    #[error("no mapping is called `{asked}` in the selected time; {known}")]
    NoMapping {
        /// What was asked for.
        asked: String,
        /// The largest ones there are, or why none has a name.
        known: String,
    },
    /// Mappings of this name exist, but outside of what was monitored or asked for.
    #[error("nothing was monitored in {asked}, although it is there; what was monitored: {known}")]
    NothingLeft {
        /// What was asked for.
        asked: String,
        /// Where something was monitored.
        known: String,
    },
    /// No such target.
    #[error("the recording has no target `{asked}`; it has {known}")]
    NoTarget {
        /// What was asked for.
        asked: String,
        /// All targets.
        known: String,
    },
}

/// `A..B` in hexadecimal, with or without `0x`; either side may be missing. `A-B`, as the kernel and our own tables
/// write ranges, is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpec {
    text: String,
    range: Range<u64>,
}

impl FromStr for AddressSpec {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Self, SelectError> {
        let wrong = || SelectError::AddressSyntax(text.to_owned());
        let sides = text.split_once("..").or_else(|| text.split_once('-'));
        let (from, to) = sides.ok_or_else(wrong)?;
        let side = |side: &str, missing: u64| {
            let side = side.trim();
            if side.is_empty() {
                return Ok(missing);
            }
            let digits = side.trim_start_matches("0x").trim_start_matches("0X");
            let digits = digits.replace('_', "");
            if digits.starts_with('+') {
                return Err(wrong());
            }
            u64::from_str_radix(&digits, 16).or(Err(wrong()))
        };
        let range = side(from, 0)?..side(to, u64::MAX)?;
        if range.is_empty() {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), range })
    }
}

/// What the user asked for, before the recording is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Part of the time.
    pub time: Option<TimeSpec>,
    /// Parts of the address space, all of them without any.
    pub address: Vec<AddressSpec>,
    /// Mappings by name; see [`mappings::called`]. With addresses: what is in both.
    pub mapping: Vec<String>,
    /// A target by pid, number in the trace, or command name.
    pub target: Option<String>,
}

impl Query {
    /// True when everything is asked for.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// True when a part of the time, or nothing, is all that is asked for.
    pub fn is_about_time(&self) -> bool {
        *self == Self { time: self.time.clone(), ..Self::default() }
    }

    /// The selection of a query that [is about time](Self::is_about_time), of a recording that spans `whole`.
    pub fn select_time(&self, whole: &Range<u64>) -> Result<Selection, SelectError> {
        Ok(Selection { time: self.resolve_time(whole)?, ..Selection::everything() })
    }

    /// Applies the query to a recording; `all` is the overview of everything.
    pub fn resolve(&self, all: &Overview) -> Result<Selection, SelectError> {
        self.resolve_in(all, &all.span())
    }

    /// Applies the query to a recording that spans `whole`; `all` is the overview of everything, or of the selected time. If
    /// something is not found in the latter, everything tells whether it is there, and what there is instead.
    pub fn resolve_in(&self, all: &Overview, whole: &Range<u64>) -> Result<Selection, SelectError> {
        let time = self.resolve_time(whole)?;
        let targets = self.resolve_target(all)?;
        let asked = self.resolve_address(all)?;
        let address = match self.resolve_mapping(all, &time, targets.as_ref())? {
            None => asked.as_ref().map_or_else(Addresses::all, Addresses::of_all),
            Some(named) => {
                let both = named.into_iter().map(|(target, set)| {
                    let set = asked.as_ref().map_or_else(|| set.clone(), |a| set.intersection(a));
                    (target, set)
                });
                let both: BTreeMap<TargetId, SpanSet> = both.collect();
                let spans = |target| all.targets.iter().find(|t| t.target == target);
                let monitored = |(target, set): (&TargetId, &SpanSet)| {
                    spans(*target).is_some_and(|t| !t.spans.intersection(set).is_empty())
                };
                if !both.iter().any(monitored) {
                    return Err(self.nothing_left(all, &time));
                }
                Addresses::of_each(both)
            }
        };
        Ok(Selection { time, address, targets })
    }

    fn resolve_time(&self, whole: &Range<u64>) -> Result<Range<u64>, SelectError> {
        let Some(spec) = &self.time else {
            return Ok(0..u64::MAX);
        };
        let duration = whole.end.saturating_sub(whole.start);
        let from = spec.from.map_or(0, |b| b.resolve(duration));
        let to = spec.to.map_or(duration, |b| b.resolve(duration));
        if from >= duration {
            return Err(SelectError::OutsideTime {
                asked: spec.text.clone(),
                lasts: format!("{:.3} s", float(duration) / 1e9),
            });
        }
        if from >= to {
            return Err(SelectError::Reversed(spec.text.clone()));
        }
        Ok(whole.start.saturating_add(from)..whole.start.saturating_add(to).min(whole.end))
    }

    fn resolve_address(&self, all: &Overview) -> Result<Option<SpanSet>, SelectError> {
        let spans = || all.targets.iter().flat_map(|t| t.spans.ranges());
        let mut set = SpanSet::default();
        for spec in &self.address {
            if !spans().any(|s| s.start < spec.range.end && spec.range.start < s.end) {
                let lowest = spans().map(|s| s.start).min().unwrap_or(0);
                let highest = spans().map(|s| s.end).max().unwrap_or(0);
                return Err(SelectError::OutsideAddresses {
                    asked: spec.text.clone(),
                    covers: format!("{lowest:#x}..{highest:#x}"),
                });
            }
            set.insert(spec.range.clone());
        }
        Ok((!self.address.is_empty()).then_some(set))
    }

    /// Says what there is, where a name has a meaning but nothing that was monitored.
    fn nothing_left(&self, all: &Overview, time: &Range<u64>) -> SelectError {
        const MOST: usize = 4;
        let mut asked = self.mapping.join(", ");
        if !self.address.is_empty() {
            let ranges: Vec<&str> = self.address.iter().map(|spec| spec.text.as_str()).collect();
            asked = format!("{asked} at {}", ranges.join(", "));
        }
        let wanted: Vec<TargetId> = all.targets.iter().map(|t| t.target).collect();
        let is_monitored = |name: &String| {
            let places = mappings::called(&all.mappings, &wanted, time, name);
            let spans = |of: &TargetId| all.targets.iter().find(|t| t.target == *of);
            places.iter().any(|(target, set)| {
                spans(target).is_some_and(|t| !t.spans.intersection(set).is_empty())
            })
        };
        let mut known = mappings::largest(&all.mappings, &wanted, time, 12);
        known.retain(is_monitored);
        let ranges = all.targets.iter().flat_map(|t| t.spans.ranges());
        known.extend(ranges.take(MOST).map(|r| format!("{:#x}..{:#x}", r.start, r.end)));
        SelectError::NothingLeft { asked, known: known.join(", ") }
    }

    /// What the named mappings of each selected target cover during `time`; `None` when none are asked for.
    fn resolve_mapping(
        &self,
        all: &Overview,
        time: &Range<u64>,
        targets: Option<&BTreeSet<TargetId>>,
    ) -> Result<Option<BTreeMap<TargetId, SpanSet>>, SelectError> {
        let wanted: Vec<TargetId> = all.targets.iter().map(|t| t.target).collect();
        let wanted = wanted.iter().filter(|t| targets.is_none_or(|some| some.contains(t)));
        let wanted: Vec<TargetId> = wanted.copied().collect();
        let mut named: BTreeMap<TargetId, SpanSet> = BTreeMap::new();
        for asked in &self.mapping {
            let found = mappings::called(&all.mappings, &wanted, time, asked);
            if found.is_empty() {
                let largest = mappings::largest(&all.mappings, &wanted, time, 12);
                let known = match largest.as_slice() {
                    [] => "the recording names none".to_owned(),
                    names => format!("the largest are {}", names.join(", ")),
                };
                return Err(SelectError::NoMapping { asked: asked.clone(), known });
            }
            for (target, set) in found {
                named.entry(target).or_default().extend(&set);
            }
        }
        Ok((!self.mapping.is_empty()).then_some(named))
    }

    fn resolve_target(&self, all: &Overview) -> Result<Option<BTreeSet<TargetId>>, SelectError> {
        let Some(asked) = &self.target else {
            return Ok(None);
        };
        let names = all.target_names();
        let number: Option<u32> = asked.parse().ok();
        let matching = |test: &dyn Fn(&TargetName) -> bool| -> BTreeSet<TargetId> {
            names.iter().filter(|n| test(n)).map(|n| n.target).collect()
        };
        let found = [
            matching(&|n| n.pid != 0 && Some(n.pid) == number),
            matching(&|n| Some(n.target.0) == number),
            matching(&|n| n.comm == *asked),
        ]
        .into_iter()
        .find(|set| !set.is_empty());
        if found.is_some() {
            return Ok(found);
        }
        let known: Vec<String> = names
            .iter()
            .take(20)
            .map(|n| match (n.pid, n.comm.as_str()) {
                (0, "") => n.target.to_string(),
                _ => format!("{}: {}", n.target, n.name()),
            })
            .collect();
        Err(SelectError::NoTarget {
            asked: asked.clone(),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        })
    }
}

/// A part of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: Range<u64>,
    /// Addresses of each target.
    pub address: Addresses,
    /// Targets, or all.
    pub targets: Option<BTreeSet<TargetId>>,
}

impl Selection {
    /// The whole recording.
    pub fn everything() -> Self {
        Self { time: 0..u64::MAX, address: Addresses::all(), targets: None }
    }

    /// False when a block can hold nothing of interest to who wants all records.
    pub fn may_hold(&self, block: &BlockEntry) -> bool {
        block.records > 0 || self.overlaps(block)
    }

    /// Whether a block's time touches the selected one. Of other blocks, records that began to matter before are all
    /// that is of interest.
    pub fn overlaps(&self, block: &BlockEntry) -> bool {
        block.start_ns <= self.time.end && block.end_ns >= self.time.start
    }

    /// Whether a target is selected.
    pub fn has_target(&self, target: TargetId) -> bool {
        self.targets.as_ref().is_none_or(|t| t.contains(&target))
    }

    /// Whether some time of a snapshot of a selected target is selected. Of a snapshot that took no
    /// time, its moment.
    pub fn has_snapshot(&self, snapshot: &SnapshotView<'_>) -> bool {
        let overlaps = snapshot.start_ns < self.time.end && self.time.start < snapshot.end_ns;
        let moment = snapshot.start_ns == snapshot.end_ns && self.time.contains(&snapshot.end_ns);
        self.has_target(snapshot.target) && (overlaps || moment)
    }

    /// How much of a snapshot's time is selected, and when. Of a snapshot that took no time, its moment.
    pub(super) fn time_of(&self, snapshot: &SnapshotView<'_>) -> Range<u64> {
        let start_ns = snapshot.start_ns.max(self.time.start);
        start_ns..snapshot.end_ns.min(self.time.end).max(start_ns)
    }

    /// Whether a record falls into the selected time and concerns a selected target or none.
    pub fn has_record(&self, record: &Record) -> bool {
        let (target, time_ns) = (record.target(), record.time_ns());
        // A record that marks the end of the selected time belongs to it.
        let inside = self.time.start <= time_ns && time_ns <= self.time.end;
        inside && target.is_none_or(|t| self.has_target(t))
    }

    /// From the first to the last selected address of a region, whichever target's. The selected part itself where one
    /// range is selected; whoever adds bytes up goes through the [pieces](Self::pieces).
    pub fn clip(&self, start: u64, end: u64) -> Option<Range<u64>> {
        self.address.hull(start, end)
    }

    /// The selected pieces of a region of a target, ascending and disjoint.
    pub fn pieces(&self, target: TargetId, start: u64, end: u64) -> Pieces<'_> {
        self.address.pieces(target, start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let cases = [
            ("2s", Some(2_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("250ms", Some(250_000_000)),
            ("10us", Some(10_000)),
            ("2min", Some(120_000_000_000)),
            ("0", Some(0)),
            ("5", None),
            ("s", None),
            ("1.2.3s", None),
            ("-1s", None),
        ];
        for (text, ns) in cases {
            assert_eq!(parse_duration(text), ns, "{text}");
        }
    }

    #[test]
    fn ranges_are_refused_with_an_example() {
        for text in ["2s", "a..b", "..x", "150%.."] {
            let error = text.parse::<TimeSpec>().unwrap_err();
            assert!(error.to_string().contains("2s..10s"), "{text}");
        }
        for text in ["5000", "0x10..0x10", "20..10", "g..h", "+1..2", "1-2-3", "1..-2", "20-10"] {
            assert!(text.parse::<AddressSpec>().is_err(), "{text}");
        }
        let open: AddressSpec = "7f00..".parse().unwrap();
        assert_eq!(open.range, 0x7f00..u64::MAX);
        let pasted: AddressSpec = "0x7f9158e00000-0x7f9158ee2000".parse().unwrap();
        assert_eq!(pasted.range, 0x7f91_58e0_0000..0x7f91_58ee_2000);
    }
}
