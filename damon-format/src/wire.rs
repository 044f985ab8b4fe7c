//! Metadata records as bytes: the only file that names bincode.
//!
//! The configuration (little-endian, variable-length integers) is fixed here and described in
//! `docs/FORMAT.md`, so that the bytes outlive the crate. A field order below is a byte order: fields are
//! never reordered or removed; later minor versions may append.

use crate::layout::MAX_RECORD;
use crate::{
    AccessKind, Attrs, Backend, ClockAnchor, EffectiveQuota, Finished, Granularity,
    IntervalsChanged, KdamondCpu, Lost, Mapping, MappingsChanged, Mark, MemorySample, Note, Part,
    Permissions, PressureSample, ProbeColumn, ProbeColumns, ProportionalMemory, Record,
    RecordingInfo, Region, SchemeApplied, SchemeInstalled, SchemeStats, SystemMemory,
    TargetExecuted, TargetExited, TargetId, TargetKind, TargetStarted,
};
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

/// The limit makes a hostile length an error; without it bincode would try to allocate it.
fn config() -> Configuration<LittleEndian, Varint, Limit<MAX_RECORD>> {
    bincode::config::standard().with_limit::<MAX_RECORD>()
}

fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, String> {
    // Bytes after the last known field belong to later minor versions.
    bincode::decode_from_slice(bytes, config()).map(|(value, _used)| value).map_err(explain)
}

/// The crate's own words are those of its types.
fn explain(error: DecodeError) -> String {
    match error {
        DecodeError::LimitExceeded => "it claims more than the format allows".into(),
        DecodeError::UnexpectedEnd { .. } => "it ends early".into(),
        DecodeError::Utf8 { .. } => "a text is not UTF-8".into(),
        DecodeError::Other(why) => why.into(),
        other => other.to_string(),
    }
}

/// Encoded values of this size decode to less than [`MAX_RECORD`], whatever they hold.
const SURELY_READABLE: usize = MAX_RECORD / 64;

fn encode<T: Encode + Decode<()>>(value: &T, out: &mut Vec<u8>) -> Result<(), String> {
    let bytes = bincode::encode_to_vec(value, config()).map_err(|e| e.to_string())?;
    if bytes.len() > SURELY_READABLE {
        // The limit counts what a reader allocates, which is more than what is stored.
        decode::<T>(&bytes)?;
    }
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends the description of a recording.
pub(crate) fn put_info(info: &RecordingInfo, out: &mut Vec<u8>) -> Result<(), String> {
    encode(info, out)
}

/// Reads the description of a recording.
pub(crate) fn get_info(bytes: &[u8]) -> Result<RecordingInfo, String> {
    decode(bytes)
}

/// Fields in the order of their bytes; those after the `;` were appended by later minor versions.
macro_rules! wire_struct {
    ($type:ident { $($field:ident),* $(,)? $(; $($later:ident),* $(,)?)? }) => {
        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                $( self.$field.encode(encoder)?; )*
                $( $( self.$later.encode(encoder)?; )* )?
                Ok(())
            }
        }

        impl<C> Decode<C> for $type {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Ok(Self {
                    $( $field: Decode::decode(decoder)?, )*
                    $( $( $later: appended(decoder)?, )* )?
                })
            }
        }
    };
}

/// A field that earlier minor versions did not write: absent when the record ends before it. Only for the
/// last fields of records, which end where their section does.
fn appended<C, D: Decoder<Context = C>, T: Decode<C>>(
    decoder: &mut D,
) -> Result<Option<T>, DecodeError> {
    match Decode::decode(decoder) {
        Err(DecodeError::UnexpectedEnd { .. }) => Ok(None),
        read => read,
    }
}

/// Variants as single bytes.
macro_rules! wire_enum {
    ($type:ident { $($variant:ident = $byte:literal),* $(,)? }) => {
        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                let byte: u8 = match self { $( Self::$variant => $byte ),* };
                byte.encode(encoder)
            }
        }

        impl<C> Decode<C> for $type {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                match u8::decode(decoder)? {
                    $( $byte => Ok(Self::$variant), )*
                    _ => Err(DecodeError::Other(concat!("unknown ", stringify!($type)))),
                }
            }
        }
    };
}

