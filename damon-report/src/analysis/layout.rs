//! Which group an address belonged to at a moment: the recorded changes of all targets' mappings, ready to be walked
//! along with their snapshots.

mod labelled;

use super::groups::{GroupBy, MappingId, MemoryKind, is_thread_stack};
use super::mapping_history::{Event, Mapped, MappingHistory};
use damon_format::TargetId;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// The group of what is in no known mapping.
pub const UNKNOWN: u32 = 0;

/// A state is kept after so many changes, from which any other is quickly reached; more would cost memory.
const STEP: usize = 256;

/// Guard pages below a thread's stack are no larger.
const GUARD: u64 = 1 << 20;
/// Stacks of threads are no larger (glibc: 8 MiB).
const THREAD_STACK: u64 = 64 << 20;
/// Anonymous memory after a library is its bss if it is no larger, or no larger than all of the file that is mapped.
const BSS: u64 = 1 << 20;

/// A range that belongs to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Index into [`Layouts::groups`].
    pub group: u32,
}

/// The mappings of all targets over time, by group.
#[derive(Debug)]
pub struct Layouts {
    groups: Vec<MappingId>,
    targets: BTreeMap<TargetId, Layout>,
}

/// The mappings of one target over time.
#[derive(Debug, Default)]
struct Layout {
    changes: Vec<Change>,
    /// The state before every [`STEP`]-th change.
    states: Vec<Vec<Slot>>,
}

#[derive(Debug, Default)]
struct Change {
    time_ns: u64,
    /// Everything goes: another program is executed.
    clear: bool,
    removed: Box<[u64]>,
    added: Box<[Slot]>,
}

impl Layouts {
    /// Of all targets, one after the other: on the way to a layout much more is held than is left of it.
    pub fn new(history: &MappingHistory, by: GroupBy) -> Self {
        let mut numbers = Numbers::default();
        numbers.number(MappingId::kind(MemoryKind::Unknown).grouped(by));
        let layout = |(target, events)| (target, Maker::of(events).finish(by, &mut numbers));
        let targets = history.targets().map(layout).collect();
        Self { groups: numbers.groups, targets }
    }

    /// All groups; the first is [`UNKNOWN`].
    pub fn groups(&self) -> &[MappingId] {
        &self.groups
    }

    /// Most bytes of each group that one target had mapped at once.
    pub(super) fn extents(&self) -> Vec<u64> {
        let mut most = vec![0_u64; self.groups.len()];
        for layout in self.targets.values() {
            let mut now = vec![0_u64; self.groups.len()];
            let mut alive: BTreeMap<u64, Slot> = BTreeMap::new();
            for change in &layout.changes {
                if change.clear {
                    alive.clear();
                    now.fill(0);
                }
                let removed = change.removed.iter().filter_map(|start| alive.remove(start));
                let mut gone: Vec<Slot> = removed.collect();
                gone.extend(change.added.iter().filter_map(|new| alive.insert(new.start, *new)));
                for slot in gone {
                    if let Some(size) = now.get_mut(place(slot)) {
                        *size = size.saturating_sub(slot.end.saturating_sub(slot.start));
                    }
                }
                for slot in &change.added {
                    if let Some(size) = now.get_mut(place(*slot)) {
                        *size = size.saturating_add(slot.end.saturating_sub(slot.start));
                    }
                }
                for slot in &change.added {
                    let size = now.get(place(*slot)).copied().unwrap_or(0);
                    if let Some(most) = most.get_mut(place(*slot)) {
                        *most = size.max(*most);
                    }
                }
            }
        }
        most
    }

    /// Whether mappings of any target were recorded.
    pub fn has_mappings(&self) -> bool {
        self.groups.len() > 1
    }
}

/// The place of a slot's group in lists of all groups.
fn place(slot: Slot) -> usize {
    usize::try_from(slot.group).unwrap_or(usize::MAX)
}

#[derive(Default)]
struct Numbers {
    known: BTreeMap<MappingId, u32>,
    groups: Vec<MappingId>,
}

impl Numbers {
    fn number(&mut self, group: MappingId) -> u32 {
        if let Some(number) = self.known.get(&group) {
            return *number;
        }
        let number = u32::try_from(self.groups.len()).unwrap_or(UNKNOWN);
        self.groups.push(group.clone());
        self.known.insert(group, number);
        number
    }
}

