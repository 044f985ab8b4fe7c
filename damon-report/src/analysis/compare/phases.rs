//! Which part of one recording is laid over which part of another.

use crate::analysis::overview::Overview;
use damon_format::Record;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How recordings are laid over each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// From begin to end, whatever their lengths: half-way of one beside half-way of the other.
    #[default]
    Progress,
    /// By the time since their begin, as long as the shortest lasts.
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
}

/// Finds the phases of recordings, given by their overviews and the selected time of each.
pub(super) fn phases(align: Align, recordings: &[(&Overview, Range<u64>)]) -> Phases {
    let whole = |time: Range<u64>| vec![Phase { name: None, time }];
    match align {
        Align::Progress => Phases {
            of: recordings.iter().map(|(_, time)| whole(time.clone())).collect(),
            left_out: Vec::new(),
        },
        Align::Time => {
            let length = |time: &Range<u64>| time.end.saturating_sub(time.start);
            let shortest = recordings.iter().map(|(_, time)| length(time)).min().unwrap_or(0);
            let cut = |time: &Range<u64>| time.start..time.start.saturating_add(shortest);
            Phases {
                of: recordings.iter().map(|(_, time)| whole(cut(time))).collect(),
                left_out: Vec::new(),
            }
        }
        Align::Marks => by_marks(recordings),
    }
}

fn by_marks(recordings: &[(&Overview, Range<u64>)]) -> Phases {
    let all: Vec<Vec<Phase>> =
        recordings.iter().map(|(overview, time)| marked(&overview.records, time)).collect();
    let has = |list: &[Phase], name: &Option<String>| list.iter().any(|p| p.name == *name);
    let in_all = |name: &Option<String>| all.iter().all(|list| has(list, name));
    let mut left_out: Vec<String> = Vec::new();
    for name in all.iter().flatten().filter_map(|phase| phase.name.clone()) {
        if !in_all(&Some(name.clone())) && !left_out.contains(&name) {
            left_out.push(name);
        }
    }
    let names: Vec<Option<String>> = all
        .first()
        .map(|first| first.iter().map(|phase| phase.name.clone()).collect())
        .unwrap_or_default();
    let names: Vec<Option<String>> = names.into_iter().filter(|name| in_all(name)).collect();
    let of = all
        .into_iter()
        .map(|mut list| {
            // What is in the order of the first may be in another order here; courses want ascending times, and
            // comparison finds them by name.
            list.retain(|phase| names.contains(&phase.name));
            list
        })
        .collect();
    Phases { of, left_out }
}

/// From each mark to the next, or to the end. Of marks with one name the second is called `NAME #2`.
fn marked(records: &[Record], time: &Range<u64>) -> Vec<Phase> {
    let mut marks: Vec<(u64, &str)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Mark(mark) => Some((mark.time_ns.max(time.start), mark.text.as_str())),
            _ => None,
        })
        .filter(|(at, _)| *at < time.end)
        .collect();
    marks.sort_by_key(|(at, _)| *at);
    let ends: Vec<u64> = marks.iter().skip(1).map(|(at, _)| *at).chain([time.end]).collect();
    let mut phases: Vec<Phase> = Vec::new();
    for (index, ((start, text), end)) in marks.iter().zip(ends).enumerate() {
        let before = marks.iter().take(index).filter(|(_, other)| other == text).count();
        let name = if before == 0 { (*text).to_owned() } else { format!("{text} #{}", before + 1) };
        if *start < end {
            phases.push(Phase { name: Some(name), time: *start..end });
        }
    }
    phases
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
        assert_eq!(list, [[("load", 10..30), ("run", 30..60)], [("load", 7..9), ("run", 9..20)]]);
    }

    #[test]
    fn by_time_all_are_as_long_as_the_shortest() {
        let none = Overview::default();
        let found = phases(Align::Time, &[(&none, 100..200), (&none, 7..27)]);
        let times: Vec<Range<u64>> = found.of.iter().flatten().map(|p| p.time.clone()).collect();
        assert_eq!(times, [100..120, 7..27]);
    }
}