/// Kinds of records, each with its number in the file.
macro_rules! record_kinds {
    ($($variant:ident = $number:literal),* $(,)?) => {
        /// Appends `record`: its kind's number as a varint, then its fields.
        pub(crate) fn put_record(record: &Record, out: &mut Vec<u8>) -> Result<(), String> {
            match record {
                $( Record::$variant(body) => {
                    crate::varint::put(out, $number);
                    encode(body, out)
                } )*
            }
        }

        /// Reads a record; `None` for a kind of a later version, which may be skipped.
        pub(crate) fn get_record(kind: u64, body: &[u8]) -> Result<Option<Record>, String> {
            match kind {
                $( $number => decode(body).map(|body| Some(Record::$variant(body))), )*
                _ => Ok(None),
            }
        }
    };
}

record_kinds! {
    TargetStarted = 1,
    TargetExecuted = 2,
    TargetExited = 3,
    IntervalsChanged = 4,
    MappingsChanged = 5,
    Memory = 6,
    Pressure = 7,
    Lost = 8,
    SchemeStats = 9,
    Mark = 10,
    Note = 11,
    Finished = 12,
    SystemMemory = 13,
    KdamondCpu = 14,
    SchemeInstalled = 15,
    SchemeApplied = 16,
    Part = 17,
    EffectiveQuota = 18,
    ProbeColumns = 19,
    ProportionalMemory = 20,
}

wire_enum!(AccessKind { ReadWrite = 1, Write = 2 });
wire_enum!(Granularity { Page = 1, Region = 2, Mapping = 3 });
wire_enum!(TargetKind { Process = 1, Physical = 2 });

impl Encode for TargetId {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for TargetId {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Decode::decode(decoder).map(Self)
    }
}

impl Encode for Permissions {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let bits = [self.read, self.write, self.execute, self.shared];
        let byte: u8 = bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        byte.encode(encoder)
    }
}

impl<C> Decode<C> for Permissions {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let byte = u8::decode(decoder)?;
        let bit = |number: u32| byte >> number & 1 != 0;
        Ok(Self { read: bit(0), write: bit(1), execute: bit(2), shared: bit(3) })
    }
}

wire_struct!(Backend { name, access, granularity, exact, reason });
wire_struct!(ClockAnchor { monotonic_ns, realtime_ns });
wire_struct!(Attrs { sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions });
wire_struct!(RecordingInfo {
    tool,
    tool_version,
    host,
    kernel,
    arch,
    page_size,
    clock,
    command_line,
    backend,
    attrs,
});
wire_struct!(TargetStarted { target, time_ns, kind, pid, start_ticks, parent, comm, exe });
wire_struct!(TargetExecuted { target, time_ns, comm, exe });
wire_struct!(TargetExited { target, time_ns, wait_status });
wire_struct!(IntervalsChanged { time_ns, attrs, reason });
wire_struct!(Mapping { start, end, permissions, offset, inode, name });
wire_struct!(MappingsChanged { target, time_ns, removed, added });
wire_struct!(MemorySample { target, time_ns, rss, swap, virtual_size, minor_faults, major_faults });
wire_struct!(PressureSample { time_ns, some_us, full_us });
wire_struct!(Lost { target, time_ns, count, what });
wire_struct!(SchemeStats {
    time_ns,
    scheme,
    nr_tried,
    sz_tried,
    nr_applied,
    sz_applied,
    qt_exceeds;
    sz_ops_filter_passed,
    nr_snapshots,
});
wire_struct!(Mark { time_ns, text });
wire_struct!(Note { time_ns, text });
wire_struct!(Finished { time_ns, reason, recorder_cpu_us });
wire_struct!(SystemMemory { time_ns, total, free, available, swap_total, swap_free });
wire_struct!(KdamondCpu { time_ns, thread, cpu_us });
wire_struct!(SchemeInstalled { time_ns, scheme, json, by });
wire_struct!(Region { start, end, nr_accesses, age });
wire_struct!(SchemeApplied { time_ns, scheme, target, regions });
wire_struct!(Part { time_ns, recording, number, first_snapshot, repeated });
wire_struct!(EffectiveQuota { time_ns, scheme, bytes });
wire_struct!(ProbeColumn { name, unit });
wire_struct!(ProportionalMemory { target, time_ns, pss, swap_pss });
wire_struct!(ProbeColumns { time_ns, target, columns });
