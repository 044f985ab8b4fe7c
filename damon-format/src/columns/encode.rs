//! Snapshots into bits.

use super::Columns;
use super::code::{Boundary, Change, MAX_SNAPSHOTS, cut, flags, order};
use super::predict;
use crate::bits::BitWriter;
use crate::layout::{MAX_PROBES, MAX_REGIONS};
use crate::varint::{delta, put, zigzag};
use crate::{Region, Sampling, Snapshot, WriteError};

/// Collects snapshots of one target until they are emitted as a section.
#[derive(Debug)]
pub(crate) struct TargetEncoder {
    granule_shift: u32,
    previous: Columns,
    current: Columns,
    last_end_ns: u64,
    last_duration: u64,
    last_count: u64,
    scale: Option<Scale>,
    scale_is_new: bool,
    times: Vec<(u64, u64)>,
    counts: Vec<u64>,
    heads: BitWriter,
    bits: BitWriter,
}

/// What all snapshots of a section share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    sampling: Sampling,
    has_ages: bool,
    probes: usize,
}

impl TargetEncoder {
    /// `base_ns` is the start of the block, `granule_shift` the smallest region size as a power of two.
    pub(crate) fn new(base_ns: u64, granule_shift: u32) -> Self {
        Self {
            granule_shift,
            previous: Columns::default(),
            current: Columns::default(),
            last_end_ns: base_ns,
            last_duration: 0,
            last_count: 0,
            scale: None,
            scale_is_new: false,
            times: Vec::new(),
            counts: Vec::new(),
            heads: BitWriter::default(),
            bits: BitWriter::default(),
        }
    }

    /// Regions a decoder must keep to predict the next snapshot.
    pub(crate) fn kept(&self) -> usize {
        self.previous.len()
    }

    /// Bytes that the pending section may take before compression.
    pub(crate) fn pending_len(&self) -> usize {
        64 + self.times.len() * 64 + self.bits.len()
    }

    /// True when `snapshot` cannot join the pending section.
    pub(crate) fn needs_new_section(&self, snapshot: &Snapshot) -> bool {
        let full = self.times.len() >= MAX_SNAPSHOTS;
        !self.times.is_empty() && (full || self.scale != Some(Scale::of(snapshot)))
    }

    /// Adds a snapshot that [`check`] has accepted.
    pub(crate) fn add(&mut self, snapshot: &Snapshot) {
        let scale = Scale::of(snapshot);
        if self.scale != Some(scale) {
            self.scale = Some(scale);
            self.scale_is_new = true;
        }
        self.times.push((snapshot.start_ns, snapshot.end_ns));
        self.counts.push(snapshot.regions.len() as u64);
        self.rows(&snapshot.regions, snapshot.has_ages);
        if !snapshot.has_ages {
            // As the decoder sees them, should the target's next snapshot have ages.
            self.current.ages.fill(0);
        }
        for &hits in snapshot.probes.iter().flatten() {
            self.bits.put_number(u64::from(hits), order::PROBE);
        }
        std::mem::swap(&mut self.previous, &mut self.current);
    }

    /// Appends the pending section's body to `out`; false when no snapshot is pending.
    pub(crate) fn emit(&mut self, target: u32, out: &mut Vec<u8>) -> bool {
        let Some(scale) = self.scale.filter(|_| !self.times.is_empty()) else {
            return false;
        };
        let whole = |ns: u64| ns.is_multiple_of(1000);
        let in_microseconds =
            whole(self.last_end_ns) && self.times.iter().all(|&(s, e)| whole(s) && whole(e));
        let unit = if in_microseconds { 1000 } else { 1 };
        let ends = std::iter::once(self.last_end_ns).chain(self.times.iter().map(|t| t.1));
        let contiguous = self.times.iter().zip(ends).all(|(&(start, _), end)| start == end);

        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        let flags = flag(scale.has_ages, flags::AGES)
            | flag(in_microseconds, flags::MICROSECONDS)
            | flag(self.scale_is_new, flags::SCALE)
            | flag(contiguous, flags::CONTIGUOUS);
        put(out, u64::from(target) << flags::COUNT | flags);
        if std::mem::take(&mut self.scale_is_new) {
            put(out, scale.sampling.sample_us);
            put(out, scale.sampling.aggr_us);
            put(out, u64::from(scale.sampling.max_nr_accesses));
            put(out, u64::from(self.granule_shift));
            put(out, scale.probes as u64);
        }
        put(out, self.times.len() as u64);
        for ((start, end), count) in self.times.drain(..).zip(self.counts.drain(..)) {
            if !contiguous {
                self.heads.put_number(delta(start / unit, self.last_end_ns / unit), order::TIME);
            }
            let duration = end.saturating_sub(start);
            self.heads.put_number(delta(duration / unit, self.last_duration / unit), order::TIME);
            self.heads.put_number(delta(count, self.last_count), order::COUNT);
            self.last_end_ns = end;
            self.last_duration = duration;
            self.last_count = count;
        }
        self.heads.append(&mut self.bits);
        self.heads.finish(out);
        true
    }

