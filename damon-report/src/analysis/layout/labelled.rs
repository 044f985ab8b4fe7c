//! Addresses by the names that reports give them.

use super::{Layouts, Slot, place};
use crate::analysis::spans::SpanSet;
use damon_format::TargetId;
use std::collections::BTreeMap;
use std::ops::Range;

impl Layouts {
    /// The addresses of each target that belonged at some moment of `time` to a group that reports call `asked`, or to a
    /// kind of memory of this name. Targets that have none are left out.
    pub fn labelled(
        &self,
        targets: &[TargetId],
        time: &Range<u64>,
        asked: &str,
    ) -> BTreeMap<TargetId, SpanSet> {
        let meant = self.groups.iter().map(|g| g.label() == asked || g.kind.as_str() == asked);
        let meant: Vec<bool> = meant.collect();
        let mut found = BTreeMap::new();
        for target in targets {
            let set = self.spans_of(*target, time, &|slot| meant.get(place(slot)) == Some(&true));
            if !set.is_empty() {
                found.insert(*target, set);
            }
        }
        found
    }

    /// What a target had at some moment of `time` of the slots that are wanted.
    fn spans_of(
        &self,
        target: TargetId,
        time: &Range<u64>,
        wanted: &dyn Fn(Slot) -> bool,
    ) -> SpanSet {
        let mut set = SpanSet::default();
        let Some(layout) = self.targets.get(&target) else { return set };
        let mut alive: BTreeMap<u64, (u64, Slot)> = BTreeMap::new();
        let mut gone = |(since, slot): (u64, Slot), until: u64| {
            if since.max(time.start) <= until.min(time.end) && wanted(slot) {
                set.insert(slot.start..slot.end);
            }
        };
        for change in &layout.changes {
            if change.clear {
                for slot in std::mem::take(&mut alive).into_values() {
                    gone(slot, change.time_ns);
                }
            }
            for slot in change.removed.iter().filter_map(|start| alive.remove(start)) {
                gone(slot, change.time_ns);
            }
            for new in &change.added {
                if let Some(old) = alive.insert(new.start, (change.time_ns, *new)) {
                    gone(old, change.time_ns);
                }
            }
        }
        for slot in alive.into_values() {
            gone(slot, u64::MAX);
        }
        set
    }
}
