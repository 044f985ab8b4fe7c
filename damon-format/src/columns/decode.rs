//! Columns back into snapshots; nothing in the bytes is trusted.

use super::{Columns, cut, flags, op, predict};
use crate::layout::MAX_REGIONS;
use crate::varint::{Bytes, Malformed, undelta, unzigzag};
use crate::{Sampling, SnapshotView, TargetId, Visitor};

/// What a decoder must remember of one target inside one block.
#[derive(Debug)]
pub(crate) struct TargetDecoder {
    previous: Columns,
    current: Columns,
    parents: Vec<u32>,
    probes: Vec<Vec<u32>>,
    last_end_ns: u64,
    last_duration: u64,
    scale: Option<Scale>,
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
    flags: u8,
}

impl SectionHead {
    pub(crate) fn read(bytes: &mut Bytes<'_>) -> Result<Self, Malformed> {
        let target = TargetId(bytes.varint_u32()?);
        let flags = bytes.u8()?;
        if flags & !flags::KNOWN != 0 {
            return Err(Malformed);
        }
        Ok(Self { target, flags })
    }
}

/// Counters of what a section held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) snapshots: u64,
    pub(crate) rows: u64,
}

impl TargetDecoder {
    pub(crate) fn new(base_ns: u64) -> Self {
        Self {
            previous: Columns::default(),
            current: Columns::default(),
            parents: Vec::new(),
            probes: Vec::new(),
            last_end_ns: base_ns,
            last_duration: 0,
            scale: None,
        }
    }

    /// Regions kept for the prediction of the next snapshot.
    pub(crate) fn kept(&self) -> usize {
        self.previous.len()
    }

    /// Decodes one section and hands each snapshot to `visitor`. `budget` is how many regions (times one plus the
    /// probe columns) a snapshot may have.
    pub(crate) fn section(
        &mut self,
        head: &SectionHead,
        bytes: &mut Bytes<'_>,
        budget: usize,
        visitor: &mut impl Visitor,
    ) -> Result<Counts, Malformed> {
        if head.flags & flags::SCALE != 0 {
            self.scale = Some(Scale::read(bytes)?);
        }
        let scale = self.scale.ok_or(Malformed)?;
        let has_ages = head.flags & flags::AGES != 0;
        let unit = if head.flags & flags::MICROSECONDS != 0 {
            1000
        } else {
            1
        };
        let snapshots = bytes.varint()?;
        let mut lengths = [0; 7];
        for length in &mut lengths {
            *length = bytes.varint()?;
        }
        let [times, counts, ops, extras, nr_accesses, ages, probes] = lengths;
        let mut times = bytes.take(times)?;
        let mut counts = bytes.take(counts)?;
        let mut streams = Streams {
            ops: bytes.take(ops)?,
            extras: bytes.take(extras)?,
            nr_accesses: bytes.take(nr_accesses)?,
            ages: bytes.take(ages)?,
            probes: bytes.take(probes)?,
        };
        let mut rows = 0;
        for _ in 0..snapshots {
            let (start_ns, end_ns) = self.times(&mut times, unit)?;
            let regions = usize::try_from(counts.varint()?).map_err(|_out_of_range| Malformed)?;
            if regions > streams.ops.len()
                || regions.saturating_mul(scale.probes + 1) > budget.min(MAX_REGIONS)
            {
                return Err(Malformed);
            }
            self.regions(regions, &scale, has_ages, &mut streams)?;
            rows += regions as u64;
            visitor.snapshot(&SnapshotView {
                target: head.target,
                start_ns,
                end_ns,
                sampling: scale.sampling,
                starts: &self.current.starts,
                ends: &self.current.ends,
                nr_accesses: &self.current.nr_accesses,
                ages: has_ages.then_some(self.current.ages.as_slice()),
                probes: &self.probes,
            });
            std::mem::swap(&mut self.previous, &mut self.current);
        }
        let left = times.len() + counts.len() + streams.left() + bytes.len();
        if left == 0 {
            Ok(Counts { snapshots, rows })
        } else {
            Err(Malformed)
        }
    }

    fn times(&mut self, times: &mut Bytes<'_>, unit: u64) -> Result<(u64, u64), Malformed> {
        let start = undelta(times.varint()?, self.last_end_ns / unit);
        let duration = undelta(times.varint()?, self.last_duration / unit);
        let start_ns = start.checked_mul(unit).ok_or(Malformed)?;
        let duration_ns = duration.checked_mul(unit).ok_or(Malformed)?;
        let end_ns = start_ns.checked_add(duration_ns).ok_or(Malformed)?;
        self.last_end_ns = end_ns;
        self.last_duration = duration_ns;
        Ok((start_ns, end_ns))
    }

