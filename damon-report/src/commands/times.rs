//! `times`: when memory was accessed in a certain way.

use super::output::{Document, Head, json};
use super::picture::{subtitle, title};
use super::screen::table_width;
use super::table::{Align, Table};
use super::words::{bytes, clean, duration, moment, percent};
use super::{Streams, check, open};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::pattern::{Bounds, Pattern};
use crate::analysis::times::{Times, times};
use crate::analysis::view::View;
use crate::cli::{Format, TimesArgs};
use crate::exit::Failure;
use serde::Serialize;
use std::io::{self, Write};

pub(super) fn run(args: &TimesArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let pattern = check(args.pattern.pattern())?;
    let (trace, view) = open(&args.file, &args.part, streams)?;
    let found = times(&trace, &view, &pattern, args.min_bytes.0);
    match args.format {
        Format::Text => Ok(text(streams.out, (&trace, &view), &found, table_width(args.columns))?),
        Format::Csv => Ok(csv(streams.out, &found)?),
        Format::Json => {
            let body = Body { origin_ns: view.origin_ns, found };
            json(streams, &Document { head: Head::of("times", &trace, &view), body })
        }
    }
}

#[derive(Serialize)]
struct Body {
    origin_ns: u64,
    #[serde(flatten)]
    found: Times,
}

/// The pattern in words.
fn words(pattern: &Pattern) -> String {
    fn bound<T: Copy>(
        name: &str,
        bounds: &Bounds<T>,
        word: impl Fn(T) -> String,
    ) -> Option<String> {
        match (bounds.min, bounds.max) {
            (None, None) => None,
            (Some(min), None) => Some(format!("{name} from {}", word(min))),
            (None, Some(max)) => Some(format!("{name} up to {}", word(max))),
            (Some(min), Some(max)) => Some(format!("{name} {} .. {}", word(min), word(max))),
        }
    }
    let parts = [
        bound("size", &pattern.size, |size| bytes(float(size))),
        bound("rate", &pattern.rate, |rate| format!("{} %", percent(rate))),
        bound("age", &pattern.age_ns, |age| duration(float(age))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "any".to_owned() } else { parts.join(", ") }
}

fn text(
    out: &mut dyn Write,
    (trace, view): (&Trace, &View),
    found: &Times,
    width: Option<usize>,
) -> io::Result<()> {
    writeln!(out, "{}", clean(&title(view)))?;
    writeln!(out, "{}", subtitle(trace, view))?;
    let least = bytes(float(found.min_bytes.max(1)));
    writeln!(out, "at least {least} in regions of this pattern: {}", words(&found.pattern))?;
    writeln!(out)?;
    let mut table = Table::new(&[
        ("from", Align::Right),
        ("", Align::Left),
        ("to", Align::Right),
        ("for", Align::Right),
        ("bytes", Align::Right),
        ("", Align::Left),
        ("", Align::Right),
    ]);
    for interval in &found.intervals {
        let lasted = interval.end_ns.saturating_sub(interval.start_ns);
        let (least, most) = (bytes(float(interval.least)), bytes(float(interval.most)));
        let same = interval.least == interval.most;
        table.row(vec![
            moment(interval.start_ns, view.origin_ns),
            "..".to_owned(),
            moment(interval.end_ns, view.origin_ns),
            duration(float(lasted)),
            least,
            if same { String::new() } else { "..".to_owned() },
            if same { String::new() } else { most },
        ]);
    }
    if found.intervals.is_empty() {
        writeln!(out, "never")?;
    } else {
        table.write_within(out, width)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "true for {} of {}: {} % of the time",
        duration(float(found.matched_ns)),
        duration(float(found.observed_ns)),
        percent(found.share)
    )
}

fn csv(out: &mut dyn Write, found: &Times) -> io::Result<()> {
    writeln!(out, "start_ns,end_ns,least_bytes,most_bytes")?;
    for i in &found.intervals {
        writeln!(out, "{},{},{},{}", i.start_ns, i.end_ns, i.least, i.most)?;
    }
    Ok(())
}
