//! Filters: `damos_core_filter_out` and `damos_set_filters_default_reject` (`mm/damon/core.c`), and the
//! order in which pages are asked (`damos_pa_filter_out`, `mm/damon/paddr.c`).

use super::FilterDefault;
use crate::Region;
use crate::damos::kernel::{Filter, FilterType};

/// What the core's filters say about a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kept away from the action.
    Rejected,
    /// Nobody decided, and that means it passes. Filters of pages are still to be asked.
    Passed,
    /// A filter let it pass. Filters of pages are not asked any more.
    Allowed,
}

/// The filters of a scheme in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters {
    core: Vec<Filter>,
    pages: Vec<Filter>,
    default: FilterDefault,
    granule: u64,
}

impl Filters {
    /// Sorts filters by who decides them; `granule` is the smallest region in bytes.
    pub fn new(filters: &[Filter], default: FilterDefault, granule: u64) -> Self {
        let (core, pages) = filters.iter().cloned().partition(|filter| filter.kind.is_core());
        Self { core, pages, default, granule: granule.max(1) }
    }

    /// Filters that need to know about single pages: the caller has to ask them where this matters.
    pub fn pages(&self) -> &[Filter] {
        &self.pages
    }

    /// Whether the core asks nothing about a region.
    pub(super) fn is_without_core(&self) -> bool {
        self.core.is_empty()
    }

    /// What happens to `region` of target number `target`.
    ///
    /// Where an address range ends inside the region, it is cut there: `region` keeps the left part, about which the
    /// verdict is, and the right part is added to `remainders` (so that the last one added comes first in
    /// the address space).
    pub fn core(&self, target: u32, region: &mut Region, remainders: &mut Vec<Region>) -> Verdict {
        for filter in &self.core {
            let of_type = match filter.kind {
                FilterType::Target { index } => index == target,
                FilterType::Addr { start, end } => self.is_inside(start, end, region, remainders),
                // Not of the core: partitioned away.
                _ => continue,
            };
            if of_type == filter.matching {
                return if self.allows(filter) { Verdict::Allowed } else { Verdict::Rejected };
            }
        }
        // While filters of pages are still to come, nothing is decided by silence.
        if self.pages.is_empty() && self.rejects_rest(&self.core) {
            Verdict::Rejected
        } else {
            Verdict::Passed
        }
    }

    /// Whether a page passes the filters of pages; `is_of_type` looks at it.
    pub fn page(&self, mut is_of_type: impl FnMut(&FilterType) -> bool) -> bool {
        for filter in &self.pages {
            if is_of_type(&filter.kind) == filter.matching {
                return self.allows(filter);
            }
        }
        !self.rejects_rest(&self.pages)
    }

    fn allows(&self, filter: &Filter) -> bool {
        filter.allow && self.default != FilterDefault::RejectOnly
    }

    fn rejects_rest(&self, filters: &[Filter]) -> bool {
        self.default == FilterDefault::OppositeOfLast
            && filters.last().is_some_and(|filter| filter.allow)
    }

    /// Whether `region` lies inside the range, which is rounded down to granules.
    fn is_inside(
        &self,
        start: u64,
        end: u64,
        region: &mut Region,
        remainders: &mut Vec<Region>,
    ) -> bool {
        let (start, end) = (start - start % self.granule, end - end % self.granule);
        if start <= region.start && region.end <= end {
            return true;
        }
        if region.end <= start || end <= region.start {
            return false;
        }
        let begins_before = region.start < start;
        cut(region, if begins_before { start } else { end }, remainders);
        !begins_before
    }
}