/// Who a mapping is: something with a name, or an object that is numbered when all are known.
#[derive(Clone, Debug)]
enum Who {
    Named(MappingId),
    Object(usize),
}

/// Memory without a name, through all changes of its size.
#[derive(Debug)]
struct Object {
    kind: MemoryKind,
    since_ns: u64,
    until_ns: u64,
    address: u64,
    size: u64,
    greatest: u64,
}

/// Collects the changes of one target.
#[derive(Debug, Default)]
struct Maker<'a> {
    exe: &'a str,
    alive: BTreeMap<u64, (&'a Mapped, Option<Who>)>,
    objects: Vec<Object>,
    changes: Vec<RawChange>,
}

/// A [`Change`] before all is numbered.
#[derive(Debug)]
struct RawChange {
    time_ns: u64,
    clear: bool,
    removed: Vec<u64>,
    added: Vec<(u64, u64, Who)>,
}

impl<'a> Maker<'a> {
    fn of(events: &'a [Event]) -> Self {
        let mut maker = Self::default();
        for event in events {
            match event {
                Event::Changed(change) => {
                    maker.change(change.time_ns, &change.removed, &change.added);
                }
                Event::Started { exe } => maker.exe = exe,
                Event::Executed { time_ns, exe } => {
                    maker.exe = exe;
                    maker.clear(*time_ns);
                }
                Event::Exited { .. } => {}
            }
        }
        maker
    }

    fn clear(&mut self, time_ns: u64) {
        for (_, who) in std::mem::take(&mut self.alive).into_values() {
            self.gone(who.as_ref(), u64::MAX, time_ns);
        }
        let (removed, added) = (Vec::new(), Vec::new());
        self.changes.push(RawChange { time_ns, clear: true, removed, added });
    }

    fn gone(&mut self, who: Option<&Who>, size: u64, time_ns: u64) {
        let Some(Who::Object(index)) = who else { return };
        if let Some(object) = self.objects.get_mut(*index) {
            object.size = object.size.saturating_sub(size);
            if object.size == 0 {
                object.until_ns = time_ns;
            }
        }
    }

    fn change(&mut self, time_ns: u64, removed: &[u64], added: &'a [Mapped]) {
        let mut before: Vec<(&Mapped, Option<Who>)> = Vec::new();
        before.extend(removed.iter().filter_map(|start| self.alive.remove(start)));
        let added = || added.iter().filter(|mapping| mapping.start < mapping.end);
        before.extend(added().filter_map(|new| self.alive.insert(new.start, (new, None))));
        for (mapping, who) in &before {
            self.gone(who.as_ref(), mapping.end.saturating_sub(mapping.start), time_ns);
        }
        let mut slots = Vec::new();
        for mapping in added() {
            let who = match self.named(mapping) {
                Ok(named) => Who::Named(named),
                Err(kind) => Who::Object(self.object(kind, mapping, &before, time_ns)),
            };
            slots.push((mapping.start, mapping.end, who.clone()));
            if let Some((_, place)) = self.alive.get_mut(&mapping.start) {
                *place = Some(who);
            }
        }
        let removed = removed.to_vec();
        self.changes.push(RawChange { time_ns, clear: false, removed, added: slots });
    }

