//! How much of what is away comes back where memory is accessed.

use super::Outlook;
use crate::analysis::sampling_error::wilson;

/// Counts up to which it is worked out once.
const MOST_COUNTS: u32 = 1 << 10;

/// The three readings of each access count, on one scale.
#[derive(Clone, Debug)]
pub(super) struct ComesBack {
    known: Vec<Outlook>,
    most: u32,
    exact: bool,
}

impl ComesBack {
    /// `most` samples an aggregation; rates carry no sampling error if `exact`.
    pub(super) fn new(most: u32, exact: bool) -> Self {
        let known = (0..=most.min(MOST_COUNTS)).map(|count| share(count, most, exact)).collect();
        Self { known, most, exact }
    }

    /// The share that comes back, 0..1, where `nr_accesses` samples were accesses.
    pub(super) fn of(&self, nr_accesses: u32) -> Outlook {
        let known = usize::try_from(nr_accesses).ok().and_then(|at| self.known.get(at));
        known.copied().unwrap_or_else(|| share(nr_accesses, self.most, self.exact))
    }
}

fn share(nr_accesses: u32, most: u32, exact: bool) -> Outlook {
    let most = most.max(1);
    let rate = (f64::from(nr_accesses) / f64::from(most)).min(1.0);
    let low = if exact { rate } else { wilson(nr_accesses, most).0.min(rate) };
    Outlook { optimistic: low, expected: rate, pessimistic: 1.0 }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the same function")]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_is_what_is_computed() {
        for exact in [false, true] {
            for most in [0, 1, 20, 5000] {
                let back = ComesBack::new(most, exact);
                for count in [0, 1, 7, 20, 21, 1024, 1025, 6000] {
                    assert_eq!(back.of(count), share(count, most, exact));
                }
            }
        }
        let back = ComesBack::new(20, false).of(5);
        assert!(back.optimistic < 0.25 && back.expected == 0.25 && back.pessimistic == 1.0);
        assert_eq!(ComesBack::new(20, true).of(21).optimistic, 1.0, "a sample too many");
    }
}
