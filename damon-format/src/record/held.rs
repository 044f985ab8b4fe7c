//! How much memory records take.

use crate::{Mapping, ProbeColumn, Record, Region};
use std::mem::size_of;

impl Record {
    /// Bytes that the record takes in memory, what allocating them adds left aside.
    pub fn held_bytes(&self) -> usize {
        let inside = match self {
            Self::TargetStarted(body) => body.comm.len() + body.exe.len(),
            Self::TargetExecuted(body) => body.comm.len() + body.exe.len(),
            Self::IntervalsChanged(body) => body.reason.len(),
            Self::MappingsChanged(body) => {
                let names = body.added.iter().map(|mapping| mapping.name.len()).sum::<usize>();
                names + body.added.len() * size_of::<Mapping>() + body.removed.len() * 8
            }
            Self::Lost(body) => body.what.len(),
            Self::Mark(body) => body.text.len(),
            Self::Note(body) => body.text.len(),
            Self::Finished(body) => body.reason.len(),
            Self::SchemeInstalled(body) => body.json.len() + body.by.len(),
            Self::SchemeApplied(body) => body.regions.len() * size_of::<Region>(),
            Self::ProbeColumns(body) => {
                let names = body.columns.iter().map(|column| column.name.len()).sum::<usize>();
                names + body.columns.len() * size_of::<ProbeColumn>()
            }
            Self::TargetExited(_)
            | Self::Memory(_)
            | Self::Pressure(_)
            | Self::SchemeStats(_)
            | Self::SystemMemory(_)
            | Self::KdamondCpu(_)
            | Self::Part(_)
            | Self::EffectiveQuota(_)
            | Self::ProportionalMemory(_) => 0,
        };
        size_of::<Self>() + inside
    }
}
