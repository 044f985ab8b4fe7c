//! `mappings`: how the memory of each mapping was used.

use super::output::{Document, Head, json};
use super::picture::{PictureFile, subtitle, title};
use super::screen::table_width;
use super::table::{Align, Table};
use super::words::{bytes, clean, duration};
use super::wss::resident;
use super::{Streams, open};
use crate::analysis::load::Trace;
use crate::analysis::mapping_use::{GroupUse, MappingUse, MemoryUse, UseOptions};
use crate::analysis::num::float;
use crate::analysis::view::View;
use crate::cli::{Format, MappingSort, MappingsArgs};
use crate::exit::Failure;
use crate::render::mapping_bars::{Bar, Picture, mappings_png, mappings_svg};
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &MappingsArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let (trace, view) = open(&args.file, &args.part, streams)?;
    let options =
        UseOptions { threshold: args.threshold, idle_ns: args.idle, group_by: args.group.into() };
    let mut all = view.mapping_use(&trace, options);
    if args.sort == MappingSort::Idle && all.total.idle.is_none() {
        return Err(Failure::Input(format!(
            "{}: idle bytes are not known: the recording holds no ages; sort by something else",
            trace.name()
        )));
    }
    sort(&mut all.groups, args.sort);
    let shown = args.top.unwrap_or(usize::MAX).min(all.groups.len());
    if let Some(file) = file {
        let (title, subtitle) = (title(&view), subtitle(&trace, &view));
        let idle = format!("idle for {}", duration(float(all.idle_ns)));
        let bars: Vec<Bar> = all.groups.iter().take(shown).map(bar).collect();
        let picture = Picture {
            title: &title,
            subtitle: &subtitle,
            idle: &idle,
            bars: &bars,
            others: all.groups.len() - shown,
        };
        return file.put(&picture, mappings_png, mappings_svg, streams);
    }
    match args.format {
        Format::Text => {
            Ok(text(streams.out, (&trace, &view), &all, shown, table_width(args.columns))?)
        }
        Format::Csv => Ok(csv(streams.out, &all, shown)?),
        Format::Json => {
            let others = all.groups.split_off(shown);
            let head = Head::of("mappings", &trace, &view);
            json(
                streams,
                &Document {
                    head,
                    body: Body {
                        origin_ns: view.origin_ns,
                        used: &all,
                        groups_left_out: others.len(),
                    },
                },
            )
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    /// Zero of relative times.
    origin_ns: u64,
    #[serde(flatten)]
    used: &'a MappingUse,
    groups_left_out: usize,
}

fn bar(group: &GroupUse) -> Bar {
    Bar {
        name: clean(&group.label),
        size: group.used.size,
        touched: group.used.touched,
        expected: group.used.expected,
        idle: group.used.idle,
    }
}

/// Groups come hottest first, and stay so where they are equal.
fn sort(groups: &mut [GroupUse], by: MappingSort) {
    let greatest = |value: &dyn Fn(&MemoryUse) -> f64, groups: &mut [GroupUse]| {
        groups.sort_by(|a, b| value(&b.used).total_cmp(&value(&a.used)));
    };
    match by {
        MappingSort::Heat => {}
        MappingSort::Rate => greatest(&|u| u.rate, groups),
        MappingSort::Size => greatest(&|u| u.size, groups),
        MappingSort::Touched => greatest(&|u| u.touched, groups),
        MappingSort::Expected => greatest(&|u| u.expected, groups),
        MappingSort::Idle => greatest(&|u| u.idle.unwrap_or(0.0), groups),
        MappingSort::Name => groups.sort_by(|a, b| a.group.cmp(&b.group)),
    }
}

fn text(
    out: &mut dyn Write,
    (trace, view): (&Trace, &View),
    all: &MappingUse,
    shown: usize,
    width: Option<usize>,
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    writeln!(
        out,
        "size, touched, expected, idle: means over the time (max: of one target at one moment)"
    )?;
    writeln!(out, "touched: upper estimate; expected: lower estimate, size x access rate")?;
    writeln!(out)?;
    let idle = format!("idle {}", duration(float(all.idle_ns)));
    let mut table = Table::new(&[
        ("heat", Align::Right),
        ("rate", Align::Right),
        ("size", Align::Right),
        ("touched", Align::Right),
        ("max", Align::Right),
        ("expected", Align::Right),
        ("max", Align::Right),
        ("idle", Align::Right),
        ("", Align::Left),
    ]);
    for group in all.groups.iter().take(shown) {
        table.row(line(group.heat_share, &group.used, &group.label));
    }
    let others = all.groups.get(shown..).unwrap_or_default();
    if !others.is_empty() {
        let share = others.iter().map(|g| g.heat_share).sum();
        let mut cells = line(share, &together(others), &format!("{} others", others.len()));
        // Their greatest moments were not the same.
        for index in [4, 6] {
            if let Some(cell) = cells.get_mut(index) {
                cell.clear();
            }
        }
        table.row(cells);
    }
    table.row(line(f64::from(u8::from(all.total.heat > 0.0)), &all.total, "total"));
    table.write_within(out, width)?;
    writeln!(out)?;
    if all.total.idle.is_some() {
        writeln!(out, "{idle}: not accessed for at least that long")?;
    } else {
        writeln!(out, "idle: not known, the recording holds no ages")?;
    }
    if all.groups.iter().take(shown).any(|one| one.group.size_class.is_some()) {
        writeln!(
            out,
            "anonymous SIZE #N: without a name; the Nth of those of SIZE to twice that, from 0"
        )?;
    }
    if !all.has_mappings {
        writeln!(out, "mappings: none were recorded")?;
    }
    resident(out, &all.resident, " in all; how much of each mapping was not recorded")
}

fn together(groups: &[GroupUse]) -> MemoryUse {
    let mut sum = MemoryUse::default();
    for GroupUse { used, .. } in groups {
        sum.heat += used.heat;
        sum.size += used.size;
        sum.touched += used.touched;
        sum.expected += used.expected;
        sum.idle = used.idle.map(|idle| sum.idle.unwrap_or(0.0) + idle);
    }
    sum.rate = if sum.size > 0.0 { sum.expected / sum.size } else { 0.0 };
    sum
}

fn line(share: f64, used: &MemoryUse, label: &str) -> Vec<String> {
    vec![
        format!("{:.1} %", share * 100.0),
        format!("{:.1} %", used.rate * 100.0),
        bytes(used.size),
        bytes(used.touched),
        bytes(float(used.touched_most)),
        bytes(used.expected),
        bytes(used.expected_most),
        used.idle.map_or_else(|| "-".to_owned(), bytes),
        clean(label),
    ]
}

fn csv(out: &mut dyn Write, all: &MappingUse, shown: usize) -> io::Result<()> {
    writeln!(
        out,
        "kind,name,file_start,file_end,size_class,order,heat,heat_share,rate,size,size_most,touched,touched_most,expected,expected_most,idle,label"
    )?;
    let optional = |value: Option<String>| value.unwrap_or_default();
    for GroupUse { label, group, heat_share, used } in all.groups.iter().take(shown) {
        let range = group.file_range;
        writeln!(
            out,
            "{},{},{},{},{},{},{},{heat_share},{},{},{},{},{},{},{},{},{}",
            group.kind.as_str(),
            field(&group.name),
            optional(range.map(|r| r.start.to_string())),
            optional(range.map(|r| r.end.to_string())),
            optional(group.size_class.map(|c| c.to_string())),
            optional(group.order.map(|o| o.to_string())),
            used.heat,
            used.rate,
            used.size,
            used.size_most,
            used.touched,
            used.touched_most,
            used.expected,
            used.expected_most,
            optional(used.idle.map(|idle| idle.to_string())),
            field(label),
        )?;
    }
    Ok(())
}

/// A text as a field of CSV.
fn field(text: &str) -> String {
    let text = clean(text);
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_are_one_field() {
        assert_eq!(field("/a b"), "/a b");
        assert_eq!(field("/a,\"b\"\n"), "\"/a,\"\"b\"\"\\n\"");
    }
}
