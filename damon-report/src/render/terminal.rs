//! The heatmap as text: half blocks in colour, digits without.
//!
//! With colour a character holds two address rows (`▀`: the upper in the foreground, the lower in the
//! background), from dark (never accessed) to bright, of a lightness that neither black nor white backgrounds have; nobody asks
//! the terminal for its own. Without colour a digit is the access rate in tenths.

use std::fmt::Write as _;
use std::ops::Range;

use crate::analysis::heat::{Band, Heatmap, NamedRange};

use super::address_axis;
use super::cells::{Dot, resample};
use super::colour::{ColourMap, Look, Scale, TOP};
use super::heatmap::{Picture, label_text};
pub use super::inks::Colours;
use super::inks::{Ink, Inks};
use super::layout::{Extras, Grid, Rect, address, stack};
use super::num::{coord, count, float, round};
use super::series::TimeSpan;
use super::text::fit;
use super::units::{bytes, short_percent, time_ticks};

/// The narrowest text.
pub const MIN_COLUMNS: usize = 20;
/// The fewest lines.
pub const MIN_LINES: usize = 8;

/// Characters right of the map for names, at most.
const NAME_WIDTH: usize = 24;

/// Where things go, in characters and lines.
struct TextLayout {
    columns: usize,
    /// Width of the addresses left of the map, with the space after.
    left: usize,
    /// The map's width.
    width: usize,
    /// Room for names, with the space before.
    right: usize,
    /// Address rows per line: 2 with colour.
    dots: usize,
    /// Per band, lowest addresses first: first line below the top of the map, lines.
    bands: Vec<Rect>,
    /// Lines of the whole map.
    lines: usize,
    /// True when a line between two bands says what was left out.
    gaps: bool,
    /// True when a line above the map names moments.
    marks: bool,
}

impl TextLayout {
    fn new(
        columns: usize,
        lines: usize,
        spans: &[Range<u64>],
        colours: Colours,
        extras: Extras,
    ) -> Self {
        let columns = columns.max(MIN_COLUMNS);
        // Title, subtitle, time axis (2), legend.
        let lines = lines.max(MIN_LINES) - 5;
        let marks = extras.marks && lines >= 6;
        let lines = lines - usize::from(marks);
        let starts = spans.iter().map(|s| address(s.start).len() + 1);
        let left = if columns >= 50 { starts.max().unwrap_or(0) } else { 0 };
        let names = extras.names.min(NAME_WIDTH);
        let right = if columns >= 100 && names > 0 { names + 1 } else { 0 };
        let map = Rect::new(0, 0, 1, coord(lines));
        let (bands, gap) = stack(map, spans, 1);
        Self {
            columns,
            left,
            width: columns - left - right,
            right,
            dots: if colours == Colours::None { 1 } else { 2 },
            bands,
            lines,
            gaps: gap > 0,
            marks,
        }
    }

    fn grid(&self) -> Grid {
        let rows = self.bands.iter().map(|b| count(b.h) * self.dots);
        Grid { columns: self.width, rows: rows.collect() }
    }
}

/// How many cells a text of this size shows: ask first, let the analysis bin to it.
pub fn heatmap_grid(
    columns: usize,
    lines: usize,
    bands: &[Range<u64>],
    colours: Colours,
    extras: Extras,
) -> Grid {
    TextLayout::new(columns, lines, bands, colours, extras).grid()
}

/// So many bands can be told apart in a text of so many lines.
pub fn max_bands(lines: usize) -> usize {
    (lines.max(MIN_LINES) - 5).div_ceil(3).max(1)
}

/// The heatmap as at most `lines` lines, each at most `columns` wide (at least [`MIN_LINES`] and
/// [`MIN_COLUMNS`]).
pub fn heatmap(picture: &Picture<'_>, columns: usize, lines: usize, colours: Colours) -> String {
    let heatmap = picture.heatmap;
    let spans: Vec<Range<u64>> = heatmap.bands.iter().map(|b| b.start..b.end).collect();
    let layout = TextLayout::new(columns, lines, &spans, colours, picture.extras());
    let mut out = String::new();
    line(&mut out, &fit(picture.title, layout.columns));
    line(&mut out, &fit(picture.subtitle, layout.columns));
    if heatmap.bands.is_empty() {
        line(&mut out, &fit("no memory was monitored", layout.columns));
        return out;
    }
    // A digit is read as a number, tenths of the rate itself: the square root is for colours.
    let mut look = picture.look.clone();
    let plain = colours == Colours::None;
    if plain && look.scale == Scale::Sqrt {
        look.scale = Scale::Linear;
    }
    let map = ColourMap::terminal(&look);
    let inks = (!plain).then(|| Inks::new(colours, &map));
    if layout.marks {
        line(&mut out, &mark_line(picture, &layout, plain));
    }
    for text in map_lines(heatmap, &layout, inks.as_ref(), &map) {
        line(&mut out, &text);
    }
    time_axis(&mut out, picture.span(), picture.origin_ns, layout.left, layout.width);
    legend(&mut out, picture, &look, layout.columns, inks.as_ref());
    out
}

