//! The side files' contents.

use crate::import::SourceTarget;
use crate::import::number::Quantity;
use damon_format::{Attrs, Mapping, Permissions, TargetKind};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// Ends of the names of the files that are read.
pub const SUFFIXES: [&str; 4] = [".kdamonds", ".mem_footprint", ".vmas", ".proc_stats"];

/// damo counts memory of processes in pages of this size.
const PAGE: u64 = 4096;
/// One sample a second for days is smaller than this; larger files are not read.
const LARGEST: u64 = 256 << 20;
/// Clock ticks in which Linux tells CPU times, microseconds.
const TICK_US: u64 = 10_000;

/// What was found beside a recording. Files that are not there leave their part empty; those that cannot be read
/// leave a note.
#[derive(Clone, Debug, Default)]
pub struct SideFiles {
    /// Update interval and limits of regions; intervals are those of the configuration.
    pub(super) attrs: Option<Attrs>,
    targets: Vec<Configured>,
    /// Pids of monitoring threads.
    pub(super) kdamonds: Vec<u64>,
    /// Schemes in damo's JSON, in their order.
    pub(super) schemes: Vec<String>,
    pub(super) footprints: Vec<(u64, Sample)>,
    pub(super) mappings: Vec<Look>,
    pub(super) stats: Vec<(u64, ProcessStat)>,
    pub(super) notes: Vec<String>,
}

/// A target as it was configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Configured {
    kdamond: u64,
    context: u64,
    target: u64,
    pub(super) kind: TargetKind,
    pub(super) pid: Option<u64>,
}

/// A look at all mappings of a process. They are told every second and nearly always the same: those that follow one another
/// in the file share the list. Each look is kept, because only in the order of time is it known what was so before.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) time_ns: u64,
    pub(super) pid: u64,
    pub(super) all: Arc<[Mapping]>,
}

/// One sample of memory, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    Process { pid: u64, size: u64, resident: u64 },
    Machine { total: u64, free: u64, available: u64 },
}

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) pid: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) cpu_us: u64,
}

impl SideFiles {
    /// Reads what is beside a recording.
    pub fn read(recording: &Path) -> Self {
        let mut found = Self::default();
        let mut read = Vec::new();
        for suffix in SUFFIXES {
            let mut path = OsString::from(recording);
            path.push(suffix);
            let taken = load(Path::new(&path)).and_then(|file| match file {
                Some(file) => Ok(found.add(suffix, file).map(|()| true)?),
                None => Ok(false),
            });
            match taken {
                Ok(true) => read.push(suffix),
                Ok(false) => {}
                Err(error) => found
                    .notes
                    .push(format!("the file {suffix} beside the recording was left out: {error}")),
            }
        }
        if !read.is_empty() {
            found.notes.push(format!("files beside the recording were used: {}", read.join(", ")));
        }
        found
    }

    /// Adds the content of a file whose name ends like this; one of [`SUFFIXES`]. Of a file that cannot be read to its end
    /// nothing is added.
    pub fn add(&mut self, suffix: &str, input: impl Read) -> Result<(), serde_json::Error> {
        let mut found = Self::default();
        let (mut kdamond, mut lists) = (0, BTreeMap::new());
        each(input, |member| match suffix {
            ".kdamonds" => {
                found.take_kdamond(kdamond, member);
                kdamond = kdamond.saturating_add(1);
            }
            ".mem_footprint" => found.take_footprints(member),
            ".vmas" => found.take_mappings(member, &mut lists),
            ".proc_stats" => found.take_stats(member),
            _ => {}
        })?;
        self.attrs = self.attrs.or(found.attrs);
        self.targets.append(&mut found.targets);
        self.kdamonds.append(&mut found.kdamonds);
        self.schemes.append(&mut found.schemes);
        self.footprints.append(&mut found.footprints);
        self.mappings.append(&mut found.mappings);
        self.stats.append(&mut found.stats);
        self.footprints.sort_by_key(|(time, _)| *time);
        self.mappings.sort_by_key(|look| look.time_ns);
        self.stats.sort_by_key(|(time, _)| *time);
        Ok(())
    }

