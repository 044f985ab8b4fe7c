//! What an address was called: names of ranges from the mapping timeline.

use super::groups::GroupBy;
use super::layout::Layouts;
use super::mapping_history::{Event, Mapped, MappingHistory};
use super::spans::SpanSet;
use damon_format::TargetId;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// A named part of the address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// `[heap]`, `libc.so.6`, `anon`, …
    pub name: String,
}

/// Short name of a mapping: base name of its file, `[heap]`, `[stack]`, `anon`.
pub fn label(mapping: &Mapped) -> String {
    let name = mapping.name().trim();
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    if name.is_empty() {
        return "anon".to_owned();
    }
    if name.starts_with('[') {
        return name.to_owned();
    }
    name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name).to_owned()
}

/// Names of a target's addresses during `time`, ascending and disjoint. Where an address had several
/// names, the one it had longest; neighbours of one name are joined.
pub fn names(history: &MappingHistory, target: TargetId, time: &Range<u64>) -> Vec<NamedRange> {
    let mut candidates = lifetimes(history, target, time);
    candidates.sort_by_key(|life| (Reverse(life.ns), life.mapping.start));
    let mut painted: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for life in candidates {
        paint(&mut painted, life.range(), &label(life.mapping));
    }
    let mut names: Vec<NamedRange> = Vec::new();
    for (start, (end, name)) in painted {
        match names.last_mut() {
            Some(last) if last.end == start && last.name == name => last.end = end,
            _ => names.push(NamedRange { start, end, name }),
        }
    }
    names
}

/// The names inside a band that are at least `least` bytes long after neighbours of one name were
/// joined across unnamed gaps.
pub fn names_in_band(names: &[NamedRange], band: &Range<u64>, least: u64) -> Vec<NamedRange> {
    let mut joined: Vec<NamedRange> = Vec::new();
    for name in names {
        let (start, end) = (name.start.max(band.start), name.end.min(band.end));
        if start >= end {
            continue;
        }
        match joined.last_mut() {
            Some(last) if last.name == name.name => last.end = end,
            _ => joined.push(NamedRange { start, end, name: name.name.clone() }),
        }
    }
    joined.retain(|n| n.end - n.start >= least);
    joined
}

/// All addresses that were mapped at some moment of `time`; `None` when no mappings were recorded.
pub fn mapped(history: &MappingHistory, target: TargetId, time: &Range<u64>) -> Option<SpanSet> {
    mapped_where(history, target, time, |_| true)
}

/// Those of them that could be read, written or executed: without any right there is nothing to access, and as a rule
/// nothing in memory (guard pages, address space that an allocator keeps for later). Where no mapping has any
/// right, rights were not recorded, and all count.
pub fn accessible(
    history: &MappingHistory,
    target: TargetId,
    time: &Range<u64>,
) -> Option<SpanSet> {
    let set = mapped_where(history, target, time, Mapped::has_rights)?;
    if set.is_empty() { mapped(history, target, time) } else { Some(set) }
}

fn mapped_where(
    history: &MappingHistory,
    target: TargetId,
    time: &Range<u64>,
    wanted: impl Fn(&Mapped) -> bool,
) -> Option<SpanSet> {
    let is_change = |event: &Event| matches!(event, Event::Changed(_));
    if !history.of_target(target).iter().any(is_change) {
        return None;
    }
    let mut set = SpanSet::default();
    for life in lifetimes(history, target, time) {
        if wanted(life.mapping) {
            set.insert(life.range());
        }
    }
    Some(set)
}

/// The addresses of each target that were called `asked` at some moment of `time`. A [short name](label) that is
/// exactly that, in any of the targets, wins over names that only contain it, and these over what reports call
/// [groups of mappings](Layouts::labelled) (`anonymous 64 MiB #0`).
pub fn called(
    history: &MappingHistory,
    targets: &[TargetId],
    time: &Range<u64>,
    asked: &str,
) -> BTreeMap<TargetId, SpanSet> {
    let find = |matches: &dyn Fn(&Lifetime<'_>) -> bool| {
        let mut found: BTreeMap<TargetId, SpanSet> = BTreeMap::new();
        for &target in targets {
            for life in lifetimes(history, target, time).iter().filter(|life| matches(life)) {
                found.entry(target).or_default().insert(life.range());
            }
        }
        found
    };
    let exact = find(&|life| label(life.mapping) == asked);
    if !exact.is_empty() || asked.is_empty() {
        return exact;
    }
    let partly = find(&|life| life.mapping.name().contains(asked));
    if partly.is_empty() {
        return Layouts::new(history, GroupBy::Mapping).labelled(targets, time, asked);
    }
    partly
}

