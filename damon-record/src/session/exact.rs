//! Exact looks, counted by the region engine: each region asks about one address of its own, and the
//! look, which knows about all of them, answers.

use crate::backend::Touched;
use crate::monitor::{AddressRange, Aggregated, Due, Engine, EngineError};
use damon_format::{Attrs, TargetId};
use std::convert::Infallible;

/// The monitor of an exact session.
#[derive(Debug)]
pub(super) struct Census {
    engine: Engine,
    drawn: bool,
    round: u64,
}

impl Census {
    pub(super) fn new(attrs: Attrs, granule: u64, seed: u64) -> Result<Self, EngineError> {
        Ok(Self {
            engine: Engine::new(attrs, granule, seed)?,
            drawn: false,
            round: 0,
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    pub(super) fn set_ranges(
        &mut self,
        id: TargetId,
        ranges: &[AddressRange],
        fixed: bool,
    ) -> Result<(), EngineError> {
        if fixed {
            self.engine.set_fixed_ranges(id, ranges)
        } else {
            self.engine.set_ranges(id, ranges)
        }
    }

    /// Counts what one look found.
    pub(super) fn record(&mut self, id: TargetId, touched: &[Touched]) {
        if !std::mem::replace(&mut self.drawn, true) {
            self.engine.begin_round();
            self.round = self.round.wrapping_add(1);
        }
        let round = self.round;
        let Ok(()) = self.engine.record(id, |points, accessed| {
            for (point, accessed) in points.iter().zip(accessed) {
                *accessed = answer(touched, *point, round);
            }
            Ok::<(), Infallible>(())
        });
    }

    pub(super) fn end_round(&mut self) -> Due {
        self.drawn = false;
        self.engine.end_round()
    }

    pub(super) fn aggregate(&mut self) -> Aggregated<'_> {
        self.drawn = false;
        self.engine.aggregate()
    }
}

/// Whether `point` was accessed. Where only a part of a range was and nobody knows which, it is
/// answered yes for that part of all points.
fn answer(touched: &[Touched], point: u64, round: u64) -> bool {
    let after = touched.partition_point(|t| t.end <= point);
    let Some(found) = touched.get(after).filter(|t| t.start <= point) else {
        return false;
    };
    let size = found.end - found.start;
    found.bytes >= size || mix(point ^ round.rotate_left(40)) % size < found.bytes
}

/// Spreads neighbouring numbers over all 64 bits (the finaliser of `SplitMix64`).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOUCHED: [Touched; 2] = [
        Touched {
            start: 0x1000,
            end: 0x2000,
            bytes: 0x1000,
        },
        Touched {
            start: 0x10_0000,
            end: 0x20_0000,
            bytes: 0x4_0000,
        },
    ];

    #[test]
    fn whole_ranges_answer_exactly() {
        for (point, expected) in [
            (0xfff, false),
            (0x1000, true),
            (0x1fff, true),
            (0x2000, false),
        ] {
            assert_eq!(answer(&TOUCHED, point, 1), expected, "{point:#x}");
        }
    }

    #[test]
    fn partly_touched_ranges_answer_by_their_part() {
        let points = (0x10_0000..0x20_0000).step_by(0x1000);
        let yes = (0..40_u64)
            .flat_map(|round| points.clone().map(move |point| (point, round)))
            .filter(|(point, round)| answer(&TOUCHED, *point, *round))
            .count();
        let all = 40 * 256;
        assert!(
            (all * 22 / 100..all * 28 / 100).contains(&yes),
            "{yes} of a quarter of {all}"
        );
    }
}
