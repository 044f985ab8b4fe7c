//! Bits back into snapshots; nothing in them is trusted.

use super::code::{Boundary, Change, MAX_SNAPSHOTS, Short, cut, flags, order};
use super::{Columns, predict};
use crate::bits::BitReader;
use crate::layout::MAX_PROBES;
use crate::varint::{Bytes, Malformed, undelta, unzigzag};
use crate::{Region, Sampling, SnapshotView, TargetId, Visitor};
use std::hint::select_unpredictable;
use std::ops::Range;

/// What a decoder must remember of one target inside one block.
#[derive(Debug)]
pub(crate) struct TargetDecoder {
    previous: Columns,
    last_end_ns: u64,
    last_duration: u64,
    last_count: u64,
    scale: Option<Scale>,
}

/// Buffers of the section being decoded; shared by all targets, because each may grow to the limits.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    current: Columns,
    probes: Vec<Vec<u32>>,
    /// Start, end and number of regions of the section's snapshots.
    heads: Vec<(u64, u64, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Scale {
    sampling: Sampling,
    granule_shift: u32,
    probes: usize,
}

/// The beginning of a section: enough to find the target's state.
#[derive(Debug)]
pub(crate) struct SectionHead {
    pub(crate) target: TargetId,
    flags: u64,
}

impl SectionHead {
    pub(crate) fn read(bytes: &mut Bytes<'_>) -> Result<Self, Malformed> {
        let first = bytes.varint()?;
        let target = u32::try_from(first >> flags::COUNT).map_err(|_out_of_range| Malformed)?;
        Ok(Self { target: TargetId(target), flags: first & ((1 << flags::COUNT) - 1) })
    }

    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

impl TargetDecoder {
    pub(crate) fn new(base_ns: u64) -> Self {
        Self {
            previous: Columns::default(),
            last_end_ns: base_ns,
            last_duration: 0,
            last_count: 0,
            scale: None,
        }
    }

    /// Regions kept for the prediction of the next snapshot.
    pub(crate) fn kept(&self) -> usize {
        self.previous.len()
    }

    /// Decodes one section and hands each snapshot to `visitor`. `budget` is how many regions (times one
    /// plus the probe columns) a snapshot may have.
    pub(crate) fn section(
        &mut self,
        head: &SectionHead,
        bytes: &mut Bytes<'_>,
        budget: usize,
        scratch: &mut Scratch,
        visitor: &mut impl Visitor,
    ) -> Result<(), Malformed> {
        if head.has(flags::SCALE) {
            self.scale = Some(Scale::read(bytes)?);
        }
        let scale = self.scale.ok_or(Malformed)?;
        let has_ages = head.has(flags::AGES);
        let wants_ages = has_ages && visitor.wants_ages();
        let snapshots = bytes.varint()?;
        if snapshots > MAX_SNAPSHOTS as u64 {
            return Err(Malformed);
        }
        let mut bits = BitReader::new(bytes.as_slice());
        let mut heads = std::mem::take(&mut scratch.heads);
        heads.clear();
        for _ in 0..snapshots {
            heads.push(self.head(head, &mut bits)?);
        }
        for &(start_ns, end_ns, count) in &heads {
            if count.saturating_mul(scale.probes + 1) > budget {
                return Err(Malformed);
            }
            scratch.regions(&self.previous, count, &scale, wants_ages, &mut bits)?;
            visitor.snapshot(&SnapshotView {
                target: head.target,
                start_ns,
                end_ns,
                sampling: scale.sampling,
                starts: &scratch.current.starts,
                ends: &scratch.current.ends,
                nr_accesses: &scratch.current.nr_accesses,
                ages: has_ages.then_some(scratch.current.ages.as_slice()),
                probes: &scratch.probes,
            });
            std::mem::swap(&mut self.previous, &mut scratch.current);
        }
        scratch.heads = heads;
        // A target that was wide for a moment must not keep the room.
        self.previous.shrink();
        if bits.is_finished() { Ok(()) } else { Err(Malformed) }
    }

    /// Start, end and number of regions of the next snapshot.
    fn head(
        &mut self,
        head: &SectionHead,
        bits: &mut BitReader<'_>,
    ) -> Result<(u64, u64, usize), Malformed> {
        let unit = if head.has(flags::MICROSECONDS) { 1000 } else { 1 };
        let mut start = self.last_end_ns / unit;
        if !head.has(flags::CONTIGUOUS) {
            start = undelta(bits.number(order::TIME)?, start);
        }
        let duration = undelta(bits.number(order::TIME)?, self.last_duration / unit);
        let start_ns = start.checked_mul(unit).ok_or(Malformed)?;
        self.last_duration = duration.checked_mul(unit).ok_or(Malformed)?;
        self.last_end_ns = start_ns.checked_add(self.last_duration).ok_or(Malformed)?;
        self.last_count = undelta(bits.number(order::COUNT)?, self.last_count);
        let count = usize::try_from(self.last_count).map_err(|_out_of_range| Malformed)?;
        Ok((start_ns, self.last_end_ns, count))
    }
}

impl Scratch {
    fn regions(
        &mut self,
        previous: &Columns,
        count: usize,
        scale: &Scale,
        wants_ages: bool,
        bits: &mut BitReader<'_>,
    ) -> Result<(), Malformed> {
        if wants_ages {
            self.rows::<true>(previous, count, scale.granule_shift, bits)?;
        } else {
            self.rows::<false>(previous, count, scale.granule_shift, bits)?;
            self.current.ages.fill(0);
        }
        self.probes.resize(scale.probes, Vec::new());
        for column in &mut self.probes {
            column.clear();
            for _ in 0..count {
                let hits = bits.number(order::PROBE)?;
                column.push(u32::try_from(hits).map_err(|_out_of_range| Malformed)?);
            }
        }
        Ok(())
    }

    /// The regions without probes. Without `AGES` these are read, but neither foreseen nor stored.
    fn rows<const AGES: bool>(
        &mut self,
        previous: &Columns,
        count: usize,
        shift: u32,
        bits: &mut BitReader<'_>,
    ) -> Result<(), Malformed> {
        let current = &mut self.current;
        let threshold = predict::age_threshold(&previous.nr_accesses);
        // `first` is always the first previous region that ends after `position`.
        let (mut position, mut first, mut at) = (0_u64, 0_usize, 0_usize);
        current.resize(count);
        while at < count {
            let run = bits.zeros(count - at);
            if run > 0 {
                position =
                    current.older::<AGES>(at, previous, first, run, position).ok_or(Malformed)?;
                first += run;
                at += run;
                continue;
            }
            // Nearly always the bits at hand tell the change.
            let short = Short::of(bits.peek());
            if short.length() > 0 && bits.skip_peeked(short.length()) {
                let parent = first;
                let from = *previous.starts.get(first).ok_or(Malformed)?;
                let start = from.max(position);
                first += short.skip();
                let (from, to) = previous.bounds(first).ok_or(Malformed)?;
                // Either may be; both are computed, since guessing wrong takes longer.
                let is_kept = short.tenths() == 0;
                let cut = from + cut(to - from, short.tenths(), shift);
                let end = select_unpredictable(is_kept, to, cut);
                first += usize::from(is_kept);
                if end <= start {
                    return Err(Malformed);
                }
                let bounds = (start, end);
                let mut nr_accesses = predict::nr_accesses(previous, parent, bounds);
                if short.nr_accesses_follow() {
                    nr_accesses = differ(nr_accesses, bits.number(order::NR_ACCESSES)?)?;
                } else {
                    let sum = nr_accesses.checked_add_signed(short.difference());
                    nr_accesses = sum.ok_or(Malformed)?;
                }
                let stored =
                    if short.age_follows() { Some(bits.number(order::AGE)?) } else { None };
                let mut age = 0;
                if AGES {
                    age = predict::age(previous, parent, bounds, nr_accesses, threshold);
                    age = stored.map_or(Ok(age), |stored| differ(age, stored))?;
                }
                let region = Region { start, end, nr_accesses, age };
                current.set::<AGES>(at, region).ok_or(Malformed)?;
                at += 1;
                position = end;
                continue;
            }
            let change = Change::get(bits)?;
            let mut start = previous.starts.get(first).map_or(position, |&s| s.max(position));
            // The first previous region that may overlap.
            let mut parent = first;
            let end = match change.boundary {
                Boundary::Granules(granules) => {
                    let size = granules.checked_mul(1 << shift).ok_or(Malformed)?;
                    let end = start.checked_add(size).ok_or(Malformed)?;
                    first = previous.first_behind(first, end);
                    end
                }
                Boundary::Bytes { distance, size } => {
                    start = position.checked_add(distance).ok_or(Malformed)?;
                    parent = previous.first_behind(first, start);
                    let end = start.checked_add(size).ok_or(Malformed)?;
                    first = previous.first_behind(parent, end);
                    end
                }
                Boundary::Keep { skip } => {
                    let (index, _, to) = previous.parent(first, skip)?;
                    first = index + 1;
                    to
                }
                Boundary::Tenth { skip, tenths } => {
                    let (index, from, to) = previous.parent(first, skip)?;
                    first = index;
                    from + cut(to - from, tenths, shift)
                }
                Boundary::TenthOfTenth { skip, outer, inner } => {
                    let (index, from, to) = previous.parent(first, skip)?;
                    first = index;
                    from + cut(cut(to - from, outer, shift), inner, shift)
                }
            };
            if end <= start {
                return Err(Malformed);
            }
            let bounds = (start, end);
            let mut nr_accesses = predict::nr_accesses(previous, parent, bounds);
            if change.nr_accesses {
                nr_accesses = differ(nr_accesses, bits.number(order::NR_ACCESSES)?)?;
            }
            let stored = if change.age { Some(bits.number(order::AGE)?) } else { None };
            let mut age = 0;
            if AGES {
                age = predict::age(previous, parent, bounds, nr_accesses, threshold);
                age = stored.map_or(Ok(age), |stored| differ(age, stored))?;
            }
            current.set::<AGES>(at, Region { start, end, nr_accesses, age }).ok_or(Malformed)?;
            at += 1;
            position = end;
        }
        Ok(())
    }
}

impl Columns {
    /// Index, start and end of the region `skip` after `first`. Kept regions are never empty.
    #[inline]
    fn parent(&self, first: usize, skip: u64) -> Result<(usize, u64, u64), Malformed> {
        let index = usize::try_from(skip).ok().and_then(|skip| first.checked_add(skip));
        let index = index.ok_or(Malformed)?;
        let (start, end) = self.bounds(index).ok_or(Malformed)?;
        Ok((index, start, end))
    }

    /// The first region, from `first` on, that ends after `position`.
    #[inline]
    fn first_behind(&self, first: usize, position: u64) -> usize {
        let passed = self.ends.iter().skip(first).take_while(|&&end| end <= position);
        first + passed.count()
    }

    /// Puts `count` regions of the previous snapshot, from `first` on, at index `at`, one aggregation older; the first one
    /// starts at `position` if that lies inside it. The end of the last one.
    #[inline]
    fn older<const AGES: bool>(
        &mut self,
        at: usize,
        previous: &Self,
        first: usize,
        count: usize,
        position: u64,
    ) -> Option<u64> {
        let end = at.checked_add(count)?;
        if count > SHORT_RUN || self.steps::<AGES>(at, previous, first, count).is_none() {
            self.exactly::<AGES>(at..end, previous, first..first.checked_add(count)?)?;
        }
        let start = self.starts.get_mut(at)?;
        *start = position.max(*start);
        self.ends.get(end.checked_sub(1)?).copied()
    }

    /// Copies a few regions [`STEP`] at a time, which is no call and hardly a loop; what is behind them may be written to,
    /// for it will be set later. `None` where there is no room for that.
    #[inline]
    fn steps<const AGES: bool>(
        &mut self,
        at: usize,
        previous: &Self,
        first: usize,
        count: usize,
    ) -> Option<()> {
        fn step<T>(list: &[T], at: usize) -> Option<&[T; STEP]> {
            list.get(at..)?.first_chunk()
        }
        fn step_mut<T>(list: &mut [T], at: usize) -> Option<&mut [T; STEP]> {
            list.get_mut(at..)?.first_chunk_mut()
        }
        for done in (0..count).step_by(STEP) {
            let (to, from) = (at.wrapping_add(done), first.wrapping_add(done));
            *step_mut(&mut self.starts, to)? = *step(&previous.starts, from)?;
            *step_mut(&mut self.ends, to)? = *step(&previous.ends, from)?;
            *step_mut(&mut self.nr_accesses, to)? = *step(&previous.nr_accesses, from)?;
            if AGES {
                let older = step(&previous.ages, from)?.map(|age| age.saturating_add(1));
                *step_mut(&mut self.ages, to)? = older;
            }
        }
        Some(())
    }

    /// Copies regions, one aggregation older.
    fn exactly<const AGES: bool>(
        &mut self,
        to: Range<usize>,
        previous: &Self,
        from: Range<usize>,
    ) -> Option<()> {
        let starts = previous.starts.get(from.clone())?;
        self.starts.get_mut(to.clone())?.copy_from_slice(starts);
        self.ends.get_mut(to.clone())?.copy_from_slice(previous.ends.get(from.clone())?);
        let counts = previous.nr_accesses.get(from.clone())?;
        self.nr_accesses.get_mut(to.clone())?.copy_from_slice(counts);
        if AGES {
            let ages = self.ages.get_mut(to)?.iter_mut().zip(previous.ages.get(from)?);
            ages.for_each(|(age, before)| *age = before.saturating_add(1));
        }
        Some(())
    }

    /// Sets what was made room for.
    #[inline]
    fn set<const AGES: bool>(&mut self, at: usize, region: Region) -> Option<()> {
        *self.starts.get_mut(at)? = region.start;
        *self.ends.get_mut(at)? = region.end;
        *self.nr_accesses.get_mut(at)? = region.nr_accesses;
        if AGES {
            *self.ages.get_mut(at)? = region.age;
        }
        Some(())
    }
}

/// Runs of more regions are copied as a whole.
const SHORT_RUN: usize = 16;

/// Of shorter ones so many are copied at once.
const STEP: usize = 4;

/// A counter that differs from its prediction; a difference of zero has no code.
#[inline]
fn differ(base: u32, stored: u64) -> Result<u32, Malformed> {
    let difference = unzigzag(stored.checked_add(1).ok_or(Malformed)?);
    let sum = i64::from(base).checked_add(difference).ok_or(Malformed)?;
    u32::try_from(sum).map_err(|_out_of_range| Malformed)
}

impl Scale {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, Malformed> {
        let sample_us = bytes.varint()?;
        let aggr_us = bytes.varint()?;
        let max_nr_accesses = bytes.varint_u32()?;
        let granule_shift = bytes.varint_u32()?;
        let probes = usize::try_from(bytes.varint()?).map_err(|_out_of_range| Malformed)?;
        if max_nr_accesses == 0 || granule_shift > 40 || probes > MAX_PROBES {
            return Err(Malformed);
        }
        let sampling = Sampling { sample_us, aggr_us, max_nr_accesses };
        Ok(Self { sampling, granule_shift, probes })
    }
}
