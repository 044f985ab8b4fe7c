//! `info`: what was recorded, how, how complete.

use super::Streams;
use super::output::{Document, Head, json};
use super::words::{access, bytes, clean, duration, moment, wall_clock};
use crate::analysis::info::{Info, TargetInfo, ending};
use crate::analysis::kernel::KernelInfo;
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::cli::{InfoArgs, PlainFormat};
use crate::exit::Failure;
use damon_format::damos::{Scheme, Schemes};
use damon_format::{Attrs, Completeness, Lost, Part, RecordingInfo, TargetKind};
use std::io::{self, Write};

pub(super) fn run(args: &InfoArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let trace = Trace::open_watched(&args.file, terminal.reading)?;
    let view = View::with_all_records(&trace, &args.part.query())?;
    terminal.warn(trace.name(), &view.overview.damage);
    let info = Info::new(&trace, &view.overview);
    match args.format {
        PlainFormat::Json => {
            json(terminal, &Document { head: Head::new("info", &trace), body: &info })
        }
        PlainFormat::Text => Ok(text(terminal.out, trace.name(), &info, view.origin_ns)?),
    }
}

fn text(out: &mut dyn Write, name: &str, info: &Info, origin_ns: u64) -> io::Result<()> {
    let recording = &info.recording;
    let backend = &recording.backend;
    let mut line = |key: &str, value: String| writeln!(out, "{key:<12} {}", clean(&value));
    let size = bytes(float(info.bytes));
    match info.imported_from {
        Some(kind) => line("input", format!("{name}, {}; {size} as a trace", kind.name()))?,
        None => line("trace", format!("{name}, {size}"))?,
    }
    if let Some(part) = &info.part {
        line("part", part_line(part, info.snapshots))?;
    }
    line("state", state(info))?;
    line("access", access(backend))?;
    line("why", backend.reason.clone())?;
    match info.began_realtime_ns {
        Some(began) => line("began", wall_clock(began))?,
        None if info.snapshots > 0 => {
            line("began", "unknown: the recording does not tell the wall clock".to_owned())?;
        }
        None => {}
    }
    line("lasted", duration(float(info.end_ns.saturating_sub(info.start_ns))))?;
    line("recorder", format!("{} {}", recording.tool, recording.tool_version))?;
    if !recording.command_line.is_empty() {
        line("command", command_line(&recording.command_line))?;
    }
    line("machine", machine(recording))?;
    line("snapshots", info.snapshots.to_string())?;
    line("region rows", rows(info))?;
    for (index, since) in info.attributes.iter().enumerate() {
        let attrs = intervals(&since.attrs);
        if index == 0 {
            line("intervals", attrs)?;
        } else {
            let when = moment(since.time_ns, origin_ns);
            line("  changed", format!("at {when}: {attrs}; {}", since.reason))?;
        }
    }
    if let Some(aggregation) = info.aggregation {
        line(
            "aggregation",
            format!(
                "{} on average (nominal {}), {} to {}; {:.1} % of the time observed",
                duration(aggregation.real_mean_ns),
                duration(aggregation.nominal_mean_ns),
                duration(float(aggregation.shortest_ns)),
                duration(float(aggregation.longest_ns)),
                aggregation.coverage * 100.0
            ),
        )?;
    }
    line("lost", lost(info))?;
    if let Some(share) = info.recorder_cpu_share {
        line("recorder CPU", format!("{:.2} % of one CPU", share * 100.0))?;
    }
    for (label, text) in kernel(&info.kernel) {
        line(label, text)?;
    }
    for target in &info.targets {
        line("target", target_line(target, origin_ns))?;
        for executed in &target.executed {
            line(
                "  executed",
                format!(
                    "{} ({}) at {}",
                    executed.comm,
                    executed.exe,
                    moment(executed.time_ns, origin_ns)
                ),
            )?;
        }
    }
    for text in losses(&info.lost, origin_ns) {
        line("  lost", text)?;
    }
    for mark in &info.marks {
        line("mark", format!("{} {}", moment(mark.time_ns, origin_ns), mark.text))?;
    }
    for note in &info.notes {
        line("note", format!("{} {}", moment(note.time_ns, origin_ns), note.text))?;
    }
    Ok(())
}

