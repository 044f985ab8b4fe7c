//! Recordings of a small program in two versions, and readers of what is said about them.

use crate::common::{self, BEGIN, HEAP, LIBRARY, MIB, SECOND};
use damon_format::{
    Finished, Mapping, MappingsChanged, MemorySample, Permissions, Record, Region, Sampling,
    Snapshot, TargetExited, TargetId,
};
use serde_json::Value;

/// Where the buffer of the program is.
const BUFFER: u64 = 0x7ffe_0000_0000;
const HEAP_SIZE: u64 = 64 * MIB;
const LIBRARY_SIZE: u64 = 4 * MIB;

/// A program: a heap whose begin is hot, a library, and perhaps a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) library: &'static str,
    pub(crate) library_rate: u32,
    pub(crate) hot_mib: u64,
    /// 0 for none.
    pub(crate) buffer_mib: u64,
    pub(crate) snapshots: u64,
    /// How it ended, where the recorder saw it.
    pub(crate) wait_status: Option<i32>,
    pub(crate) seed: u64,
}

pub(crate) const WORK: Program = Program {
    name: "work",
    library: "/usr/lib/libwork.so.1",
    library_rate: 1,
    hot_mib: 24,
    buffer_mib: 0,
    snapshots: 100,
    wait_status: None,
    seed: 0,
};

impl Program {
    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// 16 to 20 of 20, as if by chance.
    fn hot(self, i: u64) -> u32 {
        let mut x = (self.seed << 20 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        16 + u32::try_from((x >> 40) % 5).unwrap()
    }

    /// A snapshot each 100 ms, everything at other addresses for each seed.
    pub(crate) fn recording(self) -> Vec<u8> {
        let heap = HEAP + self.seed % 16 * 16 * MIB;
        let library = LIBRARY + self.seed % 7 * 8 * MIB;
        let buffer = BUFFER + self.seed % 5 * 32 * MIB;
        let mut writer = common::writer(&common::info());
        writer.record(&common::started(0, 4711, self.name)).unwrap();
        let mapping = |start: u64, size: u64, name: &str| Mapping {
            start,
            end: start + size,
            permissions: Permissions { read: true, ..Permissions::default() },
            offset: 0,
            inode: 0,
            name: name.into(),
        };
        let mut added =
            vec![mapping(heap, HEAP_SIZE, "[heap]"), mapping(library, LIBRARY_SIZE, self.library)];
        let buffer_size = self.buffer_mib * MIB;
        if buffer_size > 0 {
            added.push(mapping(buffer, buffer_size, ""));
        }
        added.sort_by_key(|mapping| mapping.start);
        let change =
            MappingsChanged { target: TargetId(0), time_ns: BEGIN, removed: vec![], added };
        writer.record(&Record::MappingsChanged(change)).unwrap();
        let step = SECOND / 10;
        for i in 0..self.snapshots {
            let region = |start, size, nr_accesses| Region {
                start,
                end: start + size,
                nr_accesses,
                age: u32::try_from(i % 40).unwrap(),
            };
            let hot = self.hot_mib * MIB;
            let mut regions = vec![
                region(heap, hot, self.hot(i)),
                region(heap + hot, HEAP_SIZE - hot, 0),
                region(library, LIBRARY_SIZE, self.library_rate),
            ];
            if buffer_size > 0 {
                regions.push(region(buffer, buffer_size, 0));
            }
            regions.sort_by_key(|region| region.start);
            let (start, sampling) = (BEGIN + i * step, Sampling::from_intervals(5_000, 100_000));
            let snapshot = Snapshot::new(TargetId(0), start, start + step, sampling, regions);
            writer.snapshot(&snapshot).unwrap();
            if i % 10 == 0 {
                let memory = MemorySample {
                    target: TargetId(0),
                    time_ns: start,
                    rss: (40 + self.seed % 2) * MIB + buffer_size,
                    swap: 0,
                    virtual_size: 200 * MIB,
                    minor_faults: 100,
                    major_faults: 0,
                };
                writer.record(&Record::Memory(memory)).unwrap();
            }
        }
        if self.wait_status.is_some() {
            let (time_ns, wait_status) = (BEGIN + self.snapshots * step, self.wait_status);
            let exited = TargetExited { target: TargetId(0), time_ns, wait_status };
            writer.record(&Record::TargetExited(exited)).unwrap();
        }
        let finished = Finished {
            time_ns: BEGIN + self.snapshots * step,
            reason: "the target exited".into(),
            recorder_cpu_us: 50_000,
        };
        writer.record(&Record::Finished(finished)).unwrap();
        writer.finish().unwrap()
    }
}

/// Fails unless it is well-formed XML, of the kind without comments, CDATA and processing instructions after the first
/// line.
pub(crate) fn well_formed(xml: &str) {
    let allowed = |c: char| c == '\n' || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    assert!(xml.chars().all(allowed), "a character that XML cannot hold: {xml:?}");
    let text = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let mut open: Vec<&str> = Vec::new();
    let mut roots = 0;
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('<') {
        content(before);
        assert!(!open.is_empty() || before.trim().is_empty(), "text outside: {before}");
        let (tag, after) = behind.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{tag}");
        self::attributes(attributes);
        roots += usize::from(open.is_empty());
        if !closed {
            open.push(name);
        }
    }
    assert!(open.is_empty() && roots == 1 && rest.trim().is_empty(), "{open:?} {roots} {rest}");
}

fn attributes(text: &str) {
    let mut known = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"").unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
        assert!(!known.contains(&name), "{name} twice");
        known.push(name);
        let (value, after) = behind.split_once('"').unwrap();
        content(value);
        rest = after.trim_start();
    }
}

