//! Text of trace events, a line each: `perf script`, `trace-cmd report`, ftrace's `trace` file, damo's exporter.
//!
//! These differ in the columns before the event's name, and with their options. So an event is found by its name, its
//! time is the last word before it that is seconds with decimals and a colon, and what stands before that (without the
//! CPU in brackets and the flags after it) tells kdamonds apart. Other lines are passed over.
//!
//! Times without decimals are written by `trace-cmd report` for each clock whose name it does not know, and with `--raw-ts`.
//! They are nanoseconds with `boot`, ticks with `x86-tsc` and `ppc-tb`, numbers of events with `counter`, and the text does not
//! tell which. So they are taken as nanoseconds if aggregations then last as long as they should. ftrace itself writes whole
//! numbers only for clocks that do not count nanoseconds (`counter`, `uptime`, `x86-tsc`, `ppc-tb`).

mod line;
mod lines;
mod number;
mod payload;

use super::events::Telling;
use super::{ImportError, ImportOptions, Position, Sink};
use line::{Found, Parser, Times};
use lines::Lines;
use std::io::Read;

const CLOCK_NOTE: &str = "times are those of the source: seconds of the tracer's clock, usually since boot; wall-clock \
                          times are unknown";

const WHOLE_NOTE: &str = "times are those of the source: whole numbers of the tracer's clock, taken as nanoseconds since aggregations then \
                          last as long as they should; wall-clock times are unknown";

/// Reads a text.
///
/// # Errors
/// [`ImportError::Useless`] if no event of DAMON is in it, [`ImportError::Unexpected`] with the line if none of those
/// that are can be understood or if times go back, [`ImportError::Read`], and whatever the sink returns.
pub fn read(
    input: impl Read,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let mut telling = Telling::new(options, sink);
    let source = telling.source();
    source.format = "the text of trace events";
    source.clock_note = CLOCK_NOTE.into();
    let mut lines = Lines::new(input);
    let mut parser = Parser::default();
    // How many lines of DAMON's events could not be understood, and the first of them.
    let mut puzzles = 0_u64;
    let mut first: Option<(u64, String)> = None;
    let mut understood = false;
    let mut is_ftrace = false;
    loop {
        let number = lines.number() + 1;
        let at = Position::Line(number);
        let Some(line) = lines.next()? else { break };
        match parser.parse(line) {
            Found::Event { time_ns, kdamond, event } => {
                if !understood && parser.times() == Some(Times::Whole) {
                    whole(&mut telling, is_ftrace)?;
                }
                understood = true;
                telling.event(time_ns, kdamond, &event, at)?;
            }
            Found::Nothing => {}
            Found::Puzzle => {
                puzzles += 1;
                first.get_or_insert_with(|| (number, shorten(line, 160)));
            }
            Found::Lost { time_ns, count } => {
                telling.lost(time_ns, count, "the source says that events were lost here")?;
            }
            Found::Header { key: b"tracer", .. } => is_ftrace = true,
            Found::Header { key, value } => header(&mut telling, key, value),
        }
    }
    if let Some((number, found)) = first {
        let position = Position::Line(number);
        if !understood {
            let expected = "TIME: damon_aggregated: target_id=N nr_regions=N START-END: N N".into();
            return Err(ImportError::Unexpected { position, expected, found });
        }
        telling.note(format!(
            "lines of DAMON's events that could not be understood: {puzzles}, the first is {position}"
        ))?;
    }
    telling.finish(Position::Line(lines.number()))
}

/// The times are whole numbers: they have to prove to be nanoseconds.
fn whole(telling: &mut Telling<'_>, is_ftrace: bool) -> Result<(), ImportError> {
    if is_ftrace {
        return Err(ImportError::Useless(
            "its times are whole numbers, which ftrace writes for clocks that do not count nanoseconds (counter, uptime, \
             x86-tsc): record it again after echo mono >/sys/kernel/tracing/trace_clock"
                .to_owned(),
        ));
    }
    let source = telling.source();
    source.clock_note = WHOLE_NOTE.into();
    source.is_doubtful = true;
    Ok(())
}

/// What `perf script --header` tells.
fn header(telling: &mut Telling<'_>, key: &[u8], value: &[u8]) {
    let source = telling.source();
    let text = || shorten(value, 4096);
    match key {
        b"hostname" => source.host = text(),
        b"os release" => source.kernel = text(),
        b"arch" => source.arch = text(),
        b"cmdline" => source.command_line = text().split_whitespace().map(Into::into).collect(),
        _ => {}
    }
}

/// For messages and names: at most so many bytes, and nothing that a terminal obeys.
fn shorten(line: &[u8], longest: usize) -> String {
    let text = String::from_utf8_lossy(line.get(..longest).unwrap_or(line));
    let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    if line.len() > longest { text + "…" } else { text }
}

#[cfg(test)]
mod tests;
