//! Recordings made by hand, byte for byte, in the ways that perf can write them.

use super::super::attr::holds;
use super::super::session::kinds;
use zstd::stream::raw::{Encoder, InBuffer, Operation as _, OutBuffer};

pub(super) const REGIONS: usize = 5;
/// What samples may hold beside time and what the tracepoint wrote.
pub(super) const SAMPLE_TYPES: [u64; 10] = [
    holds::IP,
    holds::TID,
    holds::ADDR,
    holds::ID,
    holds::STREAM_ID,
    holds::CPU,
    holds::PERIOD,
    holds::READ,
    holds::CALLCHAIN,
    holds::IDENTIFIER,
];
/// Nothing but the value; all; a group; a group of all.
pub(super) const READ_FORMATS: [u64; 4] = [0, 0b10111, 0b1000, 0b11111];

const DAMON: u64 = 767;
const OTHER: u64 = 300;
/// Identities of the events.
const IDS: [u64; 2] = [41, 42];
/// Clock and thread of the events.
const BEGIN_NS: u64 = 5_000_000_000;
const THREAD: u32 = 77;

/// Which CPU's buffer the events are in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cpu {
    One,
    /// The kdamond moves with each event; so many events are written in a round.
    Alternating {
        rounds: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) aggregations: u64,
    /// Further bits of `sample_type`.
    pub(super) more: u64,
    pub(super) read_format: u64,
    /// Whether another event is recorded, too, with samples of another layout.
    pub(super) others: bool,
    pub(super) damon: bool,
    pub(super) cpus: Cpu,
    /// Instead of this event there is a record of its loss.
    pub(super) lost_at: Option<usize>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            aggregations: 20,
            more: 0,
            read_format: 0,
            others: false,
            damon: true,
            cpus: Cpu::One,
            lost_at: None,
        }
    }
}

pub(in super::super) fn record(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len() + 8).unwrap();
    [&kind.to_le_bytes()[..], &[0, 0], &size.to_le_bytes(), body].concat()
}

impl Made {
    fn sample_type(&self) -> u64 {
        self.more | holds::TIME | holds::RAW
    }

    fn attr(&self, config: u64, sample_type: u64) -> Vec<u8> {
        let mut attr = vec![0; 128];
        attr[0..4].copy_from_slice(&2_u32.to_le_bytes());
        attr[4..8].copy_from_slice(&128_u32.to_le_bytes());
        attr[8..16].copy_from_slice(&config.to_le_bytes());
        attr[24..32].copy_from_slice(&sample_type.to_le_bytes());
        attr[32..40].copy_from_slice(&self.read_format.to_le_bytes());
        // sample_id_all
        attr[40..48].copy_from_slice(&(1_u64 << 18).to_le_bytes());
        attr
    }

    /// Attributes and identity of each event.
    fn attrs(&self) -> Vec<(Vec<u8>, u64)> {
        let damon = if self.damon { DAMON } else { DAMON + 100 };
        let mut attrs = vec![(self.attr(damon, self.sample_type()), IDS[0])];
        if self.others {
            let sample_type = self.sample_type() | holds::CALLCHAIN | holds::PERIOD;
            attrs.push((self.attr(OTHER, sample_type), IDS[1]));
        }
        attrs
    }

