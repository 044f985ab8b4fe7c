//! Snapshots into columns.

use super::{Columns, cut, flags, op, predict};
use crate::varint::{delta, put, zigzag};
use crate::{Region, Sampling, Snapshot, WriteError, layout::MAX_REGIONS};

/// Collects snapshots of one target until they are emitted as a section.
#[derive(Debug)]
pub(crate) struct TargetEncoder {
    granule_shift: u32,
    previous: Columns,
    current: Columns,
    parents: Vec<u32>,
    last_end_ns: u64,
    last_duration: u64,
    scale: Option<Scale>,
    scale_is_new: bool,
    snapshots: u64,
    times: Vec<(u64, u64)>,
    counts: Vec<u8>,
    ops: Vec<u8>,
    extras: Vec<u8>,
    nr_accesses: Vec<u8>,
    ages: Vec<u8>,
    probes: Vec<u8>,
    scratch: Vec<u8>,
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
            parents: Vec::new(),
            last_end_ns: base_ns,
            last_duration: 0,
            scale: None,
            scale_is_new: false,
            snapshots: 0,
            times: Vec::new(),
            counts: Vec::new(),
            ops: Vec::new(),
            extras: Vec::new(),
            nr_accesses: Vec::new(),
            ages: Vec::new(),
            probes: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Regions a decoder must keep to predict the next snapshot.
    pub(crate) fn kept(&self) -> usize {
        self.previous.len()
    }

    /// Bytes that the pending section would take, before compression.
    pub(crate) fn pending_len(&self) -> usize {
        64 + self.times.len() * 8
            + self.counts.len()
            + self.ops.len()
            + self.extras.len()
            + self.nr_accesses.len()
            + self.ages.len()
            + self.probes.len()
    }

    /// True when `snapshot` cannot join the pending section.
    pub(crate) fn needs_new_section(&self, snapshot: &Snapshot) -> bool {
        self.snapshots > 0 && self.scale != Some(Scale::of(snapshot))
    }

    /// Adds a snapshot that [`check`] has accepted.
    pub(crate) fn add(&mut self, snapshot: &Snapshot) {
        let scale = Scale::of(snapshot);
        if self.scale != Some(scale) {
            self.scale = Some(scale);
            self.scale_is_new = true;
        }
        self.snapshots += 1;
        self.times.push((snapshot.start_ns, snapshot.end_ns));
        put(&mut self.counts, snapshot.regions.len() as u64);
        self.boundaries(&snapshot.regions);
        self.counters(&snapshot.regions, snapshot.has_ages);
        for column in &snapshot.probes {
            for &hits in column {
                put(&mut self.probes, u64::from(hits));
            }
        }
        std::mem::swap(&mut self.previous, &mut self.current);
    }

    /// Appends the pending section's body to `out`; nothing when no snapshot is pending.
    pub(crate) fn emit(&mut self, target: u32, out: &mut Vec<u8>) -> bool {
        let Some(scale) = self.scale.filter(|_| self.snapshots > 0) else {
            return false;
        };
        let in_microseconds = self.last_end_ns.is_multiple_of(1000)
            && self
                .times
                .iter()
                .all(|(s, e)| s.is_multiple_of(1000) && e.is_multiple_of(1000));
        let unit = if in_microseconds { 1000 } else { 1 };
        put(out, u64::from(target));
        out.push(
            if scale.has_ages { flags::AGES } else { 0 }
                | if in_microseconds {
                    flags::MICROSECONDS
                } else {
                    0
                }
                | if self.scale_is_new { flags::SCALE } else { 0 },
        );
        if self.scale_is_new {
            put(out, scale.sampling.sample_us);
            put(out, scale.sampling.aggr_us);
            put(out, u64::from(scale.sampling.max_nr_accesses));
            put(out, u64::from(self.granule_shift));
            put(out, scale.probes as u64);
            self.scale_is_new = false;
        }
        put(out, self.snapshots);
        self.scratch.clear();
        for &(start, end) in &self.times {
            put(
                &mut self.scratch,
                delta(start / unit, self.last_end_ns / unit),
            );
            let duration = end.saturating_sub(start);
            put(
                &mut self.scratch,
                delta(duration / unit, self.last_duration / unit),
            );
            self.last_end_ns = end;
            self.last_duration = duration;
        }
        let streams = [
            &mut self.scratch,
            &mut self.counts,
            &mut self.ops,
            &mut self.extras,
            &mut self.nr_accesses,
            &mut self.ages,
            &mut self.probes,
        ];
        for stream in &streams {
            put(out, stream.len() as u64);
        }
        for stream in streams {
            out.extend_from_slice(stream);
            stream.clear();
        }
        self.times.clear();
        self.snapshots = 0;
        true
    }