/// One line, without spaces at its end.
pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end_matches(' '));
    out.push('\n');
}

fn map_lines(
    heatmap: &Heatmap,
    layout: &TextLayout,
    inks: Option<&Inks>,
    map: &ColourMap<'_>,
) -> Vec<String> {
    let mut lines = vec![String::new(); layout.lines];
    for (i, (band, area)) in heatmap.bands.iter().zip(&layout.bands).enumerate() {
        let height = count(area.h);
        let dots = resample(band, heatmap.columns, layout.width, height * layout.dots, map);
        let mut rows = dots.chunks(layout.width.max(1));
        let names = names(band, height);
        for (k, name) in (0..height).zip(names) {
            let top = rows.next().unwrap_or_default();
            let below = if layout.dots == 2 { rows.next() } else { None };
            let is_start = k + 1 == height;
            let start = if is_start { address(band.start) } else { String::new() };
            let mut text = margin(&start, layout.left);
            paint(&mut text, top, below, inks);
            if layout.right > 0 && !name.is_empty() {
                text.push(' ');
                text.push_str(&name);
            }
            if let Some(slot) = lines.get_mut(count(area.y) + k) {
                *slot = text;
            }
        }
        let above = heatmap.bands.get(i + 1);
        if let (true, Some(above)) = (layout.gaps, above) {
            let text = between(heatmap, band, above, layout.width);
            if let Some(slot) = count(area.y).checked_sub(1).and_then(|y| lines.get_mut(y)) {
                *slot = margin("", layout.left) + &text;
            }
        }
    }
    lines
}

fn margin(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    let room = width - 1;
    format!("{text:>room$} ")
}

/// What lies between two bands.
fn between(heatmap: &Heatmap, below: &Band, above: &Band, width: usize) -> String {
    let text = format!(" {} ", address_axis::between(heatmap, below, above));
    let text = fit(&text, width);
    let rest = width - text.chars().count();
    format!("{}{text}{}", "~".repeat(rest / 2), "~".repeat(rest - rest / 2))
}

/// Per line of a band, from the top, the name of the largest mapping that is named there.
fn names(band: &Band, height: usize) -> Vec<String> {
    let mut names: Vec<(u64, String)> = vec![(0, String::new()); height];
    let size = float(band.end.saturating_sub(band.start).max(1));
    let mut mappings: Vec<&NamedRange> = band.mappings.iter().collect();
    mappings.sort_by_key(|m| std::cmp::Reverse(m.end.saturating_sub(m.start)));
    for mapping in mappings {
        let middle = mapping.start / 2 + mapping.end / 2;
        let offset = float(middle.clamp(band.start, band.end.max(band.start)) - band.start);
        let from_below = count(round((offset / size * float_lines(height)).floor()));
        let row = height.saturating_sub(1).saturating_sub(from_below);
        let bytes_of_it = mapping.end.saturating_sub(mapping.start);
        if let Some(slot) = names.get_mut(row).filter(|slot| slot.1.is_empty()) {
            let size = bytes(bytes_of_it);
            let room = NAME_WIDTH.saturating_sub(size.len() + 1);
            *slot = (bytes_of_it, format!("{} {size}", fit(&label_text(&mapping.name), room)));
        }
    }
    names.into_iter().map(|(_, name)| name).collect()
}

fn float_lines(lines: usize) -> f64 {
    super::num::float_of(lines)
}

fn paint(text: &mut String, top: &[Dot], below: Option<&[Dot]>, inks: Option<&Inks>) {
    let Some(inks) = inks else {
        text.extend(top.iter().map(|dot| plain(*dot)));
        return;
    };
    // Not monitored is the terminal's own colour.
    let ink = |dot: Dot| match dot {
        Dot::NotMonitored => None,
        Dot::Heat(level) => inks.of(level),
    };
    let mut current: Option<(Option<Ink>, Option<Ink>)> = None;
    let below = below.unwrap_or(top);
    for (upper, lower) in top.iter().zip(below) {
        let pair = (ink(*upper), ink(*lower));
        if current != Some(pair) {
            text.push_str("\x1b[0m");
            let (foreground, background) = match pair {
                (None, lower) => (lower, None),
                (upper, lower) => (upper, lower),
            };
            text.push_str(&foreground.map(Ink::foreground).unwrap_or_default());
            text.push_str(&background.map(Ink::background).unwrap_or_default());
            current = Some(pair);
        }
        text.push(match pair {
            (None, None) => ' ',
            (None, Some(_)) => '▄',
            (Some(_), _) => '▀',
        });
    }
    text.push_str("\x1b[0m");
}

