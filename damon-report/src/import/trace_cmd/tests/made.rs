//! Recordings made by hand, byte for byte, as trace-cmd writes them.

use std::io::Write as _;

pub(super) const REGIONS: usize = 5;
const DAMON: u16 = 767;
const OTHER: u16 = 300;
const BEGIN_NS: u64 = 5_000_000_000;
const THREAD: u32 = 77;
const PAGE: usize = 512;
/// Bytes of a page before its events.
const HEAD: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Six,
    /// With this compression.
    Seven(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) version: Version,
    pub(super) aggregations: u64,
    pub(super) cpus: usize,
    /// Each event is on another CPU; or so many go to one in a row.
    pub(super) in_a_row: usize,
    pub(super) damon: bool,
    /// Another event before each of DAMON's.
    pub(super) others: bool,
    /// The event before which the first CPU says that 3 were lost, instead of telling it and 2 more.
    pub(super) lost_at: Option<usize>,
    /// Name of the clock, and its unit in nanoseconds if it is told.
    pub(super) clock: &'static str,
    /// CPUs of an instance, as an option tells them.
    pub(super) cpu_count: Option<usize>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            version: Version::Six,
            aggregations: 20,
            cpus: 1,
            in_a_row: 1,
            damon: true,
            others: false,
            lost_at: None,
            clock: "mono",
            cpu_count: None,
        }
    }
}

/// Pages of one CPU while they are written.
#[derive(Default)]
struct Cpu {
    pages: Vec<Vec<u8>>,
    time: u64,
    lost: bool,
}

impl Cpu {
    fn event(&mut self, time: u64, raw: &[u8]) {
        let full = self.pages.last().is_none_or(|page| page.len() + raw.len() + 16 > PAGE);
        if full || self.lost {
            self.pages.push([time.to_le_bytes(), [0; 8]].concat());
            self.time = time;
        }
        let lost = std::mem::take(&mut self.lost);
        let page = self.pages.last_mut().unwrap();
        if lost {
            // Told in the page's head; the number comes after its events.
            page[11] = 0xc0;
        }
        let delta = time - self.time;
        self.time = time;
        let low = u32::try_from(delta % (1 << 27)).unwrap();
        let high = delta >> 27;
        let mut words = Vec::new();
        let mut own = low;
        if high > 0 {
            words.extend([(low << 5) + 30, u32::try_from(high).unwrap()]);
            own = 0;
        }
        // Short ones have their length in the head, long ones a word for it.
        let length = u32::try_from(raw.len()).unwrap();
        if raw.len() <= 28 * 4 && !self.pages.len().is_multiple_of(3) {
            words.push((own << 5) + length / 4);
        } else {
            words.extend([own << 5, length + 4]);
        }
        let page = self.pages.last_mut().unwrap();
        page.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        page.extend(raw);
    }

    fn finish(mut self) -> Vec<u8> {
        for page in &mut self.pages {
            let length = u32::try_from(page.len() - HEAD).unwrap();
            let flags = u32::from(page[11]) << 24;
            page[8..12].copy_from_slice(&(length | flags).to_le_bytes());
            if flags > 0 {
                page.extend(3_u64.to_le_bytes());
            }
            page.resize(PAGE, 0xa5);
        }
        self.pages.concat()
    }
}

