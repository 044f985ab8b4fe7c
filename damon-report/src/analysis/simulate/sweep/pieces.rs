//! What many variants of one scheme have put away and not yet got back.
//!
//! The same account as [`super::super::away`] keeps of one variant, of each byte under the three readings, laid out so that one
//! access goes over the variants that have the piece away and over no other.

use crate::analysis::num::float;
use std::ops::Range;

/// Pieces of all targets beyond which neighbours are put together; the bytes stay the same.
const MOST_PIECES: usize = 1 << 12;

/// So many a target may have in any case.
const LEAST_PIECES: usize = 1 << 6;

/// Unused ones that are kept for later.
const SPARE: usize = 1 << 6;

/// Changes after which equal neighbours are looked for.
const TIDY_AFTER: u32 = 512;

/// A share below which a piece counts as back.
const NOTHING: f64 = 1e-6;

/// A number of each variant under each reading: optimistic, expected, pessimistic.
pub(super) type Three = [Vec<f64>; 3];

pub(super) fn three(variants: usize) -> Three {
    std::array::from_fn(|_| vec![0.0; variants])
}

/// Bytes, by variant.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    /// Away now.
    pub(super) away: Three,
    /// Put away until now.
    pub(super) put: Three,
    /// Come back since it was last looked at.
    pub(super) back: Three,
}

impl Bytes {
    pub(super) fn new(variants: usize) -> Self {
        Self { away: three(variants), put: three(variants), back: three(variants) }
    }
}

#[derive(Clone, Debug)]
struct Piece {
    start: u64,
    end: u64,
    /// Of its bytes, 0..1.
    shares: Three,
    /// Variants outside of which all shares are 0.
    live: Range<usize>,
}

impl Piece {
    fn bytes(&self) -> f64 {
        float(self.end.saturating_sub(self.start))
    }

    /// Leaves out variants that have nothing of it at either end.
    fn shrink(&mut self) {
        let nothing = |at: usize| self.shares.iter().all(|s| s.get(at).is_none_or(|s| *s <= 0.0));
        let mut live = self.live.clone();
        while !live.is_empty() && nothing(live.start) {
            live.start += 1;
        }
        while !live.is_empty() && nothing(live.end - 1) {
            live.end -= 1;
        }
        self.live = live;
    }

    fn is_like(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&Vec<f64>, &Vec<f64>)| a.get(self.live.clone()) == b.get(self.live.clone());
        self.live == other.live && self.shares.iter().zip(&other.shares).all(same)
    }
}

/// The pieces of one target.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    variants: usize,
    /// Ascending and disjoint.
    list: Vec<Piece>,
    spare: Vec<Three>,
    /// Pieces beyond which neighbours are put together.
    most: usize,
    /// The same for the next time, if that is more: what has no neighbours stays.
    next: usize,
    changes: u32,
    /// What variants put away of a range.
    news: Vec<[f64; 3]>,
}

impl Pieces {
    pub(super) fn new(variants: usize) -> Self {
        let (list, spare, news) = (Vec::new(), Vec::new(), Vec::new());
        Self { variants, list, spare, most: MOST_PIECES, next: 0, changes: 0, news }
    }

    /// So many targets share the memory that pieces may take.
    pub(super) fn share(&mut self, targets: usize) {
        self.most = (MOST_PIECES / targets.max(1)).max(LEAST_PIECES);
    }

    /// True where nothing is away.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first piece that ends after an address.
    fn first(&self, address: u64) -> usize {
        self.list.partition_point(|piece| piece.end <= address)
    }

    /// Cuts a piece at an address inside of it.
    fn cut(&mut self, at: usize, address: u64) {
        let mut shares = self.spare.pop().unwrap_or_else(|| three(self.variants));
        let Some(piece) = self.list.get_mut(at) else { return };
        for (to, from) in shares.iter_mut().zip(&piece.shares) {
            to.clone_from(from);
        }
        let right = Piece { start: address, end: piece.end, shares, live: piece.live.clone() };
        piece.end = address;
        self.list.insert(at + 1, right);
        self.changes += 1;
    }

    /// Cuts at both ends of a range; returns the positions of the pieces inside.
    fn carve(&mut self, range: &Range<u64>) -> Range<usize> {
        let mut from = self.first(range.start);
        if self.list.get(from).is_some_and(|p| p.start < range.start) {
            self.cut(from, range.start);
            from += 1;
        }
        let behind = self.list.get(from..).unwrap_or_default();
        let inside = behind.partition_point(|piece| piece.start < range.end);
        let to = from + inside;
        if inside > 0 && self.list.get(to - 1).is_some_and(|p| p.end > range.end) {
            self.cut(to - 1, range.end);
        }
        from..to
    }

    /// Removes those of some pieces that nobody has away.
    fn sweep(&mut self, some: Range<usize>) {
        let mut at = some.end;
        while at > some.start {
            at -= 1;
            if self.list.get(at).is_some_and(|piece| piece.live.is_empty()) {
                self.spare.push(self.list.remove(at).shares);
                self.changes += 1;
            }
        }
    }