/// Short names of the largest mappings during `time`, at most `most`, the largest first.
pub fn largest(
    history: &MappingHistory,
    targets: &[TargetId],
    time: &Range<u64>,
    most: usize,
) -> Vec<String> {
    let mut sizes: BTreeMap<String, SpanSet> = BTreeMap::new();
    for &target in targets {
        for life in lifetimes(history, target, time) {
            sizes.entry(label(life.mapping)).or_default().insert(life.range());
        }
    }
    let mut names: Vec<(u64, String)> =
        sizes.into_iter().map(|(name, set)| (set.bytes(), name)).collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    names.into_iter().take(most).map(|(_, name)| name).collect()
}

/// A mapping and how long it existed inside the time looked at.
struct Lifetime<'a> {
    ns: u64,
    mapping: &'a Mapped,
}

impl Lifetime<'_> {
    fn range(&self) -> Range<u64> {
        self.mapping.start..self.mapping.end
    }
}

/// Each mapping of the target with the time it existed inside `time`.
fn lifetimes<'a>(
    history: &'a MappingHistory,
    target: TargetId,
    time: &Range<u64>,
) -> Vec<Lifetime<'a>> {
    let mut alive: BTreeMap<u64, (u64, &'a Mapped)> = BTreeMap::new();
    let mut found = Vec::new();
    let mut close = |since: u64, until: u64, mapping: &'a Mapped| {
        let (since, until) = (since.max(time.start), until.min(time.end));
        // A mapping that was seen exactly once still names its addresses.
        if since <= until && mapping.start < mapping.end {
            found.push(Lifetime { ns: until - since, mapping });
        }
    };
    for event in history.of_target(target) {
        match event {
            Event::Changed(change) => {
                for start in &change.removed {
                    if let Some((since, mapping)) = alive.remove(start) {
                        close(since, change.time_ns, mapping);
                    }
                }
                for mapping in change.added.iter() {
                    let new = (change.time_ns, mapping);
                    if let Some((since, old)) = alive.insert(mapping.start, new) {
                        close(since, change.time_ns, old);
                    }
                }
            }
            Event::Executed { time_ns, .. } | Event::Exited { time_ns } => {
                for (since, mapping) in std::mem::take(&mut alive).into_values() {
                    close(since, *time_ns, mapping);
                }
            }
            Event::Started { .. } => {}
        }
    }
    for (since, mapping) in alive.into_values() {
        close(since, u64::MAX, mapping);
    }
    found
}

