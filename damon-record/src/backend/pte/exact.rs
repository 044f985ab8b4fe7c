//! Everything: read all page tables, then clear all Accessed bits by `clear_refs`.
//!
//! Reading and clearing are two steps: an access to a page between them, to one that was not accessed
//! before in the same interval, is lost. They follow each other at once, so the gap is what the two
//! take (milliseconds per GiB in memory) of each sampling interval.

use super::clear::{Barrier, Clear};
use super::sampled::{Means, RoundError};
use super::tables::{Leaf, Tables};
use crate::backend::{Touched, WatchError};

/// The end of user space with five levels of page tables; with four nothing is mapped beyond 1 << 47.
const USER_END: u64 = 1 << 56;

/// The state of exact observation.
#[derive(Debug, Default)]
pub(super) struct Exact {
    armed: bool,
    runs: Vec<Run>,
}

/// Neighbouring pages with their Accessed bits set.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u64,
    end: u64,
}

impl Exact {
    /// Appends what was accessed since the last look, and begins anew; the first look only begins.
    pub(super) fn look<T: Tables, C: Clear>(
        &mut self,
        means: &mut Means<'_, T, C>,
        touched: &mut Vec<Touched>,
    ) -> Result<(), RoundError> {
        if !self.armed {
            means.costs.refs += means.refs.run(means.clear)?;
            // Of a process without memory there is nothing to clear, and the kernel does not say so.
            means.tables.walk(&[0], &mut [Leaf::default()])?;
            self.armed = true;
            return Ok(());
        }
        self.runs.clear();
        let (runs, zero) = (&mut self.runs, means.zero);
        let mut zeros = 0;
        means.tables.scan(0, USER_END, &mut |start, level, entries| {
            zeros += collect(start, level, entries, zero, runs);
        })?;
        means.costs.refs += means.refs.run(means.clear)?;
        means.costs.miss(zeros, Barrier::Zero);
        let own = touched.len();
        for run in &self.runs {
            report(means, *run, own, touched)?;
        }
        Ok(())
    }
}

/// Adds the accessed pages among `entries`; returns how many zero pages were passed over.
fn collect(start: u64, level: u8, entries: &[u64], zero: Option<u64>, runs: &mut Vec<Run>) -> u64 {
    let mut zeros = 0;
    let mut address = start;
    for &entry in entries {
        let leaf = Leaf { entry, level };
        let end = address.saturating_add(leaf.size());
        if leaf.is_accessed() {
            if level == 0 && zero.is_some() && leaf.frame() == zero {
                zeros += 1;
            } else {
                match runs.last_mut() {
                    Some(last) if last.end == address => last.end = end,
                    _ => runs.push(Run { start: address, end }),
                }
            }
        }
        address = end;
    }
    zeros
}

/// Reports the parts of `run` that lie in mappings whose pages `clear_refs` clears: elsewhere an
/// Accessed bit may be older than the last look.
fn report<T: Tables, C: Clear>(
    means: &mut Means<'_, T, C>,
    run: Run,
    own: usize,
    touched: &mut Vec<Touched>,
) -> Result<(), WatchError> {
    let mut position = run.start;
    while position < run.end {
        let end = means.areas.border_after(position).min(run.end);
        if is_cleared(means, position)? {
            push(position, end, own, touched);
        } else {
            means.costs.miss((end - position) >> 12, Barrier::Device);
        }
        position = end;
    }
    Ok(())
}

/// Whether `clear_refs` clears the pages of the mapping at `address`, in which a page is accessed. That
/// holds for a mapping as a whole, so it is found out once for each.
fn is_cleared<T: Tables, C: Clear>(
    means: &mut Means<'_, T, C>,
    address: u64,
) -> Result<bool, WatchError> {
    let Some(area) = means.areas.at(address) else {
        // Mapped since the mappings were read; nobody counts what is found there.
        return Ok(true);
    };
    if let Some(known) = area.cleared_by_clear_refs {
        return Ok(known);
    }
    let mut leaf = [Leaf::default()];
    means.tables.walk(&[address], &mut leaf)?;
    let [leaf] = leaf;
    if !leaf.is_present() {
        return Ok(true);
    }
    let cleared = means.clear.barrier(leaf).is_none_or(Barrier::yields_to_clear_refs);
    area.cleared_by_clear_refs = Some(cleared);
    Ok(cleared)
}

/// Appends a range, joined with its neighbour among the entries from index `own` on.
fn push(start: u64, end: u64, own: usize, touched: &mut Vec<Touched>) {
    if touched.len() > own
        && let Some(last) = touched.last_mut()
        && last.end == start
    {
        last.end = end;
        last.bytes += end - start;
        return;
    }
    touched.push(Touched { start, end, bytes: end - start });
}
