//! However long an input is, and whatever is long in it, memory stays small. A process of its own, since the
//! largest size of the process is what is measured.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use damon_report::import::{
    Counts, ImportError, ImportOptions, Input, Kind, SideFiles, convert, in_memory,
};
use std::io::{self, Read};

/// `head`, about `count` bytes of `filling`, `tail`.
struct Long {
    parts: [(Vec<u8>, u64); 3],
    at: usize,
}

impl Long {
    fn new(head: &str, filling: &str, count: u64, tail: &str) -> Self {
        let filling = filling.repeat((1 << 16) / filling.len());
        let part = |text: &str, times| (text.as_bytes().to_vec(), times);
        Self { parts: [part(head, 1), part(&filling, count >> 16), part(tail, 1)], at: 0 }
    }
}

impl Read for Long {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let more = |part: &&mut (Vec<u8>, u64)| part.1 > 0 && !part.0.is_empty();
        let Some((text, left)) = self.parts.iter_mut().find(more) else {
            return Ok(0);
        };
        let rest = &text[self.at..];
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        if self.at == text.len() {
            (*left, self.at) = (*left - 1, 0);
        }
        Ok(count)
    }
}

fn import(input: impl Read + Send + 'static, kind: Kind) -> Result<Counts, ImportError> {
    let to = (io::sink(), in_memory());
    let input = Input::stream(input);
    convert(input, kind, &ImportOptions::default(), SideFiles::default(), to).map(|done| done.1)
}

fn largest_size() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

const GIB: u64 = 1 << 30;
const RECORD: &str =
    r#"[{"target_id": 0, "intervals": {"sample_us": 5, "aggr_us": 100}, "snapshots": ["#;
const SNAPSHOT: &str = r#"{"start_time": 1, "end_time": 2, "regions": []}"#;

const EVENT: &str =
    "k 1 [000] 5.500000: damon:damon_aggregated: target_id=0 nr_regions=1 4096-8192: 3 1\n";

/// Files beside a recording: samples without end, most of them as those before; and one that is too large to be read.
fn beside() {
    let sample = r#"{"time": 1790000000, "procvmas": [{"pid": 1, "vmas": [{"start": 1, "end": 2, "name": "/x"}]}]},"#;
    let many = Long::new("[", sample, GIB / 32, &format!("{}]", sample.trim_end_matches(',')));
    SideFiles::default().add(".vmas", many).unwrap();
    let text = Long::new("[{\"state\": \"", "x", GIB / 128, "\"}]");
    SideFiles::default().add(".kdamonds", text).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let large = std::fs::File::create(directory.path().join("x.vmas")).unwrap();
    large.set_len(2 * GIB).unwrap();
    let found = format!("{:?}", SideFiles::read(&directory.path().join("x")));
    assert!(found.contains(".vmas beside the recording was left out"), "{found}");
}

#[test]
fn memory_is_bounded() {
    let begin = largest_size();
    // A text of a gigabyte, as a value and as a key; a number, a list and white space without end.
    let text = Long::new("[{\"a\": \"", "x", GIB, "\"}]");
    assert!(import(text, Kind::DamoJson).unwrap_err().to_string().contains("without a snapshot"));
    let key = Long::new("[{\"", "k", GIB / 16, "\": 1}]");
    assert!(import(key, Kind::DamoJson).unwrap_err().to_string().contains("without a snapshot"));
    let number = Long::new("[{\"target_id\": ", "1", GIB / 64, "}]");
    assert!(import(number, Kind::DamoJson).unwrap_err().to_string().starts_with("byte 15: "));
    let list = Long::new("[{\"a\": [0", ", 7", GIB / 64, "]}]");
    assert!(import(list, Kind::DamoJson).unwrap_err().to_string().contains("without a snapshot"));
    let white = Long::new("[", " ", GIB / 32, "");
    assert!(import(white, Kind::DamoJson).unwrap_err().to_string().contains("nothing more"));
    // A bomb: the same, a thousandth of the size.
    let mut bomb = flate2::read::ZlibEncoder::new(
        Long::new("[", " ", GIB / 32, ""),
        flate2::Compression::new(6),
    );
    let mut small = Vec::new();
    bomb.read_to_end(&mut small).unwrap();
    assert!(small.len() < 1 << 20);
    let error = import(io::Cursor::new(small), Kind::DamoJsonCompressed).unwrap_err();
    assert!(error.to_string().contains("nothing more"), "{error}");
    // Records without snapshots, snapshots without regions, a snapshot with all the regions of the world.
    let records = Long::new("[{}", ",{}", GIB / 256, "]");
    assert!(
        import(records, Kind::DamoJson).unwrap_err().to_string().contains("without a snapshot")
    );
    let empty = Long::new(&format!("{RECORD}{SNAPSHOT}"), &format!(",{SNAPSHOT}"), GIB / 64, "]}]");
    // Pieces of 64 KiB are cut to whole snapshots.
    let each = SNAPSHOT.len() as u64 + 1;
    assert_eq!(
        import(empty, Kind::DamoJson).unwrap().snapshots,
        (1 << 16) / each * (GIB / (64 << 16)) + 1
    );
    let region = r#"{"start": 0, "end": 4096, "nr_accesses": 1, "age": 1},"#;
    let wide = Long::new(
        &format!(r#"{RECORD}{{"start_time": 1, "end_time": 2, "regions": ["#),
        region,
        GIB / 32,
        &format!("{}]}}]}}]", region.trim_end_matches(',')),
    );
    let counts = import(wide, Kind::DamoJson).unwrap();
    assert_eq!((counts.snapshots, counts.rows), (1, 1), "they all overlap");
    // A binary file whose zeros say that it has no targets at the start of time, again and again.
    let zeros = Long::new("damon_recfmt_ver\x02\0\0\0", "\0", GIB / 64, "");
    assert!(import(zeros, Kind::DamoRecord).is_err());
    // Text of tracers: a line of a gigabyte before an event, and in its place; events that nobody understands.
    let line = Long::new("", "y", GIB, &format!("\n{EVENT}"));
    assert_eq!(import(line, Kind::TraceText).unwrap().snapshots, 1);
    let event = EVENT.split('0').next().unwrap();
    let line = Long::new(event, "0", GIB, &format!("\n{EVENT}"));
    assert_eq!(import(line, Kind::TraceText).unwrap().snapshots, 1);
    let puzzles =
        Long::new("", "k 1 [000] 5.000000: damon:damon_aggregated: target_id=?\n", GIB / 64, "");
    assert!(import(puzzles, Kind::TraceText).unwrap_err().to_string().starts_with("line 1: "));
    // What perf wrote into a pipe: records of no interest without end.
    let records = Long::new("PERFILE2\x10\0\0\0\0\0\0\0", "c\0\0\0\0\0\x08\0", GIB / 16, "");
    let error = import(records, Kind::PerfData).unwrap_err().to_string();
    assert!(error.contains("no descriptions of tracepoints"), "{error}");
    beside();
    let grown = largest_size() - begin;
    assert!(grown < 64 << 20, "memory has grown by {grown} bytes");
}
