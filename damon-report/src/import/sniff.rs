//! What an input is, by its first bytes.

use super::damo_record;
use damon_format::layout::FILE_MAGIC;
use serde::Serialize;

/// Bytes that are enough to tell.
pub const SNIFFED: usize = 1 << 16;

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This project's trace.
    Trace,
    /// damo's `json`.
    DamoJson,
    /// damo's `json_compressed`.
    DamoJsonCompressed,
    /// damo's `record`, the binary format before damo 2.0.2.
    DamoRecord,
    /// Text of `perf script` or `trace-cmd report`.
    TraceText,
    /// `perf.data` of `perf record`.
    PerfData,
    /// `trace.dat` of `trace-cmd record`.
    TraceCmdData,
    /// None of these.
    Unknown,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "a trace",
            Self::DamoJson => "damo's json",
            Self::DamoJsonCompressed => "damo's json_compressed",
            Self::DamoRecord => "damo's binary record",
            Self::TraceText => "text of perf script or trace-cmd report",
            Self::PerfData => "perf.data",
            Self::TraceCmdData => "trace-cmd's trace.dat",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it has to be imported before it can be worked with.
    pub fn is_foreign(self) -> bool {
        !matches!(self, Self::Trace | Self::Unknown)
    }
}

/// Tells the kind of an input from its first bytes, [`SNIFFED`] of them or all there are.
pub fn sniff(begin: &[u8]) -> Kind {
    if begin.starts_with(&FILE_MAGIC) {
        return Kind::Trace;
    }
    if let [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] = begin {
        return Kind::DamoJsonCompressed;
    }
    if begin.starts_with(damo_record::MARK) {
        return Kind::DamoRecord;
    }
    if begin.starts_with(b"PERFILE2") || begin.starts_with(b"2ELIFREP") {
        return Kind::PerfData;
    }
    if begin.starts_with(b"\x17\x08\x44tracing") {
        return Kind::TraceCmdData;
    }
    if begin.trim_ascii_start().first() == Some(&b'[') {
        // A trace's text may begin with a list's bracket too: `[001] …`.
        return if has_events(begin) { Kind::TraceText } else { Kind::DamoJson };
    }
    if has_events(begin) {
        return Kind::TraceText;
    }
    if damo_record::begins_plausibly(begin) {
        return Kind::DamoRecord;
    }
    Kind::Unknown
}

fn has_events(begin: &[u8]) -> bool {
    // The heads of ftrace's and trace-cmd's text, behind which DAMON's first event may be far away.
    let heads = [b"# tracer:".as_slice(), b"cpus=", b"damo_report_trace_output_format_version"];
    let events =
        [b"damon_aggregated:".as_slice(), b"damos_before_apply:", b"damon:damon", b"damon:damos"];
    heads.iter().any(|head| begin.starts_with(head))
        || events.iter().any(|event| memchr::memmem::find(begin, event).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        let cases: [(&[u8], Kind); 14] = [
            (&FILE_MAGIC, Kind::Trace),
            (b"\x78\x9c\xed\xbd", Kind::DamoJsonCompressed),
            (b"\x78\xda", Kind::DamoJsonCompressed),
            (b" \r\n\t[\n    {", Kind::DamoJson),
            (b"[]", Kind::DamoJson),
            (b"damon_recfmt_ver\x02\0\0\0", Kind::DamoRecord),
            (b"PERFILE2\x68", Kind::PerfData),
            (b"\x17\x08\x44tracing6\0", Kind::TraceCmdData),
            (b"kdamond.0  9 [001]  12.5: damon:damon_aggregated: target_id=0", Kind::TraceText),
            (b"[001] 12.5: damon_aggregated: target_id=0 nr_regions=1 0-1: 0", Kind::TraceText),
            (b"", Kind::Unknown),
            (b"\x78", Kind::Unknown),
            (b"hello\n", Kind::Unknown),
            (&[0; 100], Kind::Unknown),
        ];
        for (begin, kind) in cases {
            assert_eq!(sniff(begin), kind, "{}", begin.escape_ascii());
        }
    }
}