/// Every ampersand begins one of the five entities.
fn content(text: &str) {
    for part in text.split('&').skip(1) {
        let entities = ["amp;", "lt;", "gt;", "quot;", "apos;"];
        assert!(entities.iter().any(|entity| part.starts_with(entity)), "&{part}");
    }
}

/// Where a value is not as a schema says. Knows the words that our schemas use, and refuses others.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "$", &mut found);
    found
}

/// Words that are met elsewhere, or whose condition holds.
const KNOWN: [&str; 12] = [
    "$schema",
    "title",
    "description",
    "$defs",
    "$ref",
    "properties",
    "items",
    "additionalProperties",
    "const",
    "enum",
    "minimum",
    "maximum",
];

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let mut wrong = |what: String| found.push(format!("{at}: {what}"));
    for (word, says) in schema.as_object().unwrap() {
        match word.as_str() {
            "type" => {
                let names: Vec<&str> = match says {
                    Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                    one => vec![one.as_str().unwrap()],
                };
                if !names.iter().any(|name| is(name, value)) {
                    wrong(format!("{value} is not of {names:?}"));
                }
            }
            "const" if says != value => wrong(format!("{value} is not {says}")),
            "enum" if !says.as_array().unwrap().contains(value) => {
                wrong(format!("{value} is none of {says}"));
            }
            "minimum" if value.as_f64() < says.as_f64() => wrong(format!("{value} below {says}")),
            "maximum" if value.as_f64() > says.as_f64() => wrong(format!("{value} above {says}")),
            "required" => {
                for name in says.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if value.as_object().is_some_and(|object| !object.contains_key(name)) {
                        wrong(format!("{name} is missing"));
                    }
                }
            }
            other => assert!(KNOWN.contains(&other), "the schema has a word unknown here: {other}"),
        }
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(name.strip_prefix('#').unwrap()).unwrap();
        check(root, target, value, at, found);
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            check(root, items, item, &format!("{at}[{index}]"), found);
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (
            schema.get("properties").and_then(|p| p.get(name)),
            schema.get("additionalProperties"),
        ) {
            (Some(known), _) => check(root, known, value, &at, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: is not in the schema")),
            (None, Some(any)) if any.is_object() => check(root, any, value, &at, found),
            _ => {}
        }
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}
