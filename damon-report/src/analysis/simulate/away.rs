//! What has been put away and has not come back.

use super::Outlook;
use super::by_mapping::Book;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pieces beyond which neighbours are put together; the bytes stay the same.
const MOST_PIECES: usize = 1 << 14;

/// A share below which a piece counts as back.
const NOTHING: f64 = 1e-6;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    end: u64,
    /// Of its bytes, 0..1.
    share: Outlook,
    /// In whose account of the [`Book`] its bytes are.
    group: u32,
}

/// Bytes away of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Away {
    /// By their begin.
    pieces: BTreeMap<u64, Piece>,
}

#[expect(clippy::cast_precision_loss, reason = "a relative error of 2^-53")]
fn size(range: &Range<u64>) -> f64 {
    range.end.saturating_sub(range.start) as f64
}

impl Away {
    /// Bytes away.
    pub(super) fn bytes(&self) -> Outlook {
        let mut sum = Outlook::default();
        for (start, piece) in &self.pieces {
            let bytes = size(&(*start..piece.end));
            sum.add(piece.share.map(|share| share * bytes));
        }
        sum
    }

    /// Puts a range of a `group` away, of which a share has pages; returns the bytes that were not away before.
    pub(super) fn put(
        &mut self,
        range: Range<u64>,
        populated: f64,
        group: u32,
        book: &mut Book,
    ) -> Outlook {
        if range.is_empty() {
            return Outlook::default();
        }
        let all = Outlook::same(size(&range) * populated);
        let new = all.with(self.take(&range, book), |all, before| (all - before).max(0.0));
        let share = Outlook::same(populated);
        self.pieces.insert(range.start, Piece { end: range.end, share, group });
        book.put(group, all, new);
        new
    }

    /// Brings a range back; returns the bytes that were away.
    pub(super) fn take(&mut self, range: &Range<u64>, book: &mut Book) -> Outlook {
        self.carve(range).into_iter().fold(Outlook::default(), |mut sum, (part, piece)| {
            let bytes = size(&part);
            let bytes = piece.share.map(|share| share * bytes);
            book.lose(piece.group, bytes);
            sum.add(bytes);
            sum
        })
    }

    /// A range was accessed, and `back` of what was away came back, 0..1. Returns these bytes, and of how many
    /// pieces a `page` or more is expected to have come back.
    pub(super) fn access(
        &mut self,
        range: &Range<u64>,
        back: Outlook,
        page: f64,
        book: &mut Book,
    ) -> (Outlook, u64) {
        let (mut sum, mut events) = (Outlook::default(), 0);
        for (part, piece) in self.carve(range) {
            let (bytes, share) = (size(&part), piece.share);
            let gone = share.with(back, |share, back| share * back);
            let gone_bytes = gone.map(|gone| gone * bytes);
            events += u64::from(gone_bytes.expected >= page);
            sum.add(gone_bytes);
            book.refault(piece.group, gone_bytes);
            let left = share.with(gone, |share, gone| {
                let left = share - gone;
                if left < NOTHING { 0.0 } else { left }
            });
            if left != Outlook::default() {
                self.pieces.insert(part.start, Piece { end: part.end, share: left, ..piece });
            }
        }
        if self.pieces.len() > MOST_PIECES {
            self.coarsen();
        }
        (sum, events)
    }

    /// Takes out what lies in the range; what sticks out stays.
    fn carve(&mut self, range: &Range<u64>) -> Vec<(Range<u64>, Piece)> {
        if range.is_empty() || self.pieces.is_empty() {
            return Vec::new();
        }
        let last = self.pieces.range(..range.end).next_back();
        if last.is_none_or(|(_, piece)| piece.end <= range.start) {
            return Vec::new();
        }
        let before = self.pieces.range(..range.start).next_back().map(|(start, _)| *start);
        let first = before.unwrap_or(range.start);
        let touched: Vec<u64> =
            self.pieces.range(first..range.end).map(|(start, _)| *start).collect();
        let mut parts = Vec::with_capacity(touched.len());
        for start in touched {
            let Some(piece) = self.pieces.get(&start).copied() else { continue };
            let inside = start.max(range.start)..piece.end.min(range.end);
            if inside.is_empty() {
                continue;
            }
            self.pieces.remove(&start);
            if start < inside.start {
                self.pieces.insert(start, Piece { end: inside.start, ..piece });
            }
            if inside.end < piece.end {
                self.pieces.insert(inside.end, piece);
            }
            parts.push((inside, piece));
        }
        parts
    }

