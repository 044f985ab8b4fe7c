//! What has been put away and has not come back.

use super::Outlook;
use super::by_mapping::Book;
use std::ops::Range;

/// Pieces beyond which neighbours are put together; the bytes stay the same.
const MOST_PIECES: usize = 1 << 14;

/// A share below which a piece counts as back.
const NOTHING: f64 = 1e-6;

/// Pieces that are moved back one by one; if more have to be, all are.
const FEW: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: u64,
    end: u64,
    /// Of its bytes, 0..1.
    share: Outlook,
    /// In whose account of the [`Book`] its bytes are.
    group: u32,
}

/// Bytes away of one target.
///
/// Whoever asks goes over the addresses upwards again and again. So there is a place between the pieces, where they are taken out and
/// put in at no cost, and which moves along.
#[derive(Clone, Debug, Default)]
pub(super) struct Away {
    /// Those before the place, ascending and disjoint.
    before: Vec<Piece>,
    /// Those after it, from `next` on; what precedes is room.
    behind: Vec<Piece>,
    next: usize,
    /// Pieces beyond which neighbours are put together next time, if more than [`MOST_PIECES`]: what has no neighbours stays.
    most: usize,
}

#[expect(clippy::cast_precision_loss, reason = "a relative error of 2^-53")]
fn size(range: &Range<u64>) -> f64 {
    range.end.saturating_sub(range.start) as f64
}

impl Piece {
    fn bytes(&self) -> Outlook {
        let bytes = size(&(self.start..self.end));
        self.share.map(|share| share * bytes)
    }
}

impl Away {
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.before.iter().chain(self.behind.get(self.next..).unwrap_or_default())
    }

    fn len(&self) -> usize {
        self.before.len() + self.behind.len().saturating_sub(self.next)
    }

    /// Bytes away.
    pub(super) fn bytes(&self) -> Outlook {
        let mut sum = Outlook::default();
        self.pieces().for_each(|piece| sum.add(piece.bytes()));
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
        self.seek(range.start);
        self.before.push(Piece { start: range.start, end: range.end, share, group });
        book.put(group, all, new);
        self.limit();
        new
    }

    /// Brings a range back; returns the bytes that were away.
    pub(super) fn take(&mut self, range: &Range<u64>, book: &mut Book) -> Outlook {
        let mut sum = Outlook::default();
        if range.is_empty() {
            return sum;
        }
        self.seek(range.start);
        while let Some(piece) = self.cut_out(range) {
            let bytes = piece.bytes();
            book.lose(piece.group, bytes);
            sum.add(bytes);
        }
        sum
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
        if range.is_empty() {
            return (sum, events);
        }
        self.seek(range.start);
        while let Some(piece) = self.cut_out(range) {
            let (bytes, share) = (size(&(piece.start..piece.end)), piece.share);
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
                self.before.push(Piece { share: left, ..piece });
            }
        }
        self.limit();
        (sum, events)
    }

    /// Moves the place in front of all pieces that end after an address.
    fn seek(&mut self, address: u64) {
        let mut moved = 0;
        while let Some(last) = self.before.last().copied().filter(|last| last.end > address) {
            let room = self.next.checked_sub(1).filter(|_| moved < FEW);
            let Some(place) = room.and_then(|at| self.behind.get_mut(at)) else {
                self.rewind();
                break;
            };
            *place = last;
            self.next -= 1;
            self.before.pop();
            moved += 1;
        }
        let behind = self.behind.get(self.next..).unwrap_or_default();
        let passed = behind.iter().take_while(|piece| piece.end <= address).count();
        self.before.extend_from_slice(behind.get(..passed).unwrap_or_default());
        self.next += passed;
    }

    /// Moves the place to the start.
    fn rewind(&mut self) {
        self.before.extend_from_slice(self.behind.get(self.next..).unwrap_or_default());
        self.behind.clear();
        std::mem::swap(&mut self.before, &mut self.behind);
        self.next = 0;
    }

    /// Takes the next piece out as far as it lies in the range, at whose start, or further, the place is; what sticks out stays.
    fn cut_out(&mut self, range: &Range<u64>) -> Option<Piece> {
        let next = self.behind.get_mut(self.next).filter(|next| next.start < range.end)?;
        let mut piece = *next;
        if piece.end > range.end {
            next.start = range.end;
            piece.end = range.end;
        } else {
            self.next += 1;
        }
        if piece.start < range.start {
            self.before.push(Piece { end: range.start, ..piece });
            piece.start = range.start;
        }
        Some(piece)
    }

    fn limit(&mut self) {
        if self.len() > self.most.max(MOST_PIECES) {
            self.coarsen();
            self.most = self.len().saturating_mul(2);
        }
    }

    /// Puts touching neighbours of a group together in pairs.
    fn coarsen(&mut self) {
        self.rewind();
        let mut is_pair = false;
        self.behind.dedup_by(|piece, one| {
            if is_pair || one.end != piece.start || one.group != piece.group {
                is_pair = false;
                return false;
            }
            let (a, b) = (size(&(one.start..one.end)), size(&(piece.start..piece.end)));
            one.share = one.share.with(piece.share, |x, y| (x * a + y * b) / (a + b));
            one.end = piece.end;
            is_pair = true;
            true
        });
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
        let pieces = away.len();
        away.coarsen();
        assert!(away.len() <= pieces / 2 + 1);
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
