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

/// Which share of a region comes back that counts `k` accesses in `n` samples, by the readings of an [`Outlook`].
fn share(k: u32, n: u32, exact: bool) -> Outlook {
    let n = n.max(1);
    let rate = (f64::from(k) / f64::from(n)).min(1.0);
    if exact {
        let some = 1.0 - (1.0 - rate).powi(i32::try_from(n).unwrap_or(i32::MAX));
        return Outlook { optimistic: rate, expected: some, pessimistic: 1.0 };
    }
    let expected = if k == 0 { 0.0 } else { 1.0 };
    Outlook { optimistic: wilson(k, n).0.min(rate), expected, pessimistic: 1.0 }
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
        assert!(back.optimistic < 0.25 && back.expected == 1.0 && back.pessimistic == 1.0);
        assert_eq!(ComesBack::new(20, true).of(21).optimistic, 1.0, "a sample too many");
    }
}