    fn below(&self, mapping: &Mapped) -> Option<&'a Mapped> {
        let (_, (below, _)) = self.alive.range(..mapping.start).next_back()?;
        (below.end == mapping.start).then_some(*below)
    }

    /// What the mapping is, or else the kind of an object that needs a number.
    fn named(&self, mapping: &Mapped) -> Result<MappingId, MemoryKind> {
        if let Some(id) = MappingId::of(mapping) {
            return Ok(id);
        }
        let name = mapping.name().trim();
        let above = self.alive.get(&mapping.end).map(|(above, _)| *above);
        let below = self.below(mapping);
        let guarded = |guard: &Mapped, stack: &Mapped| {
            let size = |m: &Mapped| m.end.saturating_sub(m.start);
            let (has_none, may) = (guard.permissions(), stack.permissions());
            let closed = !has_none.read && !has_none.write && !has_none.execute;
            let open = may.read && may.write && !may.shared;
            let nameless =
                |m: &Mapped| m.name().trim().is_empty() || is_thread_stack(m.name().trim());
            let sizes = size(guard) <= GUARD && size(stack) <= THREAD_STACK;
            closed && open && sizes && nameless(guard) && nameless(stack)
        };
        let is_stack = below.is_some_and(|guard| guarded(guard, mapping));
        let is_guard = above.is_some_and(|stack| guarded(mapping, stack));
        if is_thread_stack(name) || is_stack || is_guard {
            return Err(MemoryKind::ThreadStack);
        }
        let file = below.filter(|below| {
            let id = MappingId::of(below);
            below.permissions().write && id.is_some_and(|id| id.kind == MemoryKind::File)
        });
        match file {
            Some(file) if mapping.permissions().write && self.may_be_bss(mapping, file) => {
                Ok(MappingId::bss(file))
            }
            _ => Err(MemoryKind::Anonymous),
        }
    }

    fn may_be_bss(&self, mapping: &Mapped, file: &Mapped) -> bool {
        let all = self.alive.values().filter(|(other, _)| other.name() == file.name());
        let mapped = all.fold(0_u64, |sum, (m, _)| sum.saturating_add(m.end - m.start));
        mapping.end - mapping.start <= mapped.max(BSS) || file.name().trim() == self.exe
    }

    /// The object that a mapping without a name continues, or a new one.
    fn object(
        &mut self,
        kind: MemoryKind,
        mapping: &Mapped,
        before: &[(&Mapped, Option<Who>)],
        time_ns: u64,
    ) -> usize {
        let meets = |old: &Mapped| old.start < mapping.end && mapping.start < old.end;
        let old = before.iter().filter(|(old, _)| meets(old)).find_map(|(_, who)| match who {
            Some(Who::Object(index)) => {
                self.objects.get(*index).filter(|o| o.kind == kind).map(|_| *index)
            }
            _ => None,
        });
        // The guard page below a stack, or the stack above a guard page, belongs to the same thread.
        let next = || {
            let below = self.below(mapping).map(|below| below.start);
            [below, Some(mapping.end)].into_iter().flatten().find_map(|start| {
                let (other, who) = self.alive.get(&start)?;
                match who {
                    Some(Who::Object(index)) => {
                        let closed = |m: &Mapped| !m.permissions().read && !m.permissions().write;
                        let object = self.objects.get(*index)?;
                        let pair = if start == mapping.end {
                            closed(mapping) && !closed(other)
                        } else {
                            closed(other) && !closed(mapping)
                        };
                        (object.kind == kind && pair).then_some(*index)
                    }
                    _ => None,
                }
            })
        };
        let stack = kind == MemoryKind::ThreadStack;
        let index = old.or_else(|| if stack { next() } else { None }).unwrap_or_else(|| {
            self.objects.push(Object {
                kind,
                since_ns: time_ns,
                until_ns: u64::MAX,
                address: mapping.start,
                size: 0,
                greatest: 0,
            });
            self.objects.len() - 1
        });
        if let Some(object) = self.objects.get_mut(index) {
            object.size = object.size.saturating_add(mapping.end - mapping.start);
            object.greatest = object.greatest.max(object.size);
            object.until_ns = u64::MAX;
        }
        index
    }

    /// Numbers all objects: the lowest number that is free when one appears.
    fn numbered(&self) -> Vec<MappingId> {
        let class = |o: &Object| match o.kind {
            MemoryKind::ThreadStack => (o.kind, 0),
            _ => (o.kind, o.greatest.max(1).ilog2()),
        };
        let mut order: Vec<usize> = (0..self.objects.len()).collect();
        let object = |index: &usize| self.objects.get(*index);
        order.sort_by_key(|index| object(index).map(|o| (o.since_ns, Reverse(o.address))));
        let mut taken: BTreeMap<(MemoryKind, u32), Vec<u64>> = BTreeMap::new();
        let mut ids = vec![MappingId::kind(MemoryKind::Unknown); self.objects.len()];
        for index in order {
            let Some(object) = object(&index) else { continue };
            let taken = taken.entry(class(object)).or_default();
            let free = taken.iter().position(|until| *until <= object.since_ns);
            let number = free.unwrap_or(taken.len());
            match taken.get_mut(number) {
                Some(until) => *until = object.until_ns,
                None => taken.push(object.until_ns),
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if let Some(id) = ids.get_mut(index) {
                *id = match object.kind {
                    MemoryKind::ThreadStack => MappingId::thread_stack(number),
                    _ => MappingId::anonymous(object.greatest, number),
                };
            }
        }
        ids
    }

    fn finish(self, by: GroupBy, numbers: &mut Numbers) -> Layout {
        let objects: Vec<u32> =
            self.numbered().into_iter().map(|id| numbers.number(id.grouped(by))).collect();
        let mut layout = Layout::default();
        let mut state: Vec<Slot> = Vec::new();
        for RawChange { time_ns, clear, removed, added } in self.changes {
            let slot = |(start, end, who): (u64, u64, Who)| Slot {
                start,
                end,
                group: match who {
                    Who::Named(id) => numbers.number(id.grouped(by)),
                    Who::Object(index) => objects.get(index).copied().unwrap_or(UNKNOWN),
                },
            };
            // Collected in place, slots would keep the room of what is four times as large.
            let mut slots: Vec<Slot> = Vec::with_capacity(added.len());
            slots.extend(added.into_iter().map(slot));
            slots.sort_by_key(|slot| slot.start);
            let (removed, added) = (removed.into(), slots.into());
            let change = Change { time_ns, clear, removed, added };
            if layout.changes.len().is_multiple_of(STEP) {
                layout.states.push(state.clone());
            }
            change.apply(&mut state);
            layout.changes.push(change);
        }
        layout
    }
}