    fn regions(
        &mut self,
        count: usize,
        scale: &Scale,
        has_ages: bool,
        streams: &mut Streams<'_>,
    ) -> Result<(), Malformed> {
        self.boundaries(count, scale.granule_shift, streams)?;
        let bounds = self
            .current
            .starts
            .iter()
            .zip(&self.current.ends)
            .zip(&self.parents);
        for ((&start, &end), &parent) in bounds.clone() {
            let base = predict::nr_accesses(&self.previous, parent as usize, start, end);
            let nr = add(base, streams.nr_accesses.varint()?)?;
            self.current.nr_accesses.push(nr);
        }
        let threshold = predict::threshold(&self.current.nr_accesses);
        if has_ages {
            for (((&start, &end), &parent), &nr) in bounds.zip(&self.current.nr_accesses) {
                let base =
                    predict::age(&self.previous, parent as usize, (start, end), nr, threshold);
                self.current.ages.push(add(base, streams.ages.varint()?)?);
            }
        } else {
            self.current.ages.resize(count, 0);
        }
        self.probes.resize(scale.probes, Vec::new());
        for column in &mut self.probes {
            column.clear();
            for _ in 0..count {
                column.push(streams.probes.varint_u32()?);
            }
        }
        Ok(())
    }

    fn boundaries(
        &mut self,
        count: usize,
        shift: u32,
        streams: &mut Streams<'_>,
    ) -> Result<(), Malformed> {
        let previous = &self.previous;
        let current = &mut self.current;
        current.clear();
        self.parents.clear();
        current.starts.reserve(count);
        current.ends.reserve(count);
        self.parents.reserve(count);
        let (mut position, mut first) = (0_u64, 0_usize);
        for _ in 0..count {
            while previous.ends.get(first).is_some_and(|&end| end <= position) {
                first += 1;
            }
            let code = streams.ops.u8()?;
            let mut start = previous
                .starts
                .get(first)
                .map_or(position, |&start| start.max(position));
            let mut parent = first;
            let end = match code & 0x0f {
                op::GRANULES if code >> 4 == 0 => {
                    let granules = streams.extras.varint()?;
                    let size = granules.checked_mul(1 << shift).ok_or(Malformed)?;
                    start.checked_add(size).ok_or(Malformed)?
                }
                op::BYTES if code >> 4 == 0 => {
                    let distance = streams.extras.varint()?;
                    start = position.checked_add(distance).ok_or(Malformed)?;
                    while previous.ends.get(parent).is_some_and(|&end| end <= start) {
                        parent += 1;
                    }
                    start
                        .checked_add(streams.extras.varint()?)
                        .ok_or(Malformed)?
                }
                how @ op::KEEP..=op::TENTH_OF_TENTH => {
                    let (from, to) = parent_bounds(previous, first, code >> 4, streams)?;
                    match how {
                        op::KEEP => to,
                        op::TENTH_OF_TENTH => {
                            let tenths = streams.extras.u8()?;
                            let piece = cut(to - from, tenths >> 4, shift);
                            from + cut(piece, tenths & 0x0f, shift).min(to - from)
                        }
                        tenths => from + cut(to - from, tenths, shift),
                    }
                }
                _ => return Err(Malformed),
            };
            if end <= start {
                return Err(Malformed);
            }
            current.starts.push(start);
            current.ends.push(end);
            self.parents.push(u32::try_from(parent).unwrap_or(u32::MAX));
            position = end;
        }
        Ok(())
    }
}

/// Start and end of the parent, with `start < end` as every kept region has.
#[inline]
fn parent_bounds(
    previous: &Columns,
    first: usize,
    skipped: u8,
    streams: &mut Streams<'_>,
) -> Result<(u64, u64), Malformed> {
    let mut index = first.saturating_add(usize::from(skipped));
    if skipped == op::MORE {
        let more = usize::try_from(streams.extras.varint()?).map_err(|_out_of_range| Malformed)?;
        index = index.saturating_add(more);
    }
    previous.bounds(index).ok_or(Malformed)
}

fn add(base: u32, stored: u64) -> Result<u32, Malformed> {
    // Both fit 33 bits, so the sum cannot overflow.
    let sum = i64::from(base)
        .checked_add(unzigzag(stored))
        .ok_or(Malformed)?;
    u32::try_from(sum).map_err(|_out_of_range| Malformed)
}

impl Scale {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, Malformed> {
        let sample_us = bytes.varint()?;
        let aggr_us = bytes.varint()?;
        let max_nr_accesses = bytes.varint_u32()?;
        let granule_shift = bytes.varint_u32()?;
        let probes = usize::try_from(bytes.varint()?).map_err(|_out_of_range| Malformed)?;
        if max_nr_accesses == 0 || granule_shift > 40 || probes >= MAX_REGIONS {
            return Err(Malformed);
        }
        let sampling = Sampling {
            sample_us,
            aggr_us,
            max_nr_accesses,
        };
        Ok(Self {
            sampling,
            granule_shift,
            probes,
        })
    }
}

/// The columns of a section from the boundaries on.
struct Streams<'a> {
    ops: Bytes<'a>,
    extras: Bytes<'a>,
    nr_accesses: Bytes<'a>,
    ages: Bytes<'a>,
    probes: Bytes<'a>,
}

impl Streams<'_> {
    fn left(&self) -> usize {
        self.ops.len()
            + self.extras.len()
            + self.nr_accesses.len()
            + self.ages.len()
            + self.probes.len()
    }
}
