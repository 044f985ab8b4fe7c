//! Which part of one recording is laid over which part of another.

use super::noise;
use crate::analysis::num::float;
use crate::analysis::overview::Overview;
use damon_format::Record;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How recordings are laid over each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// From start to end, whatever their lengths: half-way of one beside half-way of the other.
    #[default]
    Progress,
    /// By the time since their start, as long as the shortest lasts.
    Time,
    /// Phases: from each mark of the user to the next, by name.
    Marks,
}

/// A part of a recording that is compared with the part of the same name of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// Its mark; none where all of the recording is compared.
    pub name: Option<String>,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: Range<u64>,
}

/// Phases of all recordings, each with the same names in the order of time of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    /// By recording.
    pub of: Vec<Vec<Phase>>,
    /// Marks that some recording lacks.
    pub left_out: Vec<String>,
    /// So many phases are in all of them, but too many to be compared.
    pub beyond: usize,
}

/// Finds the phases of recordings, given by their overviews and the selected time of each.
pub(super) fn phases(align: Align, recordings: &[(&Overview, Range<u64>)]) -> Phases {
    let whole = |time: Range<u64>| vec![Phase { name: None, time }];
    match align {
        Align::Progress => Phases {
            of: recordings.iter().map(|(_, time)| whole(time.clone())).collect(),
            ..Phases::default()
        },
        Align::Time => {
            let length = |time: &Range<u64>| time.end.saturating_sub(time.start);
            let shortest = recordings.iter().map(|(_, time)| length(time)).min().unwrap_or(0);
            let cut = |time: &Range<u64>| time.start..time.start.saturating_add(shortest);
            Phases {
                of: recordings.iter().map(|(_, time)| whole(cut(time))).collect(),
                ..Phases::default()
            }
        }
        Align::Marks => by_marks(recordings),
    }
}

/// How long a phase is in the mean of runs, nanoseconds; 0 where none of them has it.
pub(super) fn usual_ns<'a>(runs: impl Iterator<Item = &'a [Phase]>, name: Option<&String>) -> f64 {
    let of = |phases: &'a [Phase]| phases.iter().find(|phase| phase.name.as_ref() == name);
    let length = |phase: &Phase| float(phase.time.end.saturating_sub(phase.time.start));
    noise::mean(&runs.filter_map(of).map(length).collect::<Vec<f64>>())
}

/// Phases beyond these, in the order of the first recording, are no phases any more.
const MOST_PHASES: usize = 256;

fn by_marks(recordings: &[(&Overview, Range<u64>)]) -> Phases {
    let all: Vec<Vec<(u64, String)>> =
        recordings.iter().map(|(overview, time)| marks(&overview.records, time)).collect();
    let names: Vec<BTreeSet<&String>> =
        all.iter().map(|list| list.iter().map(|(_, name)| name).collect()).collect();
    let common = names.iter().cloned().reduce(|a, b| &a & &b).unwrap_or_default();
    let every: BTreeSet<&String> = names.iter().flatten().copied().collect();
    let left_out = every.difference(&common).map(|name| (*name).clone()).collect();
    let in_order = all.first().into_iter().flatten().map(|(_, name)| name);
    let in_order = || in_order.clone().filter(|name| common.contains(name));
    let compared: BTreeSet<&String> = in_order().take(MOST_PHASES).collect();
    let of = all
        .iter()
        .zip(recordings)
        .map(|(list, (_, time))| {
            // A mark that others do not have begins no phase: it would cut short what it interrupts.
            let starts: Vec<&(u64, String)> =
                list.iter().filter(|(_, name)| common.contains(name)).collect();
            let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([time.end]);
            let phase = |((start, name), end): (&(u64, String), u64)| Phase {
                name: Some(name.clone()),
                time: *start..end,
            };
            let wanted = |(at, _): &(&(u64, String), u64)| compared.contains(&at.1);
            let phases = starts.iter().copied().zip(ends).filter(wanted).map(phase);
            phases.filter(|p| !p.time.is_empty()).collect()
        })
        .collect();
    Phases { of, left_out, beyond: in_order().count().saturating_sub(compared.len()) }
}

/// The marks inside a time, or before it. Of marks with one name the second is called `NAME #2`.
fn marks(records: &[Record], time: &Range<u64>) -> Vec<(u64, String)> {
    let mut marks: Vec<(u64, &str)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Mark(mark) => Some((mark.time_ns.max(time.start), mark.text.as_str())),
            _ => None,
        })
        .filter(|(at, _)| *at < time.end)
        .collect();
    marks.sort_by_key(|(at, _)| *at);
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut list = Vec::with_capacity(marks.len());
    for (at, text) in marks {
        let nth = times.entry(text).or_default();
        *nth += 1;
        let name = if *nth == 1 { text.to_owned() } else { format!("{text} #{nth}") };
        if names.insert(name.clone()) {
            list.push((at, name));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::Mark;

    fn recording(marks: &[(u64, &str)]) -> Overview {
        let mark = |(time_ns, text): &(u64, &str)| {
            Record::Mark(Mark { time_ns: *time_ns, text: (*text).to_owned() })
        };
        Overview { records: marks.iter().map(mark).collect(), ..Overview::default() }
    }

    #[test]
    fn phases_go_from_mark_to_mark() {
        let a = recording(&[(10, "load"), (30, "run"), (60, "load")]);
        let b = recording(&[(5, "warm"), (7, "load"), (9, "run")]);
        let found = phases(Align::Marks, &[(&a, 0..100), (&b, 0..20)]);
        assert_eq!(found.left_out, ["load #2", "warm"]);
        let list: Vec<Vec<(&str, Range<u64>)>> = found
            .of
            .iter()
            .map(|list| list.iter().map(|p| (p.name.as_deref().unwrap(), p.time.clone())).collect())
            .collect();
        assert_eq!(list, [[("load", 10..30), ("run", 30..100)], [("load", 7..9), ("run", 9..20)]]);
    }

    #[test]
    fn of_very_many_phases_the_first_ones_end_where_the_next_begin() {
        let names: Vec<String> = (0..300).map(|i| format!("m{i}")).collect();
        let marks = |order: &[usize]| -> Vec<(u64, &str)> {
            order.iter().zip(0..).map(|(i, at)| (at * 10, names[*i].as_str())).collect()
        };
        // In the second one the last marks come first: those of the first count.
        let (up, down): (Vec<usize>, Vec<usize>) = ((0..300).collect(), (0..300).rev().collect());
        let (a, b) = (recording(&marks(&up)), recording(&marks(&down)));
        let found = phases(Align::Marks, &[(&a, 0..3000), (&b, 0..3000)]);
        assert_eq!((found.beyond, found.left_out.len()), (44, 0));
        for list in &found.of {
            assert_eq!(list.len(), MOST_PHASES);
            assert!(list.iter().all(|phase| phase.time.end - phase.time.start == 10));
            let last = list.iter().find(|phase| phase.name.as_deref() == Some("m255"));
            assert!(last.is_some());
        }
    }

    #[test]
    fn by_time_all_are_as_long_as_the_shortest() {
        let none = Overview::default();
        let found = phases(Align::Time, &[(&none, 100..200), (&none, 7..27)]);
        let times: Vec<Range<u64>> = found.of.iter().flatten().map(|p| p.time.clone()).collect();
        assert_eq!(times, [100..120, 7..27]);
    }
}