/// Gives `name` to those parts of `range` that have none yet.
fn paint(painted: &mut BTreeMap<u64, (u64, String)>, range: Range<u64>, name: &str) {
    let mut at = range.start;
    if let Some((_, (end, _))) = painted.range(..=at).next_back() {
        at = at.max(*end);
    }
    let mut free = Vec::new();
    for (&start, (end, _)) in painted.range(range.clone()) {
        if at < start {
            free.push(at..start);
        }
        at = at.max(*end);
    }
    if at < range.end {
        free.push(at..range.end);
    }
    for part in free {
        painted.insert(part.start, (part.end, name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Mapping, MappingsChanged, Permissions, Record, TargetExited};

    const T: TargetId = TargetId(0);

    fn mapping(start: u64, end: u64, name: &str) -> Mapping {
        Mapping {
            start,
            end,
            permissions: Permissions::default(),
            offset: 0,
            inode: 0,
            name: name.to_owned(),
        }
    }

    fn change(time_ns: u64, removed: &[u64], added: Vec<Mapping>) -> Record {
        Record::MappingsChanged(MappingsChanged {
            target: T,
            time_ns,
            removed: removed.to_vec(),
            added,
        })
    }

    fn list(names: &[NamedRange]) -> Vec<(u64, u64, &str)> {
        names.iter().map(|n| (n.start, n.end, n.name.as_str())).collect()
    }

    #[test]
    fn labels_are_short() {
        let cases = [
            ("", "anon"),
            ("[heap]", "[heap]"),
            ("[anon:glibc: malloc]", "[anon:glibc: malloc]"),
            ("/usr/lib/libc.so.6", "libc.so.6"),
            ("/memfd:pool (deleted)", "memfd:pool"),
            ("/", "/"),
        ];
        for (name, short) in cases {
            assert_eq!(label(&mapping(0, 1, name).into()), short);
        }
    }

    #[test]
    fn neighbours_of_one_file_are_joined() {
        let libc = "/lib/libc.so.6";
        let records = MappingHistory::of(&[change(
            0,
            &[],
            vec![mapping(10, 20, libc), mapping(20, 30, libc), mapping(30, 40, "")],
        )]);
        let names = names(&records, T, &(0..100));
        assert_eq!(list(&names), [(10, 30, "libc.so.6"), (30, 40, "anon")]);
    }

    #[test]
    fn the_name_an_address_had_longest_wins() {
        let records = MappingHistory::of(&[
            change(0, &[], vec![mapping(10, 30, "/a")]),
            change(60, &[10], vec![mapping(5, 20, "/b")]),
        ]);
        assert_eq!(list(&names(&records, T, &(0..100))), [(5, 10, "b"), (10, 30, "a")]);
        assert_eq!(list(&names(&records, T, &(50..100))), [(5, 20, "b"), (20, 30, "a")]);
    }

    #[test]
    fn what_nobody_may_access_is_mapped_and_no_memory() {
        let guard = mapping(20, 30, "");
        let mut used = mapping(10, 20, "");
        used.permissions.read = true;
        let ranges = |set: Option<SpanSet>| -> Vec<(u64, u64)> {
            set.unwrap().ranges().map(|range| (range.start, range.end)).collect()
        };
        let records = MappingHistory::of(&[change(0, &[], vec![used, guard.clone()])]);
        assert_eq!(ranges(mapped(&records, T, &(0..9))), [(10, 30)]);
        assert_eq!(ranges(accessible(&records, T, &(0..9))), [(10, 20)]);
        let unknown = MappingHistory::of(&[change(0, &[], vec![guard])]);
        assert_eq!(ranges(accessible(&unknown, T, &(0..9))), [(20, 30)]);
        assert_eq!(accessible(&MappingHistory::default(), T, &(0..9)), None);
    }

    #[test]
    fn names_end_with_the_target_and_belong_to_it() {
        let records = MappingHistory::of(&[
            change(0, &[], vec![mapping(10, 30, "/a")]),
            Record::TargetExited(TargetExited { target: T, time_ns: 10, wait_status: None }),
        ]);
        assert!(names(&records, T, &(20..30)).is_empty());
        assert!(names(&records, TargetId(1), &(0..30)).is_empty());
    }

    #[test]
    fn a_mapping_is_called_by_its_short_name_or_by_a_part_of_its_path() {
        let records = MappingHistory::of(&[
            change(0, &[], vec![mapping(10, 20, "/lib/libc.so.6"), mapping(20, 30, "[heap]")]),
            change(50, &[20], vec![mapping(40, 60, "/opt/libc.so.6.data"), mapping(70, 80, "")]),
        ]);
        let found = |asked: &str, time: Range<u64>| -> Vec<(u64, u64)> {
            let sets = called(&records, &[T], &time, asked);
            let ranges = sets.values().flat_map(|set| set.ranges().collect::<Vec<_>>());
            ranges.map(|range| (range.start, range.end)).collect()
        };
        assert_eq!(found("libc.so.6", 0..99), [(10, 20)]);
        assert_eq!(found("libc", 0..99), [(10, 20), (40, 60)]);
        assert_eq!(found("/lib/", 0..99), [(10, 20)]);
        assert_eq!(found("heap", 0..99), [(20, 30)]);
        assert_eq!(found("[heap]", 60..99), []);
        assert_eq!(found("anon", 0..99), [(70, 80)]);
        assert!(found("", 0..99).is_empty() && found("libm", 0..99).is_empty());
        // As reports call them.
        assert_eq!(found("/lib/libc.so.6 +0x0..0xa", 0..99), [(10, 20)]);
        assert_eq!(found("anonymous 8 B #0", 0..99), [(70, 80)]);
        assert_eq!(found("anonymous", 0..99), [(70, 80)]);
        assert!(found("anonymous 8 B #0", 0..49).is_empty());
        assert!(found("anonymous 8 B #1", 0..99).is_empty());
        let names = largest(&records, &[T], &(0..99), 2);
        assert_eq!(names, ["libc.so.6.data", "[heap]"]);
        assert!(called(&records, &[TargetId(1)], &(0..99), "anon").is_empty());
    }

    #[test]
    fn bands_clip_names_and_drop_what_nobody_could_see() {
        let all = [(0, 50, "a"), (60, 70, "a"), (70, 71, "b"), (80, 200, "c")]
            .map(|(start, end, name)| NamedRange { start, end, name: name.to_owned() });
        let names = names_in_band(&all, &(40..100), 5);
        assert_eq!(list(&names), [(40, 70, "a"), (80, 100, "c")]);
    }
}