/// Leaves `region` the part below `address`, which must lie strictly inside.
pub(super) fn cut(region: &mut Region, address: u64, remainders: &mut Vec<Region>) {
    remainders.push(Region { start: address, ..*region });
    region.end = address;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damos::samples;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;

    fn filter(kind: FilterType, matching: bool, allow: bool) -> Filter {
        Filter { kind, matching, allow }
    }

    fn pages(start: u64, end: u64) -> Region {
        Region { start: start * PAGE, end: end * PAGE, nr_accesses: 3, age: 4 }
    }

    fn addresses(start: u64, end: u64) -> FilterType {
        FilterType::Addr { start: start * PAGE, end: end * PAGE }
    }

    fn ask(filters: &[Filter], region: Region) -> (Verdict, Region, Vec<Region>) {
        let filters = Filters::new(filters, FilterDefault::OppositeOfLast, PAGE);
        let (mut region, mut remainders) = (region, Vec::new());
        let verdict = filters.core(1, &mut region, &mut remainders);
        (verdict, region, remainders)
    }

    #[test]
    fn regions_are_cut_at_the_ends_of_an_address_range() {
        let reject = [filter(addresses(2, 6), true, false)];
        for (region, verdict, left, right) in [
            (pages(3, 5), Verdict::Rejected, pages(3, 5), None),
            (pages(2, 6), Verdict::Rejected, pages(2, 6), None),
            (pages(1, 2), Verdict::Passed, pages(1, 2), None),
            (pages(6, 7), Verdict::Passed, pages(6, 7), None),
            (pages(1, 4), Verdict::Passed, pages(1, 2), Some(pages(2, 4))),
            (pages(2, 8), Verdict::Rejected, pages(2, 6), Some(pages(6, 8))),
            (pages(0, 9), Verdict::Passed, pages(0, 2), Some(pages(2, 9))),
        ] {
            assert_eq!(ask(&reject, region), (verdict, left, right.into_iter().collect()));
        }
    }

    #[test]
    fn ends_are_rounded_down_to_granules() {
        let odd = FilterType::Addr { start: 2 * PAGE + 1, end: 7 * PAGE - 1 };
        let (verdict, left, right) = ask(&[filter(odd, true, false)], pages(2, 8));
        assert_eq!((verdict, left, right), (Verdict::Rejected, pages(2, 6), vec![pages(6, 8)]));
    }

    #[test]
    fn several_ranges_cut_several_times() {
        let filters = [filter(addresses(6, 9), true, false), filter(addresses(2, 4), true, false)];
        let (verdict, left, right) = ask(&filters, pages(0, 9));
        assert_eq!((verdict, left), (Verdict::Passed, pages(0, 2)));
        assert_eq!(right, [pages(6, 9), pages(2, 6)], "the last one comes next");
    }

    #[test]
    fn the_first_that_decides_decides() {
        let (one, other) = (FilterType::Target { index: 1 }, FilterType::Target { index: 0 });
        let verdict = |filters: &[Filter]| ask(filters, pages(0, 1)).0;
        assert_eq!(verdict(&[filter(one.clone(), true, false)]), Verdict::Rejected);
        assert_eq!(verdict(&[filter(one.clone(), false, false)]), Verdict::Passed);
        assert_eq!(verdict(&[filter(other.clone(), false, false)]), Verdict::Rejected);
        let both = [filter(one.clone(), true, true), filter(one, true, false)];
        assert_eq!(verdict(&both), Verdict::Allowed);
        let turned = [both[1].clone(), both[0].clone()];
        assert_eq!(verdict(&turned), Verdict::Rejected);
        assert_eq!(verdict(&[filter(other, true, false), both[0].clone()]), Verdict::Allowed);
    }

    /// Nobody decides here, so that only the default speaks.
    #[test]
    fn the_default_is_the_opposite_of_the_last_filter() {
        let silent = |allow| filter(FilterType::Target { index: 9 }, true, allow);
        let anon = |allow| filter(FilterType::Anon, true, allow);
        for (filters, core, page) in [
            (vec![], Verdict::Passed, true),
            (vec![silent(false)], Verdict::Passed, true),
            (vec![silent(true)], Verdict::Rejected, true),
            (vec![silent(true), silent(false)], Verdict::Passed, true),
            (vec![silent(false), silent(true)], Verdict::Rejected, true),
            (vec![silent(true), anon(true)], Verdict::Passed, false),
            (vec![silent(true), anon(false)], Verdict::Passed, true),
            (vec![anon(true), silent(true)], Verdict::Passed, false),
        ] {
            assert_eq!(ask(&filters, pages(0, 1)).0, core, "{filters:?}");
            let chain = Filters::new(&filters, FilterDefault::OppositeOfLast, PAGE);
            assert_eq!(chain.page(|_| false), page, "{filters:?}");
        }
    }

    #[test]
    fn older_kernels_reject_or_pass() {
        let one = FilterType::Target { index: 1 };
        let verdict = |allow, index, default| {
            let filters = [filter(FilterType::Target { index }, true, allow)];
            Filters::new(&filters, default, PAGE).core(1, &mut pages(0, 1), &mut Vec::new())
        };
        assert_eq!(verdict(true, 1, FilterDefault::RejectOnly), Verdict::Rejected);
        assert_eq!(verdict(true, 1, FilterDefault::Allow), Verdict::Allowed);
        assert_eq!(verdict(true, 2, FilterDefault::Allow), Verdict::Passed);
        assert_eq!(verdict(true, 2, FilterDefault::RejectOnly), Verdict::Passed);
        let pages = [filter(one, true, false), filter(FilterType::Young, true, true)];
        let chain = Filters::new(&pages, FilterDefault::Allow, PAGE);
        assert_eq!(chain.pages().len(), 1);
        assert!(chain.page(|_| false) && chain.page(|kind| *kind == FilterType::Young));
    }

    proptest! {
        #[test]
        fn cuts_keep_the_coverage(
            filters in prop::collection::vec(samples::filter(), 0..6),
            start in 0..1_u64 << 40, size in 1..1_u64 << 40,
        ) {
            let whole = Region { start: start * PAGE, end: (start + size) * PAGE, nr_accesses: 1, age: 2 };
            let (_, left, mut remainders) = ask(&filters, whole);
            remainders.push(left);
            remainders.reverse();
            prop_assert!(remainders.iter().all(|r| r.start < r.end && r.age == 2));
            prop_assert!(remainders.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert_eq!(remainders.first().map(|r| r.start), Some(whole.start));
            prop_assert_eq!(remainders.last().map(|r| r.end), Some(whole.end));
        }
    }
}