/// A length of eight bytes, and the text.
fn long(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

fn word(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap().to_le_bytes()
}

fn field(declaration: &str, offset: usize, size: usize) -> String {
    format!("\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:0;\n")
}

impl Made {
    fn pages(&self) -> Vec<Vec<u8>> {
        let mut cpus: Vec<Cpu> = (0..self.cpus).map(|_| Cpu::default()).collect();
        let mut count = 0;
        for aggregation in 0..self.aggregations {
            for i in 0..REGIONS {
                let time = BEGIN_NS + aggregation * 301_000_000 + i as u64 * 3_000;
                let start = 0x5000_0000_0000 + i as u64 * 0x3000;
                let mut raw = [0; 44];
                raw[0..2].copy_from_slice(&DAMON.to_le_bytes());
                raw[4..8].copy_from_slice(&THREAD.to_le_bytes());
                raw[16..24].copy_from_slice(&start.to_le_bytes());
                raw[24..32].copy_from_slice(&(start + 0x2000).to_le_bytes());
                raw[32..36].copy_from_slice(&word(REGIONS));
                raw[36..40].copy_from_slice(&word(i));
                raw[40..44].copy_from_slice(&word(usize::try_from(aggregation).unwrap()));
                let at = count;
                count += 1;
                let cpu = &mut cpus[(at / self.in_a_row) % self.cpus];
                if let Some(lost) = self.lost_at.filter(|lost| (*lost..lost + 3).contains(&at)) {
                    cpu.lost |= lost == at;
                    continue;
                }
                if self.others {
                    cpu.event(time - 10, &[&OTHER.to_le_bytes()[..], &[9; 10]].concat());
                }
                cpu.event(time, &raw);
            }
        }
        cpus.into_iter().map(Cpu::finish).collect()
    }

    fn header_info() -> Vec<u8> {
        let page = [
            field(" u64 timestamp", 0, 8),
            field(" local_t commit", 8, 8),
            field(" int overwrite", 8, 1),
            field(" char data", HEAD, PAGE - HEAD),
        ];
        [&b"header_page\0"[..], &long(page.concat().as_bytes()), b"header_event\0", &long(b"abc")]
            .concat()
    }

    fn systems(self) -> Vec<u8> {
        let mut damon = format!("name: damon_aggregated\nID: {DAMON}\nformat:\n");
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
            damon.push_str(&field(declaration, offset, size));
        }
        let other = format!("name: other\nID: {OTHER}\n");
        let mut systems = vec![("sched", other)];
        if self.damon {
            systems.push(("damon", damon));
        }
        let mut out = word(systems.len()).to_vec();
        for (name, text) in systems {
            out.extend([name.as_bytes(), &[0], &word(1), &long(text.as_bytes())].concat());
        }
        out
    }

    fn options(self) -> Vec<(u16, Vec<u8>)> {
        let mut options = vec![
            (4, format!("local [{}] x\0", self.clock).into_bytes()),
            (5, b"Linux farm 6.12.7 x86_64\0".to_vec()),
            (2, b"CPU: 0\noverrun: 0\ndropped events: 0\n\0".to_vec()),
            (1, b"0x5f5e100\0".to_vec()),
        ];
        options.extend(self.cpu_count.map(|count| (8, word(count).to_vec())));
        options
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let version = if self.version == Version::Six { "6" } else { "7" };
        let mut out = b"\x17\x08\x44tracing".to_vec();
        out.extend([version.as_bytes(), b"\0\0\x08", &word(PAGE)].concat());
        match self.version {
            Version::Six => self.six(out),
            Version::Seven(compression) => self.seven(out, compression),
        }
    }

    fn six(self, mut out: Vec<u8>) -> Vec<u8> {
        out.extend(Self::header_info());
        out.extend([&word(1)[..], &long(b"name: function\nID: 1\n")].concat());
        out.extend(self.systems());
        out.extend(
            [&word(7)[..], b"symbols", &word(3), b"fmt", &long(b"77 kdamond.0\n1 init\n")].concat(),
        );
        out.extend([&word(self.cpus)[..], b"options  \0"].concat());
        for (id, data) in self.options() {
            out.extend([&id.to_le_bytes()[..], &word(data.len()), &data].concat());
        }
        out.extend([&[0, 0][..], b"flyrecord\0"].concat());
        let pages = self.pages();
        let mut at = (out.len() + 16 * pages.len()).next_multiple_of(PAGE);
        for cpu in &pages {
            out.extend([(at as u64).to_le_bytes(), (cpu.len() as u64).to_le_bytes()].concat());
            at += cpu.len();
        }
        out.resize(out.len().next_multiple_of(PAGE), 0);
        out.extend(pages.concat());
        out
    }

    fn seven(self, mut out: Vec<u8>, compression: &str) -> Vec<u8> {
        let is_packed = compression != "none";
        out.extend([compression.as_bytes(), b"\x001.5\0"].concat());
        let first = out.len();
        out.extend([0; 8]);
        let section = |out: &mut Vec<u8>, id: u16, data: &[u8]| {
            let at = out.len() as u64;
            let data = if is_packed {
                let packed = compress(compression, data);
                [&word(packed.len())[..], &word(data.len()), &packed].concat()
            } else {
                data.to_vec()
            };
            let head = [id.to_le_bytes(), u16::from(is_packed).to_le_bytes()].concat();
            out.extend([&head[..], &word(0), &long(&data)].concat());
            at
        };
        let mut options = self.options();
        for (id, data) in
            [(16, Self::header_info()), (18, self.systems()), (21, long(b"77 kdamond.0\n1 init\n"))]
        {
            let at = section(&mut out, id, &data);
            options.push((id, at.to_le_bytes().to_vec()));
        }
        let pages: Vec<Vec<u8>> = self
            .pages()
            .into_iter()
            .map(|cpu| if is_packed { chunks(compression, &cpu) } else { cpu })
            .collect();
        let records = out.len();
        let head = [3_u16.to_le_bytes(), u16::from(is_packed).to_le_bytes()].concat();
        out.extend([&head[..], &word(0), &long(&pages.concat())].concat());
        let mut buffer = (records as u64).to_le_bytes().to_vec();
        buffer.extend([b"\0mono\0", &word(PAGE)[..], &word(self.cpus)].concat());
        let mut at = records + 16;
        for (cpu, bytes) in pages.iter().enumerate() {
            buffer.extend(word(cpu));
            // The number of chunks is not counted.
            let length = bytes.len() - if is_packed { 4 } else { 0 };
            buffer.extend([(at as u64).to_le_bytes(), (length as u64).to_le_bytes()].concat());
            at += bytes.len();
        }
        options.push((3, buffer));
        let list = |options: &[(u16, Vec<u8>)], next: u64| {
            let mut list = Vec::new();
            for (id, data) in options {
                list.extend([&id.to_le_bytes()[..], &word(data.len()), data].concat());
            }
            list.extend([&[0, 0][..], &word(8), &next.to_le_bytes()].concat());
            list
        };
        // Two lists, the second of which the first one names.
        let (one, two) = options.split_at(4);
        let second = section(&mut out, 0, &list(two, 0));
        let place = section(&mut out, 0, &list(one, second));
        out[first..first + 8].copy_from_slice(&place.to_le_bytes());
        out
    }
}

/// The pages of a CPU, three a chunk.
fn chunks(compression: &str, cpu: &[u8]) -> Vec<u8> {
    let pieces = cpu.chunks(3 * PAGE);
    let mut out = word(pieces.len()).to_vec();
    for piece in pieces {
        let packed = compress(compression, piece);
        out.extend([&word(packed.len())[..], &word(piece.len()), &packed].concat());
    }
    out
}

fn compress(compression: &str, plain: &[u8]) -> Vec<u8> {
    if compression == "zstd" {
        return zstd::bulk::compress(plain, 3).unwrap();
    }
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