    /// Puts touching neighbours of a group together in pairs.
    fn coarsen(&mut self) {
        let mut coarse: BTreeMap<u64, Piece> = BTreeMap::new();
        let mut open: Option<(u64, Piece)> = None;
        for (start, piece) in std::mem::take(&mut self.pieces) {
            open = match open {
                Some((first, one)) if one.end == start && one.group == piece.group => {
                    let (a, b) = (size(&(first..one.end)), size(&(start..piece.end)));
                    let share = one.share.with(piece.share, |x, y| (x * a + y * b) / (a + b));
                    coarse.insert(first, Piece { share, ..piece });
                    None
                }
                Some((first, one)) => {
                    coarse.insert(first, one);
                    Some((start, piece))
                }
                None => Some((start, piece)),
            };
        }
        coarse.extend(open);
        self.pieces = coarse;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACK: Outlook = Outlook { optimistic: 0.1, expected: 0.25, pessimistic: 1.0 };

    #[test]
    fn what_is_accessed_comes_back_by_its_share() {
        let (mut away, mut book) = (Away::default(), Book::default());
        assert_eq!(away.put(100..200, 1.0, 0, &mut book), Outlook::same(100.0));
        assert_eq!(
            away.put(150..250, 1.0, 0, &mut book),
            Outlook::same(50.0),
            "half of it was away"
        );
        let (back, events) = away.access(&(80..120), BACK, 1.0, &mut book);
        assert_eq!(back, Outlook { optimistic: 2.0, expected: 5.0, pessimistic: 20.0 });
        assert_eq!(events, 1);
        let (again, events) = away.access(&(100..120), BACK, 4.0, &mut book);
        assert_eq!((again.expected, again.pessimistic), (3.75, 0.0));
        assert_eq!(events, 0, "less than a page");
        assert_eq!(away.bytes().pessimistic, 130.0);
        assert_eq!(away.take(&(0..u64::MAX), &mut book).expected, 130.0 + 20.0 * 0.75 * 0.75);
        assert_eq!(away.bytes(), Outlook::default());
    }

    #[test]
    fn coarse_pieces_hold_the_same_bytes() {
        let (mut away, mut book) = (Away::default(), Book::default());
        let _new = away.put(0..1000, 1.0, 0, &mut book);
        for start in (0..1000).step_by(10) {
            let _back = away.access(&(start..start + 5), BACK, 1.0, &mut book);
        }
        let before = away.bytes();
        let pieces = away.pieces.len();
        away.coarsen();
        assert!(away.pieces.len() <= pieces / 2 + 1);
        assert!((away.bytes().expected - before.expected).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn follows_each_byte(steps in prop::collection::vec((0_u64..90, 1_u64..30, 0_u8..3), 0..30)) {
            let (mut away, mut book) = (Away::default(), Book::default());
            let mut bytes = [0.0_f64; 128];
            for (start, length, what) in steps {
                let range = start..start + length;
                let of = &mut bytes[usize::try_from(start).unwrap()..][..usize::try_from(length).unwrap()];
                let before: f64 = of.iter().sum();
                let found = match what {
                    0 => away.put(range.clone(), 1.0, 0, &mut book).expected - (size(&range) - before),
                    1 => away.take(&range, &mut book).expected - before,
                    _ => away.access(&range, BACK, 1.0, &mut book).0.expected - before * 0.25,
                };
                prop_assert!(found.abs() < 1e-9);
                for byte in of {
                    *byte = [1.0, 0.0, *byte * 0.75][usize::from(what)];
                }
            }
            prop_assert!((away.bytes().expected - bytes.iter().sum::<f64>()).abs() < 1e-3);
        }
    }
}
