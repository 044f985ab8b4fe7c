//! A sink that keeps everything, and made-up recordings.

use damon_format::{
    Note, Record, RecordingInfo, Region, Sampling, Snapshot, TargetId, TargetStarted,
};
use damon_report::import::damo_json::{Pace, read_at};
use damon_report::import::{ImportError, ImportOptions, Sink};
use std::io::Cursor;

/// Everything that was handed over.
#[derive(Debug, Default, PartialEq)]
pub struct Collected {
    pub info: Option<RecordingInfo>,
    pub snapshots: Vec<Snapshot>,
    pub records: Vec<Record>,
}

impl Sink for Collected {
    fn begin(&mut self, info: RecordingInfo) -> Result<(), ImportError> {
        assert!(self.info.is_none(), "a recording begins once");
        self.info = Some(info);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        assert!(self.info.is_some(), "a recording begins with its description");
        self.snapshots.push(snapshot.clone());
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), ImportError> {
        assert!(self.info.is_some(), "a recording begins with its description");
        self.records.push(record);
        Ok(())
    }
}

impl Collected {
    pub fn notes(&self) -> Vec<&str> {
        let notes = self.records.iter().filter_map(|record| match record {
            Record::Note(Note { text, .. }) => Some(text.as_str()),
            _ => None,
        });
        notes.collect()
    }

    /// What probe columns are, each time it is said.
    pub fn columns(&self) -> Vec<Vec<(&str, u64)>> {
        let said = self.records.iter().filter_map(|record| match record {
            Record::ProbeColumns(said) => Some(said.columns.iter()),
            _ => None,
        });
        said.map(|columns| columns.map(|c| (c.name.as_str(), c.unit)).collect()).collect()
    }

    pub fn lost(&self) -> Vec<(u64, &str)> {
        let lost = self.records.iter().filter_map(|record| match record {
            Record::Lost(lost) => Some((lost.count, lost.what.as_str())),
            _ => None,
        });
        lost.collect()
    }

    pub fn started(&self) -> Vec<&TargetStarted> {
        let started = self.records.iter().filter_map(|record| match record {
            Record::TargetStarted(started) => Some(started),
            _ => None,
        });
        started.collect()
    }

    pub fn rows(&self) -> Vec<(u64, u64, u32, u32)> {
        let regions = self.snapshots.iter().flat_map(|snapshot| &snapshot.regions);
        regions.map(|r| (r.start, r.end, r.nr_accesses, r.age)).collect()
    }
}

/// Reads damo's json, or fails.
pub fn json(text: &str) -> Collected {
    json_with(text, &ImportOptions::default())
}

pub fn json_with(text: &str, options: &ImportOptions) -> Collected {
    let (collected, result) = at(Pace::default(), text.as_bytes(), false, options);
    result.unwrap_or_else(|error| panic!("{error}\n{text}"));
    collected
}

/// Reads at some pace.
pub fn at(
    pace: Pace,
    bytes: &[u8],
    compressed: bool,
    options: &ImportOptions,
) -> (Collected, Result<(), ImportError>) {
    let mut collected = Collected::default();
    let input = Cursor::new(bytes.to_vec());
    let result = read_at(pace, input, compressed, options, &mut collected);
    (collected, result)
}

/// A made-up recording, as many regions in each snapshot as `sizes` says.
pub fn snapshots(sizes: &[usize]) -> Vec<Snapshot> {
    let mut time = 539_809_434_100;
    let one = |(index, &count): (usize, &usize)| {
        let start_ns = time;
        time += 100_598_867;
        let regions = (0..count).map(|row| {
            let (index, row) = (index as u64, row as u64);
            let start = 0x5555_0000_0000 + row * (3 << 21);
            let varied = u32::try_from((index * 7 + row * 13) % 21).unwrap();
            Region {
                start,
                end: start + (1 << 21) + ((row % 5) << 12),
                nr_accesses: varied,
                age: varied * 431 % 7_000,
            }
        });
        let sampling = Sampling::from_intervals(5_000, 100_000);
        Snapshot::new(TargetId(0), start_ns, time, sampling, regions.collect())
    };
    sizes.iter().enumerate().map(one).collect()
}