    /// Writes what is not as predicted and fills `current`.
    fn rows(&mut self, regions: &[Region], has_ages: bool) {
        self.current.clear();
        let threshold = predict::age_threshold(&self.previous.nr_accesses);
        let (mut position, mut first) = (0_u64, 0_usize);
        for region in regions {
            while self.previous.ends.get(first).is_some_and(|&end| end <= position) {
                first += 1;
            }
            let expected = self.previous.starts.get(first).map_or(position, |&s| s.max(position));
            let mut parent = first;
            while self.previous.ends.get(parent).is_some_and(|&end| end <= region.start) {
                parent += 1;
            }
            let follows = if region.start == expected { self.follow(*region, first) } else { None };
            let size = region.size();
            let boundary = follows.unwrap_or_else(|| {
                if region.start == expected && size.trailing_zeros() >= self.granule_shift {
                    Boundary::Granules(size >> self.granule_shift)
                } else {
                    Boundary::Bytes { distance: region.start - position, size }
                }
            });
            let bounds = (region.start, region.end);
            let nr = predict::nr_accesses(&self.previous, parent, bounds);
            let nr_difference = zigzag(i64::from(region.nr_accesses) - i64::from(nr));
            let mut age_difference = 0;
            if has_ages {
                let counter = region.nr_accesses;
                let age = predict::age(&self.previous, parent, bounds, counter, threshold);
                age_difference = zigzag(i64::from(region.age) - i64::from(age));
            }
            let (nr_accesses, age) = (nr_difference != 0, age_difference != 0);
            Change { boundary, nr_accesses, age }.put(&mut self.bits);
            if nr_accesses {
                self.bits.put_number(nr_difference - 1, order::NR_ACCESSES);
            }
            if age {
                self.bits.put_number(age_difference - 1, order::AGE);
            }
            self.current.push(*region);
            position = region.end;
        }
    }

    /// How a region that starts where expected follows from the previous snapshot, if it does.
    #[inline]
    fn follow(&self, region: Region, first: usize) -> Option<Boundary> {
        let mut last = first;
        while self.previous.ends.get(last).is_some_and(|&end| end < region.end) {
            last += 1;
        }
        let skip = (last - first) as u64;
        let (start, end) = self.previous.bounds(last)?;
        if end == region.end {
            return Some(Boundary::Keep { skip });
        }
        let offset = region.end.checked_sub(start).filter(|&offset| offset > 0)?;
        find_cut(skip, end - start, offset, self.granule_shift)
    }
}

impl Scale {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            sampling: snapshot.sampling,
            has_ages: snapshot.has_ages,
            probes: snapshot.probes.len(),
        }
    }
}

/// How DAMON's rule cuts a parent of `size` bytes at `offset`, if it can.
fn find_cut(skip: u64, size: u64, offset: u64, shift: u32) -> Option<Boundary> {
    if let Some(tenths) = tenths_for(size, offset, shift) {
        return Some(Boundary::Tenth { skip, tenths });
    }
    (1..=9).rev().find_map(|outer| {
        let inner = tenths_for(cut(size, outer, shift), offset, shift)?;
        Some(Boundary::TenthOfTenth { skip, outer, inner })
    })
}

fn tenths_for(size: u64, offset: u64, shift: u32) -> Option<u8> {
    if size <= offset {
        return None;
    }
    // cut() ≤ tenths·size/10 < cut() + granule, so the tenths are this quotient or a little more.
    let guess = u64::try_from(u128::from(offset) * 10 / u128::from(size)).ok()?;
    let from = u8::try_from(guess.max(1)).ok()?;
    (from..=9).take(3).find(|&tenths| cut(size, tenths, shift) == offset)
}

/// Refuses a snapshot that the format cannot hold.
pub(crate) fn check(snapshot: &Snapshot) -> Result<(), WriteError> {
    let fail = |why| Err(WriteError::Snapshot(why));
    if snapshot.end_ns < snapshot.start_ns {
        return fail("it ends before it starts");
    }
    if snapshot.sampling.max_nr_accesses == 0 {
        return fail("max_nr_accesses is 0");
    }
    if snapshot.probes.len() > MAX_PROBES {
        return fail("it has more probe columns than the format allows (256)");
    }
    let columns = snapshot.probes.len().saturating_add(1);
    if columns.saturating_mul(snapshot.regions.len()) > MAX_REGIONS {
        return fail("it has more regions than the format allows (2^18 over all columns)");
    }
    if snapshot.probes.iter().any(|column| column.len() != snapshot.regions.len()) {
        return fail("a probe column is not as long as the regions");
    }
    let mut position = 0;
    for region in &snapshot.regions {
        if region.start < position || region.end <= region.start {
            return fail("its regions are empty, overlap or are not ascending");
        }
        position = region.end;
    }
    Ok(())
}
