//! How much of the memory that may be put away has pages at all.
//!
//! A recording tells which addresses could be accessed and how much was resident, and not where. What was seen
//! accessed has pages. Of the rest, which was never seen accessed, the same share is taken everywhere: what is resident
//! beyond the memory seen accessed, over what is accessible beyond it. All three are of the whole target as it is at the
//! moment, whatever part of it is looked at.

use super::backing::Course;
use crate::analysis::num::float;
use crate::analysis::spans::SpanSet;
use std::ops::Range;

/// What of a target has pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Populated {
    /// Whether it is known what can be accessed.
    is_known: bool,
    /// Changes of the mappings that are in here.
    changes: usize,
    /// What can be accessed, where that is known.
    accessible: SpanSet,
    accessible_bytes: u64,
    /// What was seen accessed since it is there, and what regions cover beside that.
    used: SpanSet,
    /// Those of them that can be accessed.
    used_bytes: u64,
    /// Share of the memory never seen accessed that has pages.
    rest: f64,
}

impl Populated {
    /// Goes on to a moment, in which these regions were accessed, ascending. Returns what cannot be accessed any more:
    /// it has no pages, and they are not away either.
    pub(super) fn learn(
        &mut self,
        course: Option<&Course>,
        time_ns: u64,
        accessed: impl Iterator<Item = Range<u64>>,
    ) -> Vec<Range<u64>> {
        let mut freed = Vec::new();
        let Some(course) = course.filter(|course| course.has_mappings()) else { return freed };
        let mut more = !self.is_known;
        self.is_known = true;
        for change in course.changes(self.changes, time_ns) {
            self.changes += 1;
            for gone in &change.gone {
                self.accessible.remove(gone);
                freed.push(gone.clone());
            }
            for come in &change.come {
                self.accessible.insert(come.clone());
                // What was there before is not what is there now.
                self.used.remove(come);
            }
            more = true;
        }
        // The span that covered the last one: regions ascend, and most of them lie in a few spans.
        let mut known = 0..0;
        for range in accessed {
            if known.start <= range.start && range.end <= known.end {
                continue;
            }
            if self.used.covers(&range) {
                let behind = self.used.within(&(range.start..u64::MAX)).next();
                known = behind.unwrap_or(range);
            } else {
                self.used.insert(range);
                more = true;
            }
        }
        if more {
            self.accessible_bytes = self.accessible.bytes();
            self.used_bytes = self.used.intersection(&self.accessible).bytes();
        }
        self.rest = share(self.used_bytes, self.accessible_bytes, course.resident_at(time_ns));
        freed
    }

    /// The parts of a range that can be accessed, ascending; all of it where that is not known.
    pub(super) fn accessible(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let all = (!self.is_known).then(|| range.clone());
        all.into_iter().chain(self.accessible.within(range))
    }

    /// Hands over the parts of a range that can be accessed, with the share of them that has pages.
    pub(super) fn split(&self, range: &Range<u64>, give: &mut impl FnMut(Range<u64>, f64)) {
        if !self.is_known {
            return give(range.clone(), 1.0);
        }
        let mut at = range.start;
        for used in self.used.within(range) {
            if at < used.start {
                give(at..used.start, self.rest);
            }
            at = used.end;
            give(used, 1.0);
        }
        if at < range.end {
            give(at..range.end, self.rest);
        }
    }
}

