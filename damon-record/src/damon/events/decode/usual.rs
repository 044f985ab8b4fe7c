//! `damon_aggregated` as kernels of 64 bits have laid it out since ages came to it (Linux 5.17). It is nearly all there
//! is to decode, and with places that the compiler knows that takes a fraction of the time.

#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use super::{Event, Undecodable};
use crate::damon::events::format::{Field, Format};
use damon_format::Region;

/// Name, place, width and sign of what is read.
const FIELDS: [(&str, usize, usize, bool); 8] = [
    ("common_type", 0, 2, false),
    ("common_pid", 4, 4, true),
    ("target_id", 8, 8, false),
    ("nr_regions", 16, 4, false),
    ("start", 24, 8, false),
    ("end", 32, 8, false),
    ("nr_accesses", 40, 4, false),
    ("age", 44, 4, false),
];

/// The event's number, if this is its layout.
pub(super) fn id(format: &Format) -> Option<u16> {
    let usual = FIELDS.iter().all(|&(name, offset, size, signed)| {
        format.field(name) == Some(Field { offset, size, signed })
    });
    u16::try_from(format.id).ok().filter(|_| usual)
}

/// An event of this layout with this number, and its thread. `None`: it is another event, or too short.
#[inline]
pub(super) fn decode(usual: u16, raw: &[u8]) -> Option<Result<(i32, Event), Undecodable>> {
    let (words, _) = raw.as_chunks::<8>();
    let &[head, target, regions, start, end, counters, ..] = words else { return None };
    let [low, high, _, _, thread @ ..] = head;
    if u16::from_ne_bytes([low, high]) != usual {
        return None;
    }
    let (nr_regions, _) = halves(regions);
    let (start, end) = (u64::from_ne_bytes(start), u64::from_ne_bytes(end));
    if start >= end {
        return Some(Err(Undecodable::NoRegion { start, end }));
    }
    let (nr_accesses, age) = halves(counters);
    let region = Region { start, end, nr_accesses, age };
    let target = u64::from_ne_bytes(target);
    let event = Event::Aggregated { target, nr_regions, region, has_age: true };
    Some(Ok((i32::from_ne_bytes(thread), event)))
}

/// Two numbers of 32 bits that follow one another.
fn halves([a, b, c, d, rest @ ..]: [u8; 8]) -> (u32, u32) {
    (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes(rest))
}