/// A rate in tenths, as a digit; `.` is exactly zero.
fn plain(dot: Dot) -> char {
    match dot {
        Dot::NotMonitored => ' ',
        Dot::Heat(0) => '.',
        Dot::Heat(level) => {
            let tenth = u32::from(level - 1) * 10 / u32::from(TOP - 1);
            char::from_digit(tenth.min(9), 10).unwrap_or('9')
        }
    }
}

/// Two lines: marks, and times below them.
pub(super) fn time_axis(
    out: &mut String,
    span: TimeSpan,
    origin_ns: u64,
    left: usize,
    width: usize,
) {
    let ticks = time_ticks(origin_ns, span.start_ns, span.end_ns, (width / 12).max(1));
    let mut marks = vec!['-'; width];
    let mut labels = vec![' '; left + width];
    let mut free_from = 0;
    for tick in ticks {
        let time = i128::from(origin_ns) + tick.offset_ns;
        let column = u64::try_from(time).ok().and_then(|t| span.column(t, coord(width)));
        let Some(column) = column.map(count) else {
            continue;
        };
        let length = tick.label.chars().count();
        let at = (left + column).min((left + width).saturating_sub(length));
        if at < free_from || at + length > left + width {
            continue;
        }
        if let Some(mark) = marks.get_mut(column) {
            *mark = '+';
        }
        for (slot, character) in labels.iter_mut().skip(at).zip(tick.label.chars()) {
            *slot = if character == 'µ' { 'u' } else { character };
        }
        free_from = at + length + 1;
    }
    let marks: String = marks.into_iter().collect();
    line(out, &(" ".repeat(left) + &marks));
    line(out, &labels.into_iter().collect::<String>());
}

fn legend(
    out: &mut String,
    picture: &Picture<'_>,
    look: &Look,
    columns: usize,
    inks: Option<&Inks>,
) {
    let explanation = look.scale.as_str();
    let Some(inks) = inks else {
        let digits = if look.scale == Scale::Linear { "tenths" } else { explanation };
        let scale = format!(". never, 0 .. 9 {digits}");
        let meanings = picture.meanings();
        let with_blank = meanings.iter().map(|m| format!("{scale}: {m}; blank: not monitored"));
        let alone = meanings.iter().map(|meaning| format!("{scale}: {meaning}"));
        let short = [scale.clone(), ". never 9 always".to_owned(), ". never 9 most".to_owned()];
        let by_rate = matches!(look.scale, Scale::Linear | Scale::Sqrt);
        let fits = |text: &String| {
            text.chars().count() <= columns && (by_rate || !text.ends_with("always"))
        };
        let text = with_blank.chain(alone).chain(short).find(fits);
        return line(out, &text.unwrap_or_default());
    };
    let bar = (columns / 4).min(30);
    let map = ColourMap::terminal(look);
    let most = map.landmarks().last().map_or(100.0, |(_, rate)| *rate);
    let most = short_percent(most);
    let used = 2 + 5 + bar + 1 + most.len();
    let mut text = String::new();
    text.push_str(&inks.of(0).map(Ink::background).unwrap_or_default());
    text.push_str("  \x1b[0m 0 % ");
    for i in 0..bar {
        let level = super::colour::bar_level(i, bar);
        text.push_str(&inks.of(level).map(Ink::background).unwrap_or_default());
        text.push(' ');
    }
    text.push_str("\x1b[0m ");
    text.push_str(&most);
    let meanings = picture.meanings();
    let with_blank = meanings.iter().flat_map(|meaning| {
        let scale = format!("  {meaning} ({explanation} scale), blank: not monitored");
        [scale, format!("  {meaning}, blank: not monitored")]
    });
    let alone = meanings.iter().map(|meaning| format!("  {meaning}"));
    let room = columns.saturating_sub(used);
    if let Some(more) = with_blank.chain(alone).find(|more| more.chars().count() <= room) {
        text.push_str(&more);
    }
    line(out, &text);
}

/// The user's marks: each at its moment, as far as the next one leaves room.
fn mark_line(picture: &Picture<'_>, layout: &TextLayout, ascii: bool) -> String {
    let span = picture.span();
    let mut flags: Vec<(usize, &str)> = Vec::new();
    for mark in picture.marks {
        let column = span.column(mark.time_ns, coord(layout.width)).map(count);
        let Some(column) = column.filter(|c| flags.last().is_none_or(|(last, _)| last < c)) else {
            continue;
        };
        flags.push((column, &mark.text));
    }
    let mut text = " ".repeat(layout.left);
    for (index, (column, name)) in flags.iter().enumerate() {
        let next = flags.get(index + 1).map_or(layout.width, |(next, _)| *next);
        let room = next.saturating_sub(column + 1);
        let name = if ascii { name.replace(|c: char| !c.is_ascii(), "?") } else { (*name).into() };
        let used = text.chars().count().saturating_sub(layout.left);
        text.push_str(&" ".repeat(column.saturating_sub(used)));
        text.push('|');
        text.push_str(&fit(&name, room));
    }
    text
}