/// Snapshots are counted from 1, as people do.
fn part_line(part: &Part, snapshots: u64) -> String {
    let which = format!("{} of recording {:016x}", part.number, part.recording);
    if snapshots == 0 {
        return format!("{which}, no snapshots, {} before it", part.first_snapshot);
    }
    let first = part.first_snapshot.saturating_add(1);
    let last = part.first_snapshot.saturating_add(snapshots);
    format!("{which}, snapshots {first}..{last}")
}

/// The recordings of other tools do not tell the machine.
fn machine(recording: &RecordingInfo) -> String {
    let RecordingInfo { host, kernel, arch, page_size, .. } = recording;
    let pages = bytes(f64::from(*page_size));
    if host.is_empty() && kernel.is_empty() && arch.is_empty() {
        return format!("unknown; pages of {pages} are assumed");
    }
    format!("{host}, Linux {kernel}, {arch}, pages of {pages}")
}

fn state(info: &Info) -> String {
    match (info.completeness, &info.finished) {
        (Completeness::Complete, Some(finished)) => format!("complete: {}", finished.reason),
        (Completeness::Complete, None) => "complete, without a record of its end".to_owned(),
        (Completeness::Interrupted, _) => {
            "interrupted: complete up to the last second or so before the recorder died".to_owned()
        }
        (Completeness::Damaged, _) => format!(
            "damaged in {} place{}; `damon-report verify` names all",
            info.damage.len(),
            if info.damage.len() == 1 { "" } else { "s" }
        ),
    }
}

fn rows(info: &Info) -> String {
    match info.bytes_per_row {
        Some(per_row) => format!("{}, {per_row:.2} B each", info.rows),
        None => "0".to_owned(),
    }
}

/// What is known of the kernel beside accesses: label and text of each line.
fn kernel(info: &KernelInfo) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(share) = info.kdamond_cpu_share {
        lines.push(("kdamond CPU", format!("{:.2} % of one CPU", share * 100.0)));
    }
    if let Some(memory) = &info.memory {
        let part = |size: u64| bytes(float(size));
        let swap = match memory.swap_total {
            0 => String::new(),
            total => {
                let used = part(memory.swap_used_most);
                format!("; swap used at most {used} of {}", part(total))
            }
        };
        let text = format!(
            "{} in the machine; free {} to {}, available at least {}{swap}",
            part(memory.total),
            part(memory.free_least),
            part(memory.free_most),
            part(memory.available_least)
        );
        lines.push(("memory", text));
    }
    for scheme in &info.schemes {
        let by = if scheme.by.is_empty() { "somebody" } else { &scheme.by };
        let quota = match scheme.effective_quota {
            // A scheme without a quota has none that is effective.
            None | Some(0) => String::new(),
            Some(quota) => format!("; at last {} per quota window", bytes(float(quota))),
        };
        let what = clean(&in_words(&scheme.json));
        lines.push(("scheme", format!("{} by {by}: {what}{quota}", scheme.scheme)));
        if let Some(stats) = &scheme.stats {
            let text = format!(
                "tried {} regions, {}; applied to {} regions, {}; quota exceeded {} times",
                stats.nr_tried,
                bytes(float(stats.sz_tried)),
                stats.nr_applied,
                bytes(float(stats.sz_applied)),
                stats.qt_exceeds
            );
            lines.push(("  did", text));
        }
    }
    lines
}

/// A scheme in words, or as it is recorded where that cannot be read.
fn in_words(json: &str) -> String {
    let one = Schemes::from_json(&format!("[{json}]")).ok();
    let words = one.and_then(|schemes| schemes.as_slice().first().map(Scheme::describe));
    words.unwrap_or_else(|| json.to_owned())
}

