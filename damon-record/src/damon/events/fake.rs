//! Events as a kernel of 64 bits would write them, for tests and benchmarks: `format` files and the bytes.

#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use super::decode::{Decoder, Event, EventKind};
use super::format::Format;
use std::fmt::Write as _;

/// The number of a kind of event in [`format`] and [`raw`].
pub fn id(kind: EventKind) -> u32 {
    match kind {
        EventKind::Aggregated => 767,
        EventKind::IntervalsTuned => 768,
        EventKind::BeforeApply => 769,
        EventKind::EffectiveQuota => 770,
        EventKind::SchemeStat => 771,
    }
}

/// Name, offset and size of a kind's own fields.
fn fields(kind: EventKind) -> &'static [(&'static str, usize, usize)] {
    match kind {
        EventKind::Aggregated => &[
            ("unsigned long target_id", 8, 8),
            ("unsigned int nr_regions", 16, 4),
            ("unsigned long start", 24, 8),
            ("unsigned long end", 32, 8),
            ("unsigned int nr_accesses", 40, 4),
            ("unsigned int age", 44, 4),
        ],
        EventKind::BeforeApply => &[
            ("unsigned int context_idx", 8, 4),
            ("unsigned int scheme_idx", 12, 4),
            ("unsigned long target_idx", 16, 8),
            ("unsigned long start", 24, 8),
            ("unsigned long end", 32, 8),
            ("unsigned int nr_accesses", 40, 4),
            ("unsigned int age", 44, 4),
            ("unsigned int nr_regions", 48, 4),
        ],
        EventKind::IntervalsTuned => &[("unsigned long sample_us", 8, 8)],
        EventKind::EffectiveQuota => &[
            ("unsigned int context_idx", 8, 4),
            ("unsigned int scheme_idx", 12, 4),
            ("unsigned long esz", 16, 8),
        ],
        EventKind::SchemeStat => &[
            ("unsigned int context_idx", 8, 4),
            ("unsigned int scheme_idx", 12, 4),
            ("unsigned long nr_tried", 16, 8),
            ("unsigned long sz_tried", 24, 8),
            ("unsigned long nr_applied", 32, 8),
            ("unsigned long sz_applied", 40, 8),
            ("unsigned long sz_ops_filter_passed", 48, 8),
            ("unsigned long qt_exceeds", 56, 8),
            ("unsigned long nr_snapshots", 64, 8),
        ],
    }
}

/// The `format` file of a kind of event.
pub fn format(kind: EventKind) -> String {
    let mut text = format!("name: {}\nID: {}\nformat:\n", kind.tracepoint(), id(kind));
    let header = [
        ("unsigned short common_type", 0, 2),
        ("unsigned char common_flags", 2, 1),
        ("unsigned char common_preempt_count", 3, 1),
        ("int common_pid", 4, 4),
    ];
    for (name, offset, size) in header.iter().chain(fields(kind)) {
        let signed = i32::from(name.starts_with("int"));
        let _infallible =
            writeln!(text, "\tfield:{name};\toffset:{offset};\tsize:{size};\tsigned:{signed};");
    }
    text.push_str("\nprint fmt: \"\"\n");
    text
}

/// A decoder that knows all kinds.
pub fn decoder() -> Decoder {
    let mut decoder = Decoder::default();
    for kind in EventKind::ALL {
        if let Ok(format) = Format::parse(format(kind).as_bytes()) {
            let _known = decoder.learn(kind, &format);
        }
    }
    decoder
}

/// The bytes of an event of a thread, into a buffer that is emptied first.
pub fn raw(thread: i32, event: &Event, bytes: &mut Vec<u8>) {
    bytes.clear();
    let header = |bytes: &mut Vec<u8>, kind| {
        let id = u16::try_from(id(kind)).unwrap_or(0);
        bytes.extend_from_slice(&id.to_ne_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&thread.to_ne_bytes());
    };
    match *event {
        Event::Aggregated { target, nr_regions, region, .. } => {
            header(bytes, EventKind::Aggregated);
            bytes.extend_from_slice(&target.to_ne_bytes());
            bytes.extend_from_slice(&nr_regions.to_ne_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&region.start.to_ne_bytes());
            bytes.extend_from_slice(&region.end.to_ne_bytes());
            bytes.extend_from_slice(&region.nr_accesses.to_ne_bytes());
            bytes.extend_from_slice(&region.age.to_ne_bytes());
        }
        Event::BeforeApply { scheme, target, region, nr_regions } => {
            header(bytes, EventKind::BeforeApply);
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&scheme.to_ne_bytes());
            bytes.extend_from_slice(&target.to_ne_bytes());
            bytes.extend_from_slice(&region.start.to_ne_bytes());
            bytes.extend_from_slice(&region.end.to_ne_bytes());
            bytes.extend_from_slice(&region.nr_accesses.to_ne_bytes());
            bytes.extend_from_slice(&region.age.to_ne_bytes());
            bytes.extend_from_slice(&nr_regions.to_ne_bytes());
        }
        Event::IntervalsTuned { sample_us } => {
            header(bytes, EventKind::IntervalsTuned);
            bytes.extend_from_slice(&sample_us.to_ne_bytes());
        }
        Event::EffectiveQuota { scheme, bytes: quota } => {
            header(bytes, EventKind::EffectiveQuota);
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&scheme.to_ne_bytes());
            bytes.extend_from_slice(&quota.to_ne_bytes());
        }
        Event::SchemeStat { scheme, stats } => {
            header(bytes, EventKind::SchemeStat);
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&scheme.to_ne_bytes());
            let tried = [stats.nr_tried, stats.sz_tried, stats.nr_applied, stats.sz_applied];
            let more = [stats.sz_ops_filter_passed, stats.qt_exceeds, stats.nr_snapshots];
            for count in tried.into_iter().chain(more) {
                bytes.extend_from_slice(&count.to_ne_bytes());
            }
        }
    }
}