    /// The latest time of any sample.
    pub(super) fn last_ns(&self) -> Option<u64> {
        let times = [
            self.footprints.last().map(|(time, _)| *time),
            self.mappings.last().map(|look| look.time_ns),
            self.stats.last().map(|(time, _)| *time),
        ];
        times.into_iter().flatten().max()
    }

    /// The configuration of a target: by its numbers, or because there is only one.
    pub(super) fn target(&self, named: &SourceTarget) -> Option<&Configured> {
        let here = |one: &&Configured| (one.kdamond, one.context) == (named.kdamond, named.context);
        let same = |one: &&Configured| {
            named.target.is_some_and(|id| id == one.target || Some(id) == one.pid)
        };
        let found = self.targets.iter().filter(here).find(same);
        found.or_else(|| self.targets.first().filter(|_| self.targets.len() == 1))
    }

    fn take_kdamond(&mut self, kdamond: u64, thread: &Value) {
        self.kdamonds.extend(number(thread.get("pid"), Quantity::Count));
        for (context, ctx) in (0..).zip(members(thread, "contexts")) {
            let ops = ctx.get("ops").and_then(Value::as_str).unwrap_or_default();
            let physical = ops == "paddr";
            let kind = if physical { TargetKind::Physical } else { TargetKind::Process };
            if self.attrs.is_none() {
                self.attrs = attrs(ctx);
            }
            for (target, one) in (0..).zip(members(ctx, "targets")) {
                let pid = number(one.get("pid"), Quantity::Count).filter(|pid| *pid > 0);
                self.targets.push(Configured { kdamond, context, target, kind, pid });
            }
            self.schemes.extend(members(ctx, "schemes").map(Value::to_string));
        }
    }

    fn take_footprints(&mut self, moment: &Value) {
        let Some(time) = time(moment) else { return };
        for one in members(moment, "footprints") {
            let Some(footprint) = one.get("footprint") else {
                continue;
            };
            let of = |name, unit: u64| {
                let value = number(footprint.get(name), Quantity::Count).unwrap_or(0);
                value.saturating_mul(unit)
            };
            let sample = match number(one.get("pid"), Quantity::Count) {
                Some(pid) => {
                    Sample::Process { pid, size: of("size", PAGE), resident: of("resident", PAGE) }
                }
                None => Sample::Machine {
                    total: of("total", 1024),
                    free: of("free", 1024),
                    available: of("available", 1024),
                },
            };
            self.footprints.push((time, sample));
        }
    }

    /// `lists` are the latest ones of each process.
    fn take_mappings(&mut self, moment: &Value, lists: &mut BTreeMap<u64, Arc<[Mapping]>>) {
        let Some(time_ns) = time(moment) else { return };
        for process in members(moment, "procvmas") {
            let Some(pid) = number(process.get("pid"), Quantity::Count) else {
                continue;
            };
            let mappings: Vec<Mapping> = members(process, "vmas").filter_map(mapping).collect();
            let same = lists.get(&pid).filter(|known| ***known == *mappings);
            let all = same.map_or_else(|| mappings.into(), Arc::clone);
            lists.insert(pid, Arc::clone(&all));
            self.mappings.push(Look { time_ns, pid, all });
        }
    }

    fn take_stats(&mut self, moment: &Value) {
        if let Some(time) = time(moment) {
            let stats = members(moment, "proc_stats").filter_map(stat);
            self.stats.extend(stats.map(|stat| (time, stat)));
        }
    }
}

/// `None` when there is no such file.
fn load(path: &Path) -> io::Result<Option<impl Read>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(io::Error::other("it is no file, or larger than 256 MiB"));
    }
    Ok(Some(BufReader::new(file.take(LARGEST))))
}