    /// A range was accessed, and `back` of what was away came back, 0..1 under each reading.
    pub(super) fn access(&mut self, range: &Range<u64>, back: [f64; 3], bytes: &mut Bytes) {
        let first = self.first(range.start);
        if self.list.get(first).is_none_or(|piece| piece.start >= range.end) {
            return;
        }
        let some = self.carve(range);
        for piece in self.list.get_mut(some.clone()).unwrap_or_default() {
            let (size, live) = (piece.bytes(), piece.live.clone());
            let readings = piece.shares.iter_mut().zip(back);
            for (((shares, back), away), came) in readings.zip(&mut bytes.away).zip(&mut bytes.back)
            {
                if let (Some(shares), Some(away), Some(came)) = (
                    shares.get_mut(live.clone()),
                    away.get_mut(live.clone()),
                    came.get_mut(live.clone()),
                ) {
                    for ((share, away), came) in shares.iter_mut().zip(away).zip(came) {
                        let gone = *share * back;
                        let rest = *share - gone;
                        let left = if rest < NOTHING { 0.0 } else { rest };
                        *came += gone * size;
                        *away -= (*share - left) * size;
                        *share = left;
                    }
                }
            }
            piece.shrink();
        }
        self.sweep(some);
        self.tidy();
    }

    /// Brings back all of a range, for whatever reason.
    pub(super) fn take(&mut self, range: &Range<u64>, bytes: &mut Bytes) {
        let first = self.first(range.start);
        if self.list.get(first).is_none_or(|piece| piece.start >= range.end) {
            return;
        }
        let some = self.carve(range);
        for piece in self.list.get_mut(some.clone()).unwrap_or_default() {
            let (size, live) = (piece.bytes(), piece.live.clone());
            for (shares, away) in piece.shares.iter_mut().zip(&mut bytes.away) {
                if let (Some(shares), Some(away)) =
                    (shares.get_mut(live.clone()), away.get_mut(live.clone()))
                {
                    for (share, away) in shares.iter_mut().zip(away) {
                        *away -= *share * size;
                        *share = 0.0;
                    }
                }
            }
            piece.live = 0..0;
        }
        self.sweep(some);
    }

    /// Some variants, in ascending order, put a range away, of which a share has pages.
    pub(super) fn put(
        &mut self,
        range: &Range<u64>,
        populated: f64,
        who: &[usize],
        bytes: &mut Bytes,
    ) {
        let (Some(lowest), Some(highest)) = (who.first(), who.last()) else { return };
        let is_so = |share: &f64| share.total_cmp(&populated).is_eq();
        self.news.clear();
        self.news.resize(who.len(), [0.0; 3]);
        let mut at = range.start;
        let mut index = self.first(at);
        let first = index;
        while at < range.end {
            match self.list.get(index) {
                Some(piece) if piece.start <= at => {
                    let full =
                        |v: &usize| piece.shares.iter().all(|s| s.get(*v).is_some_and(is_so));
                    if who.iter().all(full) {
                        at = piece.end;
                        index += 1;
                        continue;
                    }
                    if piece.start < at {
                        self.cut(index, at);
                        index += 1;
                    }
                    if self.list.get(index).is_some_and(|piece| piece.end > range.end) {
                        self.cut(index, range.end);
                    }
                }
                next => {
                    let end = next.map_or(range.end, |piece| piece.start.min(range.end));
                    if populated <= 0.0 {
                        at = end;
                        continue;
                    }
                    let mut shares = self.spare.pop().unwrap_or_default();
                    for of in &mut shares {
                        of.clear();
                        of.resize(self.variants, 0.0);
                    }
                    self.list.insert(index, Piece { start: at, end, shares, live: 0..0 });
                    self.changes += 1;
                }
            }
            let Some(piece) = self.list.get_mut(index) else { return };
            let size = piece.bytes();
            for (reading, (shares, away)) in
                piece.shares.iter_mut().zip(&mut bytes.away).enumerate()
            {
                for (variant, news) in who.iter().zip(&mut self.news) {
                    if let (Some(share), Some(away), Some(new)) =
                        (shares.get_mut(*variant), away.get_mut(*variant), news.get_mut(reading))
                    {
                        let more = (populated - *share) * size;
                        *away += more;
                        *new += more;
                        *share = populated;
                    }
                }
            }
            piece.live = if piece.live.is_empty() {
                *lowest..*highest + 1
            } else {
                piece.live.start.min(*lowest)..piece.live.end.max(*highest + 1)
            };
            at = piece.end;
            index += 1;
        }
        for (reading, put) in bytes.put.iter_mut().enumerate() {
            for (variant, news) in who.iter().zip(&self.news) {
                if let (Some(put), Some(new)) = (put.get_mut(*variant), news.get(reading)) {
                    // Where less has pages than was thought before, nothing is put away.
                    *put += new.max(0.0);
                }
            }
        }
        if populated <= 0.0 {
            let some = first..index.min(self.list.len());
            self.list.get_mut(some.clone()).unwrap_or_default().iter_mut().for_each(Piece::shrink);
            self.sweep(some);
        }
        self.tidy();
    }