    fn tracing() -> Vec<u8> {
        let mut out = b"\x17\x08\x44tracing0.6\0\0\x08".to_vec();
        out.extend(4096_u32.to_le_bytes());
        for name in [&b"header_page\0"[..], b"header_event\0"] {
            out.extend(name);
            out.extend(3_u64.to_le_bytes());
            out.extend(b"abc");
        }
        out.extend(0_u32.to_le_bytes());
        let mut text = format!("name: damon_aggregated\nID: {DAMON}\nformat:\n");
        for (declaration, offset, size) in [
            ("unsigned short common_type", 0, 2),
            ("int common_pid", 4, 4),
            ("unsigned long target_id", 8, 8),
            ("unsigned long start", 16, 8),
            ("unsigned long end", 24, 8),
            ("unsigned int nr_regions", 32, 4),
            ("unsigned int nr_accesses", 36, 4),
            ("unsigned int age", 40, 4),
        ] {
            let line =
                format!("\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:0;\n");
            text.push_str(&line);
        }
        let systems = [("sched", "name: other\nID: 1\n".to_owned()), ("damon", text)];
        out.extend(2_u32.to_le_bytes());
        for (system, text) in systems {
            out.extend(system.as_bytes());
            out.push(0);
            out.extend(1_u32.to_le_bytes());
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        }
        // Symbols, formats and names, all empty.
        out.extend([0; 16]);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    /// A sample in the order of `perf_event_open(2)`.
    fn sample(&self, sample_type: u64, id: u64, time_ns: u64, raw: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let word = |value: u64| value.to_le_bytes();
        for (bit, value) in [
            (holds::IDENTIFIER, word(id)),
            (holds::IP, word(0xffff_ffff_8100_0000)),
            (holds::TID, word(u64::from(THREAD) << 32 | u64::from(THREAD))),
            (holds::TIME, word(time_ns)),
            (holds::ADDR, word(0)),
            (holds::ID, word(id)),
            (holds::STREAM_ID, word(id)),
            (holds::CPU, word(1)),
            (holds::PERIOD, word(1)),
        ] {
            if sample_type & bit != 0 {
                body.extend(value);
            }
        }
        if sample_type & holds::READ != 0 {
            let each = [true, self.read_format & 4 != 0, self.read_format & 16 != 0];
            let each = each.iter().filter(|has| **has).count();
            let times =
                usize::from(self.read_format & 1 != 0) + usize::from(self.read_format & 2 != 0);
            if self.read_format & 8 != 0 {
                body.extend(word(3));
                body.extend(vec![7; (times + 3 * each) * 8]);
            } else {
                body.extend(vec![7; (times + each) * 8]);
            }
        }
        if sample_type & holds::CALLCHAIN != 0 {
            body.extend([word(2), word(1), word(2)].concat());
        }
        body.extend(u32::try_from(raw.len()).unwrap().to_le_bytes());
        body.extend(raw);
        record(kinds::SAMPLE, &body)
    }

    /// Records of the kernel: time and bytes.
    fn samples(&self) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        for aggregation in 0..self.aggregations {
            for i in 0..REGIONS {
                let time_ns = BEGIN_NS + aggregation * 101_000_000 + i as u64 * 3_000;
                if self.lost_at == Some(out.len()) {
                    let mut body = [IDS[0].to_le_bytes(), 1_u64.to_le_bytes()].concat();
                    body.extend(time_ns.to_le_bytes());
                    out.push((time_ns, record(kinds::LOST, &body)));
                    continue;
                }
                let start = 0x5000_0000_0000 + i as u64 * 0x3000;
                let mut raw = [0; 44];
                raw[0..2].copy_from_slice(&767_u16.to_le_bytes());
                raw[4..8].copy_from_slice(&THREAD.to_le_bytes());
                raw[16..24].copy_from_slice(&start.to_le_bytes());
                raw[24..32].copy_from_slice(&(start + 0x2000).to_le_bytes());
                raw[32..36].copy_from_slice(&(u32::try_from(REGIONS).unwrap()).to_le_bytes());
                raw[36..40].copy_from_slice(&(u32::try_from(i).unwrap()).to_le_bytes());
                raw[40..44].copy_from_slice(&(u32::try_from(aggregation).unwrap()).to_le_bytes());
                out.push((time_ns, self.sample(self.sample_type(), IDS[0], time_ns, &raw)));
            }
            if self.others {
                let time_ns = BEGIN_NS + aggregation * 101_000_000 + 50_000_000;
                let sample_type = self.sample_type() | holds::CALLCHAIN | holds::PERIOD;
                out.push((time_ns, self.sample(sample_type, IDS[1], time_ns, &[9; 12])));
            }
        }
        out
    }

    /// Records of the kernel as perf writes them, with the ends of rounds.
    fn data(&self) -> Vec<u8> {
        let comm = [&THREAD.to_le_bytes()[..], &THREAD.to_le_bytes(), b"kdamond.0\0\0\0\0\0\0\0"];
        let mut out = record(kinds::COMM, &comm.concat());
        let samples = self.samples();
        let Cpu::Alternating { rounds } = self.cpus else {
            out.extend(samples.iter().flat_map(|(_, bytes)| bytes));
            return out;
        };
        for round in samples.chunks(rounds) {
            for cpu in [1, 0] {
                for (_, bytes) in round.iter().skip(cpu).step_by(2) {
                    out.extend(bytes);
                }
            }
            out.extend(record(kinds::FINISHED_ROUND, &[]));
        }
        out
    }