/// Hands the members of a list over, one after the other: only one of them is in memory.
fn each(input: impl Read, take: impl FnMut(&Value)) -> Result<(), serde_json::Error> {
    struct Members<F>(F);

    impl<'de, F: FnMut(&Value)> Visitor<'de> for Members<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
            while let Some(member) = list.next_element::<Value>()? {
                (self.0)(&member);
            }
            Ok(())
        }
    }

    let mut from = serde_json::Deserializer::from_reader(input);
    from.deserialize_seq(Members(take))?;
    from.end()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).into_iter().flat_map(list)
}

/// A JSON number, or a text that is one.
fn number(value: Option<&Value>, quantity: Quantity) -> Option<u64> {
    match value? {
        Value::Number(number) => quantity.parse(number.to_string().as_bytes()),
        Value::String(text) => quantity.parse(text.trim().as_bytes()),
        _ => None,
    }
}

/// Seconds since the epoch with a fraction.
fn time(moment: &Value) -> Option<u64> {
    let text = moment.get("time")?.as_number()?.to_string();
    Quantity::Nanoseconds.parse(format!("{text} s").as_bytes())
}

fn attrs(context: &Value) -> Option<Attrs> {
    let intervals = context.get("intervals")?;
    let of = |name| number(intervals.get(name), Quantity::Microseconds).unwrap_or(0);
    let limit = |name| {
        let limits = context.get("nr_regions");
        let value = number(limits.and_then(|limits| limits.get(name)), Quantity::Count);
        u32::try_from(value.unwrap_or(0)).unwrap_or(u32::MAX)
    };
    Some(Attrs {
        sample_us: of("sample_us"),
        aggr_us: of("aggr_us"),
        update_us: of("ops_update_us"),
        min_nr_regions: limit("min"),
        max_nr_regions: limit("max"),
    })
}

fn mapping(value: &Value) -> Option<Mapping> {
    let start = number(value.get("start"), Quantity::Size)?;
    let end = number(value.get("end"), Quantity::Size).filter(|end| *end > start)?;
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
    // damo takes the last word of the line; where there is no name, that is the inode.
    let no_name = name.bytes().all(|byte| byte.is_ascii_digit());
    let name = if no_name { String::new() } else { name.to_owned() };
    Some(Mapping { start, end, permissions: Permissions::default(), offset: 0, inode: 0, name })
}

/// The words of `/proc/PID/stat`; a command name with spaces in it takes several.
fn stat(value: &Value) -> Option<ProcessStat> {
    let fields: Vec<&str> = members(value, "fields").map(|f| f.as_str().unwrap_or("")).collect();
    let name_ends = fields.iter().rposition(|field| field.ends_with(')'))?;
    // By the numbers of proc(5), of which 2 is the name.
    let field = |index: usize| -> Option<u64> {
        fields.get(name_ends.checked_add(index)?.checked_sub(2)?)?.parse().ok()
    };
    let ticks = field(14)?.saturating_add(field(15)?);
    Some(ProcessStat {
        pid: fields.first()?.parse().ok()?,
        minor_faults: field(10)?,
        major_faults: field(12)?,
        cpu_us: ticks.saturating_mul(TICK_US),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_shifts_nothing() {
        let line = "4711 (my prog) S 1 1 1 0 -1 4194304 120 0 7 0 30 12 0 0 20 0 1 0 99 1000 10";
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = stat(&serde_json::json!({ "fields": fields })).unwrap();
        let expected =
            ProcessStat { pid: 4711, minor_faults: 120, major_faults: 7, cpu_us: 420_000 };
        assert_eq!(found, expected);
        assert_eq!(stat(&serde_json::json!({ "fields": null })), None);
        assert_eq!(stat(&serde_json::json!({ "fields": ["1", "(a)", "S"] })), None);
    }
}
