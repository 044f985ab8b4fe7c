//! Parts of a recording, read one after the other: is one missing?

use crate::Part;
use serde::Serialize;

/// Follows the parts of a recording from file to file.
///
/// ```
/// use damon_format::{Part, PartChain, PartGap};
///
/// let part = |number, first_snapshot| Part { time_ns: 0, recording: 7, number, first_snapshot, repeated: 0 };
/// let mut chain = PartChain::default();
/// // A flight recorder's oldest parts are gone: any part may be the first.
/// assert_eq!(chain.follow(&part(3, 200), 100), Ok(()));
/// assert_eq!(chain.follow(&part(4, 300), 100), Ok(()));
/// assert_eq!(chain.follow(&part(6, 480), 100), Err(PartGap::Missing { parts: 1, snapshots: 80 }));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PartChain {
    next: Option<Part>,
}

/// Why a part does not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum PartGap {
    /// It belongs to another recording.
    #[error("it is part of another recording ({recording:016x})")]
    AnotherRecording {
        /// Which.
        recording: u64,
    },
    /// Parts between the two are missing, or the end of the one before.
    #[error("missing before it: {parts} parts, {snapshots} snapshots")]
    Missing {
        /// How many parts.
        parts: u32,
        /// How many snapshots.
        snapshots: u64,
    },
    /// It comes before the one that was read before it, or is that one again.
    #[error("it is part {number}, read after part {before}")]
    OutOfOrder {
        /// Its number.
        number: u32,
        /// The number of the part before it.
        before: u32,
    },
}

impl PartChain {
    /// Takes the record of the next file, and how many snapshots that file holds.
    ///
    /// # Errors
    /// When it does not follow the file before; the chain goes on from it all the same.
    pub fn follow(&mut self, part: &Part, snapshots: u64) -> Result<(), PartGap> {
        let first_snapshot = part.first_snapshot.saturating_add(snapshots);
        let next = Part { number: part.number.saturating_add(1), first_snapshot, ..*part };
        let Some(expected) = self.next.replace(next) else {
            return Ok(());
        };
        if part.recording != expected.recording {
            return Err(PartGap::AnotherRecording { recording: part.recording });
        }
        let before = expected.number.saturating_sub(1);
        // What was cut out of a part keeps its number.
        if part.number == before && part.time_ns > expected.time_ns {
            return match part.first_snapshot.checked_sub(expected.first_snapshot) {
                Some(0) => Ok(()),
                Some(snapshots) => Err(PartGap::Missing { parts: 0, snapshots }),
                None => Err(PartGap::OutOfOrder { number: part.number, before }),
            };
        }
        let parts = part.number.checked_sub(expected.number);
        let snapshots = part.first_snapshot.checked_sub(expected.first_snapshot);
        match (parts, snapshots) {
            (Some(0), Some(0)) => Ok(()),
            (Some(parts), Some(snapshots)) => Err(PartGap::Missing { parts, snapshots }),
            _ => Err(PartGap::OutOfOrder { number: part.number, before }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(recording: u64, number: u32, first_snapshot: u64) -> Part {
        Part { time_ns: 9, recording, number, first_snapshot, repeated: 2 }
    }

    #[test]
    fn what_was_cut_out_of_one_part_goes_on_under_its_number() {
        let mut chain = PartChain::default();
        let slice =
            |number, first_snapshot, time_ns| Part { time_ns, ..part(1, number, first_snapshot) };
        for (next, expected) in [
            (slice(1, 0, 10), Ok(())),
            (slice(1, 5, 20), Ok(())),
            // A hole, and the same one again.
            (slice(1, 11, 30), Err(PartGap::Missing { parts: 0, snapshots: 1 })),
            (slice(1, 11, 30), Err(PartGap::OutOfOrder { number: 1, before: 1 })),
            (slice(2, 16, 40), Ok(())),
        ] {
            assert_eq!(chain.follow(&next, 5), expected, "{next:?}");
        }
    }

    #[test]
    fn what_does_not_follow_is_told_and_followed_on_from() {
        let mut chain = PartChain::default();
        for (next, expected) in [
            (part(1, 2, 10), Ok(())),
            (part(1, 3, 15), Ok(())),
            // The end of part 3 was lost, though no part is.
            (part(1, 4, 21), Err(PartGap::Missing { parts: 0, snapshots: 1 })),
            (part(1, 4, 21), Err(PartGap::OutOfOrder { number: 4, before: 4 })),
            (part(1, 9, 26), Err(PartGap::Missing { parts: 4, snapshots: 0 })),
            (part(2, 10, 31), Err(PartGap::AnotherRecording { recording: 2 })),
            (part(2, 11, 36), Ok(())),
        ] {
            assert_eq!(chain.follow(&next, 5), expected, "{next:?}");
        }
    }
}