    /// Puts equal neighbours together now and then, and others where there are too many.
    fn tidy(&mut self) {
        let most = self.most.max(self.next);
        if self.changes < TIDY_AFTER && self.list.len() <= most {
            return;
        }
        self.changes = 0;
        let spare = &mut self.spare;
        self.list.dedup_by(|right, left| {
            let same = left.end == right.start && left.is_like(right);
            if same {
                left.end = right.end;
                spare.push(std::mem::take(&mut right.shares));
            }
            same
        });
        if self.list.len() > most {
            self.coarsen();
            self.next = self.list.len().saturating_mul(2);
        }
        self.spare.truncate(SPARE.min(self.most / 8));
    }

    /// Puts touching neighbours together in pairs.
    fn coarsen(&mut self) {
        let mut coarse: Vec<Piece> = Vec::with_capacity(self.list.len());
        let mut open = false;
        for piece in std::mem::take(&mut self.list) {
            match coarse.last_mut() {
                Some(last) if open && last.end == piece.start => {
                    let (a, b) = (last.bytes(), piece.bytes());
                    for (mine, theirs) in last.shares.iter_mut().zip(&piece.shares) {
                        for (x, y) in mine.iter_mut().zip(theirs) {
                            *x = (*x * a + y * b) / (a + b);
                        }
                    }
                    let live =
                        last.live.start.min(piece.live.start)..last.live.end.max(piece.live.end);
                    (last.end, last.live) = (piece.end, live);
                    open = false;
                }
                _ => {
                    coarse.push(piece);
                    open = true;
                }
            }
        }
        self.list = coarse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACK: [f64; 3] = [0.1, 0.25, 1.0];
    const VARIANTS: usize = 5;
    /// Shares that have pages.
    const LEVELS: [f64; 4] = [1.0, 1.0, 0.25, 0.0];

    proptest! {
        #[test]
        fn follows_each_byte_of_each_variant(
            steps in prop::collection::vec(
                (0_u64..90, 1_u64..30, 0_u8..6, 0_usize..VARIANTS, 1_usize..VARIANTS), 0..60),
            tidy in any::<bool>(),
        ) {
            let (mut pieces, mut bytes) = (Pieces::new(VARIANTS), Bytes::new(VARIANTS));
            let mut truth = [[[0.0_f64; 128]; VARIANTS]; 3];
            let (mut put, mut back) = ([[0.0; VARIANTS]; 3], [[0.0; VARIANTS]; 3]);
            for (start, length, what, lowest, count) in steps {
                let range = start..start + length;
                let of = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
                let who: Vec<usize> = (lowest..(lowest + count).min(VARIANTS)).step_by(2).collect();
                match what {
                    0 => pieces.take(&range, &mut bytes),
                    1 => pieces.access(&range, BACK, &mut bytes),
                    _ => pieces.put(&range, LEVELS[usize::from(what) - 2], &who, &mut bytes),
                }
                for reading in 0..3 {
                    for variant in 0..VARIANTS {
                        let mut new = 0.0;
                        for share in &mut truth[reading][variant][of.clone()] {
                            match what {
                                0 => *share = 0.0,
                                1 => {
                                    back[reading][variant] += *share * BACK[reading];
                                    *share -= *share * BACK[reading];
                                }
                                _ if who.contains(&variant) => {
                                    let level = LEVELS[usize::from(what) - 2];
                                    new += level - *share;
                                    *share = level;
                                }
                                _ => {}
                            }
                        }
                        put[reading][variant] += f64::max(new, 0.0);
                    }
                }
                if tidy {
                    pieces.changes = TIDY_AFTER;
                    pieces.tidy();
                }
                prop_assert!(pieces.list.windows(2).all(|p| p[0].end <= p[1].start));
                prop_assert!(pieces.list.iter().all(|p| p.start < p.end && !p.live.is_empty()));
            }
            for reading in 0..3 {
                for variant in 0..VARIANTS {
                    let sum: f64 = truth[reading][variant].iter().sum();
                    prop_assert!((bytes.away[reading][variant] - sum).abs() < 1e-3);
                    prop_assert!((bytes.put[reading][variant] - put[reading][variant]).abs() < 1e-3);
                    prop_assert!((bytes.back[reading][variant] - back[reading][variant]).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn many_pieces_are_put_together_and_hold_the_same_bytes() {
        let (mut pieces, mut bytes) = (Pieces::new(2), Bytes::new(2));
        pieces.put(&(0..1000), 1.0, &[0, 1], &mut bytes);
        for start in (0..1000).step_by(10) {
            pieces.access(&(start..start + 5), BACK, &mut bytes);
        }
        let count = pieces.list.len();
        pieces.coarsen();
        assert!(pieces.list.len() <= count / 2 + 1);
        let before = bytes.away.clone();
        pieces.take(&(0..u64::MAX), &mut bytes);
        assert!(pieces.is_empty() && before[1][1] > 800.0);
        assert!(bytes.away.iter().flatten().all(|away| away.abs() < 1e-6));
    }
}