    /// One operation per region; fills the boundary columns of `current` and `parents`.
    fn boundaries(&mut self, regions: &[Region]) {
        self.current.clear();
        self.parents.clear();
        let (mut position, mut first) = (0_u64, 0_usize);
        for region in regions {
            while self
                .previous
                .ends
                .get(first)
                .is_some_and(|&end| end <= position)
            {
                first += 1;
            }
            let expected = self
                .previous
                .starts
                .get(first)
                .map_or(position, |&start| start.max(position));
            let mut parent = first;
            while self
                .previous
                .ends
                .get(parent)
                .is_some_and(|&end| end <= region.start)
            {
                parent += 1;
            }
            if region.start == expected {
                self.operation(*region, first, position);
            } else {
                self.bytes_operation(*region, position);
            }
            self.current.starts.push(region.start);
            self.current.ends.push(region.end);
            self.current.nr_accesses.push(region.nr_accesses);
            self.current.ages.push(region.age);
            self.parents.push(u32::try_from(parent).unwrap_or(u32::MAX));
            position = region.end;
        }
    }

    fn operation(&mut self, region: Region, first: usize, position: u64) {
        let mut last = first;
        while self
            .previous
            .ends
            .get(last)
            .is_some_and(|&end| end < region.end)
        {
            last += 1;
        }
        let skipped = last - first;
        if let Some((start, end)) = self.previous.bounds(last) {
            if end == region.end {
                return self.parent_operation(op::KEEP, skipped, None);
            }
            // A cut inside `last`; it lies behind its start because `last` is the first to end later.
            let offset = region.end.checked_sub(start).filter(|&offset| offset > 0);
            let found = offset.and_then(|o| find_cut(end - start, o, self.granule_shift));
            if let Some((code, extra)) = found {
                return self.parent_operation(code, skipped, extra);
            }
        }
        let size = region.size();
        if size >> self.granule_shift << self.granule_shift == size {
            self.ops.push(op::GRANULES);
            put(&mut self.extras, size >> self.granule_shift);
        } else {
            self.bytes_operation(region, position);
        }
    }

    fn parent_operation(&mut self, code: u8, skipped: usize, extra: Option<u8>) {
        match u8::try_from(skipped) {
            Ok(few) if few < op::MORE => self.ops.push(code | few << 4),
            _ => {
                self.ops.push(code | op::MORE << 4);
                put(&mut self.extras, (skipped - usize::from(op::MORE)) as u64);
            }
        }
        self.extras.extend(extra);
    }

    fn bytes_operation(&mut self, region: Region, position: u64) {
        self.ops.push(op::BYTES);
        put(&mut self.extras, region.start.saturating_sub(position));
        put(&mut self.extras, region.size());
    }

    fn counters(&mut self, regions: &[Region], has_ages: bool) {
        let threshold = predict::threshold(&self.current.nr_accesses);
        for (region, &parent) in regions.iter().zip(&self.parents) {
            let parent = parent as usize;
            let (start, end) = (region.start, region.end);
            let nr = predict::nr_accesses(&self.previous, parent, start, end);
            let change = i64::from(region.nr_accesses) - i64::from(nr);
            put(&mut self.nr_accesses, zigzag(change));
            if has_ages {
                let age = predict::age(
                    &self.previous,
                    parent,
                    (start, end),
                    region.nr_accesses,
                    threshold,
                );
                put(
                    &mut self.ages,
                    zigzag(i64::from(region.age) - i64::from(age)),
                );
            }
        }
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

/// The operation that cuts a parent of `size` bytes at `offset`, if DAMON's rule can.
fn find_cut(size: u64, offset: u64, shift: u32) -> Option<(u8, Option<u8>)> {
    if let Some(tenths) = tenths_for(size, offset, shift) {
        return Some((tenths, None));
    }
    (1..=9).rev().find_map(|outer| {
        let piece = cut(size, outer, shift);
        let inner = tenths_for(piece, offset, shift)?;
        Some((op::TENTH_OF_TENTH, Some(outer << 4 | inner)))
    })
}

fn tenths_for(size: u64, offset: u64, shift: u32) -> Option<u8> {
    if size <= offset {
        return None;
    }
    // offset ≤ tenths·size/10 < offset + granule, so the tenths are this quotient or next to it.
    let guess = u64::try_from(u128::from(offset) * 10 / u128::from(size)).ok()?;
    let from = u8::try_from(guess.max(1)).ok()?;
    (from..=op::LAST_TENTH)
        .take(3)
        .find(|&tenths| cut(size, tenths, shift) == offset)
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
    let columns = snapshot.probes.len().saturating_add(1);
    if columns.saturating_mul(snapshot.regions.len()) > MAX_REGIONS {
        return fail("it has more regions than the format allows (2^20 over all columns)");
    }
    if snapshot
        .probes
        .iter()
        .any(|column| column.len() != snapshot.regions.len())
    {
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
