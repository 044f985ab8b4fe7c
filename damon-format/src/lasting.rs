//! Which records matter to moments later than their own, so that a reader of a part of the time need not read all
//! records before it. The rules are part of the format: a block's entry in the index tells a number that rests on them.

use crate::{Record, TargetId};
use std::collections::BTreeSet;

/// Values of one kind that follow one another; each holds until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Memory of a target.
    Memory(TargetId),
    /// Memory of a target, what is shared in proportion.
    ProportionalMemory(TargetId),
    /// Memory pressure.
    Pressure,
    /// Memory of the machine.
    SystemMemory,
    /// Statistics of a scheme, by its index.
    SchemeStats(u32),
    /// Effective quota of a scheme, by its index.
    EffectiveQuota(u32),
    /// CPU time of a monitoring thread, by its number.
    KdamondCpu(u32),
}

/// For how long a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lasting {
    /// At its own time.
    Moment,
    /// Until the next record of the series, whenever that comes.
    UntilNext(Series),
    /// From its time on: what came later changes or ends it, but cannot be understood without it.
    FromThenOn,
}

impl Record {
    /// For how long the record matters.
    pub fn lasting(&self) -> Lasting {
        match self {
            Self::TargetStarted(_)
            | Self::TargetExecuted(_)
            | Self::TargetExited(_)
            | Self::IntervalsChanged(_)
            | Self::MappingsChanged(_)
            | Self::Note(_)
            | Self::SchemeInstalled(_)
            | Self::Part(_)
            | Self::ProbeColumns(_) => Lasting::FromThenOn,
            Self::Memory(sample) => Lasting::UntilNext(Series::Memory(sample.target)),
            Self::ProportionalMemory(sample) => {
                Lasting::UntilNext(Series::ProportionalMemory(sample.target))
            }
            Self::Pressure(_) => Lasting::UntilNext(Series::Pressure),
            Self::SystemMemory(_) => Lasting::UntilNext(Series::SystemMemory),
            Self::SchemeStats(stats) => Lasting::UntilNext(Series::SchemeStats(stats.scheme)),
            Self::EffectiveQuota(quota) => Lasting::UntilNext(Series::EffectiveQuota(quota.scheme)),
            Self::KdamondCpu(sample) => Lasting::UntilNext(Series::KdamondCpu(sample.thread)),
            Self::Lost(_) | Self::Mark(_) | Self::Finished(_) | Self::SchemeApplied(_) => {
                Lasting::Moment
            }
        }
    }
}

/// Series that a block can have; of one with more nothing is told.
const MAX_SERIES: usize = 1 << 14;

/// What the records of a block leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Records that matter from then on.
    lasting: u32,
    /// Series with a record in the block; `None` where they are too many.
    series: Option<BTreeSet<Series>>,
}

impl Default for Left {
    fn default() -> Self {
        Self { lasting: 0, series: Some(BTreeSet::new()) }
    }
}

impl Left {
    pub(crate) fn record(&mut self, record: &Record) {
        match record.lasting() {
            Lasting::Moment => {}
            Lasting::FromThenOn => self.lasting = self.lasting.saturating_add(1),
            Lasting::UntilNext(series) => self.join([series]),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.lasting = self.lasting.saturating_add(other.lasting);
        match &other.series {
            Some(series) => self.join(series.iter().copied()),
            None => self.series = None,
        }
    }

    fn join(&mut self, more: impl IntoIterator<Item = Series>) {
        if let Some(series) = &mut self.series {
            series.extend(more);
            if series.len() > MAX_SERIES {
                self.series = None;
            }
        }
    }
}

/// Counts the lasting records of each block of a trace, in file order. What a block's series leave behind is known when
/// the next block is: a sample that the next block follows up matters to nobody who reads that block.
#[derive(Debug, Default)]
pub(crate) struct LastingCount {
    before: Option<Left>,
}

impl LastingCount {
    /// The next block. Returns the count of the one before it, if there is one and it can be told.
    pub(crate) fn block(&mut self, left: Left) -> Option<u32> {
        let count = self.count(left.series.as_ref());
        self.before = Some(left);
        count
    }

    /// No block follows. Returns the count of the last one.
    pub(crate) fn finish(&mut self) -> Option<u32> {
        let count = self.count(None);
        self.before = None;
        count
    }

    fn count(&self, next: Option<&BTreeSet<Series>>) -> Option<u32> {
        let before = self.before.as_ref()?;
        let series = before.series.as_ref()?;
        let open = series.iter().filter(|one| !next.is_some_and(|next| next.contains(one)));
        Some(before.lasting.saturating_add(u32::try_from(open.count()).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemorySample, Note, PressureSample, SystemMemory};

    fn memory(target: u32) -> Record {
        Record::Memory(MemorySample {
            target: TargetId(target),
            time_ns: 1,
            rss: 0,
            swap: 0,
            virtual_size: 0,
            minor_faults: 0,
            major_faults: 0,
        })
    }

    fn note() -> Record {
        Record::Note(Note { time_ns: 1, text: String::new() })
    }

    fn counts(blocks: &[&[Record]]) -> Vec<Option<u32>> {
        let mut count = LastingCount::default();
        let mut found = Vec::new();
        for records in blocks {
            let mut left = Left::default();
            // In two frames.
            for half in records.chunks(2) {
                let mut frame = Left::default();
                for record in half {
                    frame.record(record);
                }
                left.add(&frame);
            }
            found.push(count.block(left));
        }
        found.push(count.finish());
        // The first call had no block before it.
        assert_eq!(found.remove(0), None);
        found
    }

    #[test]
    fn a_sample_lasts_unless_the_next_block_has_one() {
        let pressure = Record::Pressure(PressureSample { time_ns: 1, some_us: 0, full_us: 0 });
        let system = Record::SystemMemory(SystemMemory {
            time_ns: 1,
            total: 0,
            free: 0,
            available: 0,
            swap_total: 0,
            swap_free: 0,
        });
        let found = counts(&[
            &[memory(1), note(), memory(2), memory(2), pressure.clone()],
            &[memory(2), memory(1), system],
            &[],
            &[note(), note()],
            &[pressure, memory(2)],
        ]);
        assert_eq!(found, [2, 3, 0, 2, 2].map(Some));
    }

    #[test]
    fn of_too_many_series_nothing_is_told() {
        let many: Vec<Record> = (0..=u32::try_from(MAX_SERIES).unwrap()).map(memory).collect();
        let most = many.get(1..).unwrap();
        assert_eq!(
            counts(&[most, &[note()], &many, most]),
            [
                Some(u32::try_from(MAX_SERIES).unwrap()),
                Some(1),
                None,
                Some(u32::try_from(MAX_SERIES).unwrap()),
            ]
        );
        // What a block follows up is not known either.
        assert_eq!(counts(&[&[memory(1)], &many]), [Some(1), None]);
    }
}