/// What is lost again and again is said once: how much in all, and when.
fn losses(all: &[Lost], origin_ns: u64) -> Vec<String> {
    let mut kinds: Vec<(&Lost, u64, u64)> = Vec::new();
    for lost in all {
        let known = kinds
            .iter_mut()
            .find(|(first, ..)| (first.target, &first.what) == (lost.target, &lost.what));
        match known {
            Some((_, count, last_ns)) => {
                *count = count.saturating_add(lost.count);
                *last_ns = lost.time_ns;
            }
            None => kinds.push((lost, lost.count, lost.time_ns)),
        }
    }
    let text = |(first, count, last_ns): (&Lost, u64, u64)| {
        let (from, to) = (moment(first.time_ns, origin_ns), moment(last_ns, origin_ns));
        let when = if from == to { format!("at {from}") } else { format!("from {from} to {to}") };
        format!("{count} {when}: {}", first.what)
    };
    kinds.into_iter().map(text).collect()
}

fn lost(info: &Info) -> String {
    match info.lost_count() {
        0 => "nothing".to_owned(),
        count => format!("{count} snapshots, events or observations"),
    }
}

fn intervals(attrs: &Attrs) -> String {
    let interval = |us: u64| duration(float(us) * 1000.0);
    let (sample, aggr) = (interval(attrs.sample_us), interval(attrs.aggr_us));
    let mut text = format!("sample {sample}, aggregate {aggr}");
    // No monitor has 0 of these: 0 is what the recordings of other tools do not tell.
    if attrs.update_us > 0 {
        text = format!("{text}, update {}", interval(attrs.update_us));
    }
    if attrs.max_nr_regions > 0 {
        let (least, most) = (attrs.min_nr_regions, attrs.max_nr_regions);
        text = format!("{text}; {least} to {most} regions");
    }
    text
}

/// The words as a shell would want them.
fn command_line(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn target_line(target: &TargetInfo, origin_ns: u64) -> String {
    let text = match target.kind {
        Some(TargetKind::Physical) => format!("{}: physical memory", target.target),
        Some(TargetKind::Process) => {
            let TargetInfo { target, pid, comm, exe, .. } = target;
            let mut text = format!("{target}: {comm}");
            if *pid > 0 {
                text = format!("{text}, pid {pid}");
            }
            if !exe.is_empty() {
                text = format!("{text}, {exe}");
            }
            text
        }
        None => format!("{}: unknown (its record cannot be read)", target.target),
    };
    let mut parts = vec![text];
    parts.extend(target.parent.map(|parent| format!("child of target {parent}")));
    if let Some(started) = target.started_ns.filter(|ns| *ns > origin_ns) {
        parts.push(format!("from {}", moment(started, origin_ns)));
    }
    let exited = target.exited_ns;
    parts.extend(exited.map(|exited| format!("until {}", moment(exited, origin_ns))));
    parts.extend(target.wait_status.map(ending));
    let regions = match target.regions {
        Some((least, most)) => format!(
            " of {} regions, {} monitored",
            if least == most { least.to_string() } else { format!("{least} to {most}") },
            bytes(float(target.monitored))
        ),
        None => String::new(),
    };
    format!("{}; {} snapshots{regions}", parts.join(", "), target.snapshots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::TargetId;

    #[test]
    fn command_lines_can_be_pasted() {
        let words = ["a b", "", "it's", "--x=1"].map(str::to_owned);
        assert_eq!(command_line(&words), r"'a b' '' 'it'\''s' --x=1");
    }

    #[test]
    fn what_is_lost_every_second_is_one_line() {
        let lost = |target: u32, second: u64, count, what: &str| Lost {
            target: Some(TargetId(target)),
            time_ns: second * 1_000_000_000,
            count,
            what: what.into(),
        };
        let all = [lost(0, 1, 3, "shared"), lost(1, 2, 5, "shared"), lost(0, 4, 4, "shared")];
        let lines = losses(&all, 0);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("7 from ") && lines[0].ends_with(": shared"), "{lines:?}");
        assert!(lines[1].starts_with("5 at "), "{lines:?}");
    }

    #[test]
    fn a_part_tells_where_it_belongs() {
        let part =
            Part { time_ns: 0, recording: 0xab, number: 3, first_snapshot: 1200, repeated: 0 };
        let line = |snapshots| part_line(&part, snapshots);
        assert_eq!(line(300), "3 of recording 00000000000000ab, snapshots 1201..1500");
        assert_eq!(line(0), "3 of recording 00000000000000ab, no snapshots, 1200 before it");
    }
}
