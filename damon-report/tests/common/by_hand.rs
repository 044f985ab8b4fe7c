//! Blocks written bit by bit: what no writer of ours writes.

use super::SECOND;
use damon_format::layout::{BlockEntry, BlockHeader, BlockKind, Footer, FrameHeader};
use std::io::Write as _;

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

/// The Exp-Golomb code of a number, as text.
pub fn golomb(value: u64, order: u32) -> String {
    let x = u128::from(value) + (1 << order);
    let low = (0..x.ilog2()).map(|bit| if x >> bit & 1 == 1 { '1' } else { '0' });
    "0".repeat((x.ilog2() - order) as usize) + "1" + &low.collect::<String>()
}

/// A section of snapshots of 100 ms in which nothing ever happens: a bit a region. It is the first one of the target in its
/// block if it `begins`.
pub fn quiet(target: u64, begins: bool, count: u64, regions: u64) -> Vec<u8> {
    let size = SECOND / 10;
    let mut bits =
        if begins { golomb(size << 1, 6) + &golomb(regions << 1, 2) } else { String::new() };
    let known = golomb(0, 6) + &golomb(0, 2);
    bits += &known.repeat(usize::try_from(count - u64::from(begins)).unwrap());
    // One page behind the other, counter and age as predicted.
    bits +=
        &("11110011".to_owned() + "10" + &golomb(1, 8)).repeat(usize::try_from(regions).unwrap());
    let as_predicted = usize::try_from((count - 1) * regions).unwrap();
    section(target, count, &bits, as_predicted)
}

/// A section of snapshots that begin where the one before ended, with ages: bits as text, and so many 0 behind them.
pub fn section(target: u64, snapshots: u64, bits: &str, zeros: usize) -> Vec<u8> {
    let list: Vec<u8> = bits.bytes().map(|bit| bit - b'0').collect();
    let mut bytes: Vec<u8> =
        list.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | bit)).collect();
    bytes.resize((bits.len() + zeros).div_ceil(8), 0);
    // Ages, the scale, and no starts.
    let mut body = varint(target << 4 | 0b1101);
    for number in [5_000, 100_000, 20, 12, 0, snapshots] {
        body.extend(varint(number));
    }
    body.extend(bytes);
    [varint((body.len() as u64) << 1 | 1), body].concat()
}

/// A recording whose end is cut off, and behind it a block with these sections in one frame. Its sequence is that behind
/// one block of data.
pub fn block_behind(mut trace: Vec<u8>, start_ns: u64, sections: &[Vec<u8>]) -> Vec<u8> {
    let footer = trace.split_off(trace.len() - Footer::LEN);
    let index = Footer::decode(footer.as_slice()).unwrap().index_offset;
    trace.truncate(usize::try_from(index).unwrap());
    let (kind, optional, sequence) = (BlockKind::DATA, false, 2);
    trace.extend(BlockHeader { kind, optional, sequence, start_ns }.encode());
    let mut encoder = zstd::Encoder::new(Vec::new(), 9).unwrap();
    encoder.window_log(20).unwrap();
    encoder.write_all(&sections.concat()).unwrap();
    let payload = encoder.finish().unwrap();
    FrameHeader::for_payload(sequence, 0, &payload).encode(&mut trace);
    trace.extend(payload);
    trace
}

/// An index and a footer behind blocks of which all is told but the length of the last one.
pub fn indexed(mut trace: Vec<u8>, mut blocks: Vec<BlockEntry>) -> Vec<u8> {
    let index_offset = trace.len() as u64;
    let last = blocks.last_mut().unwrap();
    last.stored_len = index_offset - last.offset;
    let (kind, optional, sequence) = (BlockKind::INDEX, false, last.sequence + 1);
    trace.extend(BlockHeader { kind, optional, sequence, start_ns: blocks[0].start_ns }.encode());
    let payload: Vec<u8> = blocks.iter().flat_map(BlockEntry::encode).collect();
    FrameHeader::for_payload(sequence, 0, &payload).encode(&mut trace);
    trace.extend(payload);
    trace.extend(Footer { index_offset, entries: u32::try_from(blocks.len()).unwrap() }.encode());
    trace
}