    fn pipe_head(&self) -> Vec<u8> {
        let mut out = b"PERFILE2\x10\0\0\0\0\0\0\0".to_vec();
        for (attr, id) in self.attrs() {
            out.extend(record(kinds::HEADER_ATTR, &[&attr[..], &id.to_le_bytes()].concat()));
        }
        let tracing = Self::tracing();
        let size = u32::try_from(tracing.len()).unwrap();
        out.extend(record(kinds::TRACING_DATA, &size.to_le_bytes()));
        out.extend(tracing);
        out
    }

    pub(super) fn piped(&self) -> Vec<u8> {
        [self.pipe_head(), self.data()].concat()
    }

    /// The kernel's records compressed, so many bytes in each of perf's.
    pub(super) fn compressed(&self, piece: usize, kind: u32) -> Vec<u8> {
        let mut out = self.pipe_head();
        for piece in compress(&self.data()).chunks(piece) {
            if kind == kinds::COMPRESSED {
                out.extend(record(kind, piece));
            } else {
                let size = (piece.len() as u64).to_le_bytes();
                out.extend(record(kind, &[&size[..], piece, &[0; 5]].concat()));
            }
        }
        out
    }

    pub(super) fn file(&self) -> Vec<u8> {
        let attrs = self.attrs();
        let (mut ids, mut entries) = (Vec::new(), Vec::new());
        let ids_at = 104 + attrs.len() * 144;
        for (attr, id) in &attrs {
            entries.extend(attr);
            entries.extend(((ids_at + ids.len()) as u64).to_le_bytes());
            entries.extend(8_u64.to_le_bytes());
            ids.extend(id.to_le_bytes());
        }
        let (data, tracing) = (self.data(), Self::tracing());
        let data_at = ids_at + ids.len();
        let mut out = b"PERFILE2".to_vec();
        for word in [104, 144, 104, entries.len(), data_at, data.len(), 0, 0, 0b10, 0, 0, 0] {
            out.extend((word as u64).to_le_bytes());
        }
        out.extend(entries);
        out.extend(ids);
        out.extend(&data);
        let tracing_at = data_at + data.len() + 16;
        out.extend((tracing_at as u64).to_le_bytes());
        out.extend((tracing.len() as u64).to_le_bytes());
        // Nothing after what is read, so that each byte counts.
        out.extend(&tracing);
        out
    }
}

/// One zstd stream that is flushed, but not ended, as perf does it.
pub(in super::super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(3).unwrap();
    let mut out = Vec::with_capacity(plain.len() + 1024);
    let mut output = OutBuffer::around(&mut out);
    let mut input = InBuffer::around(plain);
    while input.pos() < plain.len() {
        encoder.run(&mut input, &mut output).unwrap();
    }
    while encoder.flush(&mut output).unwrap() > 0 {}
    out
}

/// What is in the real recordings (added up from the text of perf script): end in milliseconds, regions, their bytes and
/// samples.
pub(super) fn known(name: &str) -> Vec<(u64, usize, u64, u32)> {
    match name {
        // Recorded at the same time.
        "plain" | "compressed" => vec![
            (14_683_951, 18, 419_102_720, 0),
            (14_689_109, 18, 419_102_720, 0),
            (14_694_249, 18, 419_102_720, 0),
            (14_699_371, 18, 419_102_720, 1),
            (14_704_497, 18, 419_102_720, 1),
            (14_709_621, 20, 419_102_720, 8),
        ],
        "pipe" => vec![
            (14_678_827, 19, 419_102_720, 0),
            (14_683_948, 18, 419_102_720, 0),
            (14_689_106, 18, 419_102_720, 0),
            (14_694_246, 18, 419_102_720, 0),
            (14_699_368, 18, 419_102_720, 1),
            (14_704_494, 18, 419_102_720, 1),
            (14_709_618, 20, 419_102_720, 8),
        ],
        _ => Vec::new(),
    }
}