/// The share of the memory never seen accessed that has pages; all of it where that cannot be told.
fn share(used: u64, accessible: u64, resident: Option<f64>) -> f64 {
    let rest = float(accessible.saturating_sub(used));
    match resident {
        Some(resident) if rest > 0.0 => ((resident - float(used)) / rest).clamp(0.0, 1.0),
        _ => 1.0,
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::super::backing::Backing;
    use super::*;
    use crate::analysis::mapping_history::MappingHistory;
    use damon_format::{Mapping, MappingsChanged, MemorySample, Permissions, Record, TargetId};

    const T: TargetId = TargetId(0);

    fn change(time_ns: u64, removed: &[u64], added: &[(u64, u64)]) -> Record {
        let mapping = |&(start, end): &(u64, u64)| Mapping {
            start,
            end,
            permissions: Permissions { read: true, ..Permissions::default() },
            offset: 0,
            inode: 0,
            name: String::new(),
        };
        let (removed, added) = (removed.to_vec(), added.iter().map(mapping).collect());
        Record::MappingsChanged(MappingsChanged { target: T, time_ns, removed, added })
    }

    fn memory(time_ns: u64, rss: u64) -> Record {
        Record::Memory(MemorySample {
            target: T,
            time_ns,
            rss,
            swap: 0,
            virtual_size: 0,
            minor_faults: 0,
            major_faults: 0,
        })
    }

    fn backing(records: &[Record]) -> Backing {
        Backing::of(records, &MappingHistory::of(records))
    }

    /// What was freed.
    fn learn(
        populated: &mut Populated,
        course: Option<&Course>,
        time_ns: u64,
        accessed: &[(u64, u64)],
    ) -> Vec<(u64, u64)> {
        let accessed = accessed.iter().map(|&(start, end)| start..end);
        let freed = populated.learn(course, time_ns, accessed);
        freed.into_iter().map(|range| (range.start, range.end)).collect()
    }

    fn parts(populated: &Populated, range: Range<u64>) -> Vec<(u64, u64, f64)> {
        let mut parts = Vec::new();
        for part in populated.accessible(&range) {
            populated.split(&part, &mut |part, share| parts.push((part.start, part.end, share)));
        }
        parts
    }

    #[test]
    fn only_accessible_memory_counts_and_each_byte_once() {
        let backing = backing(&[change(0, &[], &[(10, 100)]), memory(0, 38)]);
        let course = backing.target(T);
        let mut populated = Populated::default();
        let _freed = learn(&mut populated, course, 1, &[(0, 20), (40, 50)]);
        let _freed = learn(&mut populated, course, 2, &[(5, 15), (45, 50)]);
        assert_eq!((populated.used_bytes, populated.rest), (20, 18.0 / 70.0));
        populated.rest = 0.25;
        let right = [(10, 20, 1.0), (20, 40, 0.25), (40, 50, 1.0), (50, 60, 0.25)];
        assert_eq!(parts(&populated, 0..60), right);
    }

    #[test]
    fn what_was_freed_is_forgotten_and_not_known_when_it_is_there_again() {
        let records = [
            change(0, &[], &[(0, 40), (60, 100)]),
            memory(0, 60),
            change(5, &[60], &[]),
            memory(5, 30),
            change(8, &[], &[(60, 100)]),
        ];
        let backing = backing(&records);
        let course = backing.target(T);
        let mut populated = Populated::default();
        assert!(learn(&mut populated, course, 1, &[(0, 20), (60, 90)]).is_empty());
        // 60 resident, 50 used, 30 more accessible.
        assert_eq!((populated.used_bytes, populated.rest), (50, 1.0 / 3.0));
        // A region that is still monitored there, and accessed elsewhere, brings nothing back.
        assert_eq!(learn(&mut populated, course, 5, &[(0, 20)]), [(60, 100)]);
        assert_eq!((populated.used_bytes, populated.rest), (20, 0.5));
        let _freed = learn(&mut populated, course, 6, &[(0, 20), (55, 70)]);
        assert_eq!(populated.used_bytes, 20);
        assert_eq!(parts(&populated, 0..200), [(0, 20, 1.0), (20, 40, 0.5)]);
        let _freed = learn(&mut populated, course, 9, &[(0, 20)]);
        assert_eq!((populated.used_bytes, populated.accessible_bytes), (20, 80));
        assert_eq!(populated.rest, 1.0 / 6.0);
    }

    #[test]
    fn without_mappings_or_resident_sizes_all_may_have_pages() {
        let mut unknown = Populated::default();
        assert!(learn(&mut unknown, None, 1, &[(0, 20)]).is_empty());
        assert_eq!(parts(&unknown, 10..30), [(10, 30, 1.0)]);
        let backing = backing(&[change(0, &[], &[(10, 100)])]);
        let mut populated = Populated::default();
        let _freed = learn(&mut populated, backing.target(T), 1, &[(10, 20)]);
        assert_eq!(parts(&populated, 0..30), [(10, 20, 1.0), (20, 30, 1.0)]);
    }
}
