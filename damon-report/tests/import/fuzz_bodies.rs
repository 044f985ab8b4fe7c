//! What the fuzz targets do with some bytes; also called by `fuzz_replay`.

use damon_format::{Record, RecordingInfo, Snapshot, TraceWriter, WriterOptions};
use damon_report::import::damo_json::{Pace, read_at};
use damon_report::import::{
    Beside, ImportError, ImportOptions, Input, Kind, SUFFIXES, SideFiles, Sink, damo_record,
    perf_data, read, sniff, trace_cmd, trace_text,
};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

/// Checks what a reader promises, and keeps all of it.
#[derive(Default)]
struct Checked {
    writer: Option<TraceWriter<Vec<u8>>>,
    ends: BTreeMap<u32, u64>,
    snapshots: Vec<Snapshot>,
    records: Vec<Record>,
}

impl Sink for Checked {
    fn begin(&mut self, info: RecordingInfo) -> Result<(), ImportError> {
        assert!(self.writer.is_none());
        self.writer = TraceWriter::create(Vec::new(), &info, WriterOptions::default()).ok();
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        let last = self.ends.insert(snapshot.target.0, snapshot.end_ns);
        assert!(last.is_none_or(|last| last <= snapshot.end_ns), "back in time");
        let written = self.writer.as_mut().map(|writer| writer.snapshot(snapshot));
        assert!(matches!(written, Some(Ok(()))), "the format refuses {snapshot:?}: {written:?}");
        self.snapshots.push(snapshot.clone());
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), ImportError> {
        let written = self.writer.as_mut().map(|writer| writer.record(&record));
        assert!(matches!(written, Some(Ok(()))), "the format refuses {record:?}: {written:?}");
        self.records.push(record);
        Ok(())
    }
}

impl Checked {
    fn read_back(self) {
        if let Some(bytes) = self.writer.and_then(|writer| writer.finish().ok()) {
            let report = damon_format::verify(&bytes);
            assert!(report.is_ok_and(|report| report.damage.is_empty()));
        }
    }
}

/// damo's json: the fast way gives what the general one gives, in chunks of any size, compressed or not.
pub fn damo_json(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let options = ImportOptions::default();
    let run = |pace, compressed| {
        let mut found = Checked::default();
        let input = Cursor::new(data.to_vec());
        let result = read_at(pace, input, compressed, &options, &mut found);
        (found, format!("{result:?}"))
    };
    let compressed = how & 1 == 1;
    let chunk = [1, 7, 64, 700, 5_000, 1 << 18][usize::from(how >> 1) % 6];
    let (fast, of_fast) = run(Pace { chunk, fast: true }, compressed);
    let (general, of_general) = run(Pace { chunk: 1 << 16, fast: false }, compressed);
    if compressed && [&of_fast, &of_general].iter().all(|result| result.starts_with("Err")) {
        // Where both the text and its compression are damaged, the size of chunks decides what is met first.
        return;
    }
    assert_eq!(of_fast, of_general);
    assert_eq!(fast.snapshots, general.snapshots);
    assert_eq!(fast.records, general.records);
    fast.read_back();
}

/// damo's binary record.
pub fn damo_record(data: &[u8]) {
    let mut found = Checked::default();
    drop(damo_record::read(data, &ImportOptions::default(), &mut found));
    found.read_back();
}

/// Text of tracers, all at once and a few bytes at a time.
pub fn trace_text(data: &[u8]) {
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let length = buf.len().min(7);
            self.0.read(&mut buf[..length])
        }
    }

    let options = ImportOptions::default();
    let (mut found, mut again) = (Checked::default(), Checked::default());
    let result = trace_text::read(data, &options, &mut found);
    let dripped = trace_text::read(Dripping(data), &options, &mut again);
    assert_eq!(format!("{result:?}"), format!("{dripped:?}"));
    assert_eq!(found.snapshots, again.snapshots);
    assert_eq!(found.records, again.records);
    found.read_back();
}

/// perf's recordings, and trace-cmd's, which have to be files.
pub fn events(data: &[u8]) {
    let options = ImportOptions::default();
    let mut found = Checked::default();
    if sniff(data) == Kind::TraceCmdData {
        drop(trace_cmd::read(data, &options, &mut found));
    } else {
        drop(perf_data::read(data, &options, &mut found));
    }
    found.read_back();
}

/// Whatever it is taken for. The first byte says how much of the rest is a file beside it.
pub fn any_input(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let (side, data) = data.split_at(data.len() * usize::from(how >> 2) / 64);
    let mut files = SideFiles::default();
    drop(files.add(SUFFIXES[usize::from(how) % 4], side));
    let mut found = Checked::default();
    let mut sink = Beside::new(files, &mut found);
    let kind = sniff(data);
    let result =
        read(Input::stream(Cursor::new(data.to_vec())), kind, &ImportOptions::default(), &mut sink);
    if result.is_ok() {
        assert!(kind != Kind::Unknown && kind != Kind::Trace);
        drop(sink.finish());
    }
    found.read_back();
}