impl Change {
    fn apply(&self, state: &mut Vec<Slot>) {
        if self.clear {
            state.clear();
        }
        let replaced = |slot: &Slot| {
            let at = self.added.binary_search_by_key(&slot.start, |new| new.start);
            at.is_ok() || self.removed.contains(&slot.start)
        };
        state.retain(|slot| !replaced(slot));
        state.extend_from_slice(&self.added);
        // Two runs that are ascending: the sort merges them.
        state.sort_by_key(|slot| slot.start);
    }
}

/// Walks along with the snapshots of all targets, in any order, fastest in the order of time.
#[derive(Debug)]
pub struct Cursor<'a> {
    layouts: &'a Layouts,
    places: BTreeMap<TargetId, (usize, Vec<Slot>)>,
}

impl<'a> Cursor<'a> {
    /// Nowhere yet.
    pub fn new(layouts: &'a Layouts) -> Self {
        Self { layouts, places: BTreeMap::new() }
    }

    /// The mappings of a target at a moment, ascending by their starts; before the first that are known, those.
    pub fn at(&mut self, target: TargetId, time_ns: u64) -> &[Slot] {
        let Some(layout) = self.layouts.targets.get(&target) else {
            return &[];
        };
        let place = self.places.entry(target).or_default();
        let applied = layout.changes.partition_point(|change| change.time_ns <= time_ns).max(1);
        let (at, state) = place;
        if *at > applied || applied - *at > STEP {
            // What would be kept after the last change is reached from the state before.
            let kept = (applied / STEP).min(layout.states.len().saturating_sub(1));
            *at = kept * STEP;
            state.clear();
            state.extend_from_slice(layout.states.get(kept).map_or(&[], Vec::as_slice));
        }
        for change in layout.changes.iter().take(applied).skip(*at) {
            change.apply(state);
        }
        *at = applied;
        state
    }
}

/// Cuts ranges (ascending, each the whole or a part of the region with an index) at the borders of mappings (ascending)
/// and hands each piece over: the index, its size and its group. Every byte of a range is in exactly one piece.
pub fn split(
    slots: &[Slot],
    ranges: impl Iterator<Item = (usize, Range<u64>)>,
    mut give: impl FnMut(usize, u64, u32),
) {
    split_placed(slots, ranges, |index, piece, slot| {
        let group = slot.and_then(|slot| slots.get(slot)).map_or(UNKNOWN, |slot| slot.group);
        give(index, piece.end - piece.start, group);
    });
}

/// The same with the addresses of each piece and the index of its slot.
pub(super) fn split_placed(
    slots: &[Slot],
    ranges: impl Iterator<Item = (usize, Range<u64>)>,
    mut give: impl FnMut(usize, Range<u64>, Option<usize>),
) {
    let mut rest = slots;
    for (index, Range { start, end }) in ranges {
        let mut at = start;
        while at < end {
            let Some((slot, others)) = rest.split_first() else {
                give(index, at..end, None);
                break;
            };
            if slot.end <= at {
                rest = others;
                continue;
            }
            if slot.start >= end {
                give(index, at..end, None);
                break;
            }
            if slot.start > at {
                give(index, at..slot.start, None);
                at = slot.start;
            }
            let until = slot.end.min(end);
            give(index, at..until, Some(slots.len() - rest.len()));
            at = until;
        }
    }
}

#[cfg(test)]
mod tests;
