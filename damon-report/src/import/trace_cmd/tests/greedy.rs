//! Small recordings that would take long to read, or much memory.

use super::made::{Made, Version};
use super::refused;
use crate::import::trace_cmd::clock::Clock;
use crate::import::trace_cmd::contents::Buffer;
use crate::import::trace_cmd::inflate::Packing;
use crate::import::trace_cmd::merge::Merge;
use crate::import::trace_cmd::ring::PageLayout;

const HEADER_INFO: u16 = 16;
/// Where a recording of version 7 names its first list of options.
const FIRST: std::ops::Range<usize> = 27..35;

/// A recording whose options name one section so many times, before all others.
fn naming(section: &[u8], is_packed: bool, times: usize) -> Vec<u8> {
    let mut bytes = Made { version: Version::Seven("zstd"), ..Made::default() }.bytes();
    let next = bytes[FIRST].to_vec();
    let mut add = |id: u16, is_packed: bool, data: &[u8]| {
        let at = (bytes.len() as u64).to_le_bytes();
        let head = [id.to_le_bytes(), u16::from(is_packed).to_le_bytes(), [0; 2], [0; 2]].concat();
        bytes.extend([&head[..], &(data.len() as u64).to_le_bytes(), data].concat());
        at
    };
    let place = add(HEADER_INFO, is_packed, section);
    let option = |id: u16, data: &[u8]| [&id.to_le_bytes(), &[8, 0, 0, 0][..], data].concat();
    let mut list = option(HEADER_INFO, &place).repeat(times);
    list.extend(option(0, &next));
    let first = add(0, false, &list);
    bytes[FIRST].copy_from_slice(&first);
    bytes
}

/// A layout of the ring buffer with so many bytes that nobody needs.
fn layout(padding: usize) -> Vec<u8> {
    let lengths = [0_u64.to_le_bytes(), (padding as u64).to_le_bytes()];
    let names = [&b"header_page\0"[..], &lengths[0], b"header_event\0", &lengths[1]];
    [names.concat(), vec![0; padding]].concat()
}

fn packed(plain: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(plain, 1).unwrap();
    let lengths = [packed.len(), plain.len()].map(|n| u32::try_from(n).unwrap().to_le_bytes());
    [&lengths.concat(), &packed[..]].concat()
}

#[test]
fn sections_are_not_read_any_number_of_times() {
    let large = packed(&layout(60 << 20));
    assert!(large.len() < 10_000, "{}", large.len());
    for (section, is_packed, fits) in
        [(large, true, 4), (layout(0), false, 4000), (layout(1 << 20), false, 200)]
    {
        // The other options come after that: the section counts, not that it is named more than once.
        let found = super::imported(&naming(&section, is_packed, fits));
        assert_eq!(found.unwrap().snapshots.len(), 20);
        let error = refused(&naming(&section, is_packed, fits + fits / 4 + 100));
        assert!(error.contains("expected at most 256 MiB of sections, found more"), "{error}");
    }
}

#[test]
fn cpus_cannot_share_bytes() {
    let mut bytes = Made { cpus: 3, aggregations: 100, ..Made::default() }.bytes();
    let records = b"flyrecord\0";
    let table = bytes.windows(10).position(|window| window == records).unwrap() + 10;
    let first = bytes[table..table + 8].to_vec();
    let size = bytes.len() as u64 - u64::from_le_bytes(first[..].try_into().unwrap());
    let whole = [&first[..], &size.to_le_bytes()].concat();
    bytes[table..table + 48].copy_from_slice(&whole.repeat(3));
    let error = refused(&bytes);
    assert!(error.contains("found more bytes of events than the file has"), "{error}");
}

/// Begins to read buffers of such sizes, with zstd, all of which are at the start of the file.
fn opened(file: &[u8], page_size: u32, sizes: &[u64]) -> Result<(), String> {
    let packing = Some(Packing::Zstd);
    let buffer = |&size: &u64| Buffer { offset: 0, size, page_size, packing };
    let buffers: Vec<Buffer> = sizes.iter().map(buffer).collect();
    let text = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
         \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
         \tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";
    let layout = PageLayout::parse(text.as_bytes()).unwrap();
    let clock = Clock::new("mono", None, 0, None).unwrap();
    let merge = Merge::new(file, file.len() as u64, &buffers, layout, &[], clock);
    merge.map(|_| ()).map_err(|error| error.to_string())
}

/// One chunk of empty pages.
fn chunk(bytes: usize) -> Vec<u8> {
    [&1_u32.to_le_bytes(), &packed(&vec![0; bytes])[..]].concat()
}

#[test]
fn compressed_buffers_count_as_what_they_take_in_the_file() {
    // An empty page that takes more when it is inflated than the whole file has.
    let file = chunk(4096);
    let size = file.len() as u64 - 4;
    assert_eq!(opened(&file, 4096, &[size]), Ok(()));
    let twice = opened(&file, 4096, &[size, size]).unwrap_err();
    assert!(twice.contains("more bytes of events"), "{twice}");
    let overflow = opened(&file, 4096, &[1, u64::MAX]).unwrap_err();
    assert!(overflow.contains("more bytes of events"), "{overflow}");
}

#[test]
fn many_cpus_have_room_for_the_chunks_that_trace_cmd_makes() {
    for (page_size, cpus) in [(4096_u32, 8192), (65_536, 512)] {
        let file = chunk(page_size as usize * 10);
        let size = file.len() as u64 - 4;
        let many = file.repeat(cpus);
        // The first chunk is read or not; all other buffers are too short for one.
        let error = |cpus: usize| {
            let buffers = [vec![size], vec![1; cpus - 1]].concat();
            opened(&many, page_size, &buffers).unwrap_err()
        };
        assert!(error(cpus).contains("expected size of a compressed chunk"), "{}", error(cpus));
        let more = error(cpus + 1);
        assert!(more.contains("expected a chunk of reasonable size"), "{more}");
        // CPUs without events need no room.
        let buffers = [vec![size], vec![0; 16_000]].concat();
        assert_eq!(opened(&file, page_size, &buffers), Ok(()));
    }
}
