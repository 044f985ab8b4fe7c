//! What a recorder has done to the tree, or is about to do: enough to undo it.

use serde::{Deserialize, Serialize};

/// Bytes of an encoded record: one write, and each replaces the one before as a whole.
pub(super) const RECORD_LEN: usize = 1024;

/// How we came to our kdamond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// There was none; we have created number 0.
    Created,
    /// Somebody has provided it: off, without a context.
    Spare {
        /// Its index.
        index: u32,
        /// How many kdamonds there are; never changed by us.
        count: u32,
    },
}

impl Claim {
    /// Index of the kdamond.
    pub fn index(self) -> u32 {
        match self {
            Self::Created => 0,
            Self::Spare { index, .. } => index,
        }
    }

    /// How many kdamonds there are while it is ours.
    pub fn count(self) -> u32 {
        match self {
            Self::Created => 1,
            Self::Spare { count, .. } => count,
        }
    }
}

/// How far we have come. Each phase is recorded *before* what it names is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was written to the tree.
    Nothing,
    /// The kdamond's directory is created.
    Kdamond,
    /// Its context's directory is created.
    Context,
    /// The context is filled in; the kdamond is off.
    SetUp,
    /// It is started; its thread is not known yet.
    Starting,
    /// It runs, or has stopped by itself.
    Running,
}

/// The state of one recorder's business with DAMON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this record; another one is not understood.
    pub version: u32,
    /// The recorder.
    pub pid: u32,
    /// Its start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Which run of the kernel.
    pub boot_id: String,
    /// Root of the tree.
    pub root: String,
    /// What is ours.
    pub claim: Claim,
    /// How far we have come.
    pub phase: Phase,
    /// Identity of the kdamond's directory, once known.
    pub kdamond: Option<u64>,
    /// Identity of the context's directory, once known.
    pub context: Option<u64>,
    /// The kdamond's thread, once known.
    pub tid: Option<u32>,
}

impl Record {
    /// Of the records that this version writes.
    pub const VERSION: u32 = 1;

    /// Padded with blanks; `None` if it is too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).ok()?;
        if bytes.len() >= RECORD_LEN {
            return None;
        }
        bytes.resize(RECORD_LEN - 1, b' ');
        bytes.push(b'\n');
        Some(bytes)
    }

    /// `None` if it is not one, or of another version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|record: &Self| record.version == Self::VERSION)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn record() -> Record {
        Record {
            version: Record::VERSION,
            pid: 4711,
            start_ticks: 99,
            boot_id: "2f0f".into(),
            root: "/sys/kernel/mm/damon/admin".into(),
            claim: Claim::Created,
            phase: Phase::Nothing,
            kdamond: None,
            context: None,
            tid: None,
        }
    }

    #[test]
    fn phases_are_ordered_as_they_come() {
        assert!(Phase::Nothing < Phase::Kdamond && Phase::Kdamond < Phase::Context);
        assert!(Phase::Context < Phase::SetUp && Phase::SetUp < Phase::Starting);
        assert!(Phase::Starting < Phase::Running);
    }

    #[test]
    fn another_version_is_not_understood() {
        let newer = Record { version: 2, ..record() };
        assert_eq!(Record::decode(&newer.encode().unwrap()), None);
        assert_eq!(Record { root: "x".repeat(RECORD_LEN), ..record() }.encode(), None);
    }

    proptest! {
        #[test]
        fn survives_the_way(index: u32, count: u32, spare: bool, kdamond: Option<u64>, context: Option<u64>, tid: Option<u32>, root in "[ -~]{0,100}") {
            let claim = if spare { Claim::Spare { index, count } } else { Claim::Created };
            let record = Record { claim, kdamond, context, tid, root, phase: Phase::Starting, ..record() };
            let bytes = record.encode().unwrap();
            prop_assert_eq!(bytes.len(), RECORD_LEN);
            prop_assert_eq!(Record::decode(&bytes), Some(record));
        }

        #[test]
        fn a_part_is_not_a_record(cut: prop::sample::Index) {
            let bytes = record().encode().unwrap();
            let cut = cut.index(bytes.trim_ascii_end().len());
            prop_assert_eq!(Record::decode(&bytes[..cut]), None);
        }
    }
}