/// The working set as text: over time, one line each for touched, expected and resident memory.
pub fn wss(picture: &super::wss::Picture<'_>, columns: usize, colours: Colours) -> String {
    use super::series::Columns;
    let columns = columns.max(MIN_COLUMNS);
    let (left, right) = if columns >= 50 { (9, 12) } else { (2, 0) };
    let width = columns - left - right;
    let span = TimeSpan { start_ns: picture.start_ns, end_ns: picture.end_ns };
    let mut series =
        ["touched", "expected", "resident"].map(|name| (name, Columns::new(span, coord(width))));
    let [touched, expected, resident] = &mut series;
    for s in &picture.working_set.samples {
        touched.1.add(s.start_ns, s.end_ns, float(s.touched));
        expected.1.add(s.start_ns, s.end_ns, s.expected);
    }
    for s in &picture.working_set.resident {
        resident.1.add(s.time_ns, s.time_ns, float(s.rss));
    }
    let mut out = String::new();
    let most = |columns: &Columns| {
        let values = columns.cells().iter().flatten().map(|s| s.greatest);
        values.fold(0.0, f64::max)
    };
    let cut = super::lines::cut_above(&touched.1, &expected.1, &resident.1);
    let top = cut.unwrap_or_else(|| most(&touched.1).max(most(&expected.1)));
    for (name, columns) in series.iter().filter(|(_, c)| !c.is_empty()) {
        // Resident memory has its own scale: it may be far above the working set.
        let own = if *name == "resident" { most(columns) } else { top };
        let mut text = name.chars().take(left - 1).collect::<String>();
        text.push_str(&" ".repeat(left - text.len()));
        let mut last = None;
        for cell in columns.cells() {
            let value = cell.map(|s| s.greatest);
            let shown = if *name == "resident" { value.or(last) } else { value };
            last = shown;
            let off_scale = cut.is_some() && shown.is_some_and(|value| value > own);
            text.push(if off_scale { '^' } else { bar(shown, own, colours) });
        }
        if right > 0 {
            let size = bytes(super::num::round_u64(most(columns)));
            let _written = write!(text, " {size:>11}");
        }
        line(&mut out, &text);
    }
    if out.is_empty() {
        line(&mut out, &fit("no samples in this time", columns));
        return out;
    }
    time_axis(&mut out, span, picture.origin_ns, left, width);
    if let Some(cut) = cut {
        let text = format!("^ off scale, above {}", bytes(super::num::round_u64(cut)));
        line(&mut out, &fit(&text, columns));
    }
    out
}

/// A column of a small chart: eighths of a block, or ASCII characters that rise.
pub(super) fn bar(value: Option<f64>, top: f64, colours: Colours) -> char {
    let steps: &[char] = if colours == Colours::None {
        &['_', '.', '-', '=', '+', '*', '#', '@']
    } else {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    };
    let Some(value) = value else {
        return ' ';
    };
    let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    let last = steps.len() - 1;
    let index = count(round(share * float_lines(last)));
    steps.get(index.min(last)).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::cells::Cells;

    #[test]
    fn digits_are_tenths_and_zero_is_a_dot() {
        let look = Look { scale: Scale::Linear, ..Look::default() };
        let map = ColourMap::new(&look);
        let digit = |rate: f64| plain(Dot::Heat(map.level(rate)));
        assert_eq!([0.0, 0.001, 0.45, 0.999, 1.0].map(digit), ['.', '0', '4', '9', '9']);
        assert_eq!(plain(Dot::NotMonitored), ' ');
    }

    #[test]
    fn a_name_stands_at_the_middle_of_its_mapping() {
        let range = |start, end, name: &str| NamedRange { start, end, name: name.to_owned() };
        let band = Band {
            target: damon_format::TargetId(0),
            start: 0x1000,
            end: 0x5000,
            rows: 0,
            cells: Cells::default(),
            mappings: vec![range(0x1000, 0x2000, "low"), range(0x2000, 0x5000, "high")],
        };
        assert_eq!(names(&band, 4), ["", "high 12 KiB", "", "low 4 KiB"]);
        assert_eq!(names(&band, 1), ["high 12 KiB"]);
        assert!(names(&band, 0).is_empty());
    }
}
