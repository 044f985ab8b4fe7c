//! The regions of a moment as text: a line of temperatures, and boxes.

use super::Scale;
use super::colour::{ColourMap, Look, TOP};
use super::inks::{Colours, Inks};
use super::num::{byte, count, float, float_of, round};
use crate::analysis::regions::RegionRow;
use crate::analysis::strip::StripCell;

/// A strip of temperatures, a character each: `0` (coldest) to `9` (hottest), `~` for a gap, `?` where no temperature is
/// known; with colours a cell from dark to bright instead of a digit.
#[derive(Clone, Debug, PartialEq)]
pub struct StripText {
    /// The line.
    pub text: String,
    /// Temperatures of the coldest and the hottest cell, if any is known.
    pub ends: Option<(f64, f64)>,
}

/// Draws a strip.
pub fn strip(cells: &[StripCell], colours: Colours) -> StripText {
    let known = cells.iter().filter_map(|cell| match cell {
        StripCell::Memory(value) => *value,
        StripCell::Gap => None,
    });
    let ends = known.fold(None, |ends: Option<(f64, f64)>, value| {
        let (coldest, hottest) = ends.unwrap_or((value, value));
        Some((coldest.min(value), hottest.max(value)))
    });
    let inks = inks(colours);
    let mut text = String::new();
    for cell in cells {
        match (cell, ends) {
            (StripCell::Gap, _) => text.push('~'),
            (StripCell::Memory(Some(value)), Some(ends)) => {
                let share = position(*value, ends);
                match &inks {
                    None => text.push(digit(share)),
                    Some(inks) => text.push_str(&painted(" ", share, inks)),
                }
            }
            _ => text.push('?'),
        }
    }
    StripText { text, ends }
}

/// Backgrounds from dark to bright, if there are colours.
fn inks(colours: Colours) -> Option<Inks> {
    let look = Look { scale: Scale::Linear, ..Look::default() };
    (colours != Colours::None).then(|| Inks::new(colours, &ColourMap::terminal(&look)))
}

/// Characters on a background from dark (0) to bright (1).
fn painted(text: &str, share: f64, inks: &Inks) -> String {
    match inks.of(byte(share * f64::from(TOP)).min(TOP)) {
        Some(ink) => format!("{}{text}\x1b[0m", ink.background()),
        None => text.to_owned(),
    }
}

fn digit(share: f64) -> char {
    let tenth = u32::try_from(round(share * 9.0)).unwrap_or(0);
    char::from_digit(tenth.min(9), 10).unwrap_or('9')
}

/// Orders of magnitude (of 2) that can be told apart on each side of zero.
const FINE: f64 = 1024.0;

/// Where a temperature lies between the coldest and the hottest, 0..1: logarithmic on both sides of zero.
fn position(value: f64, (coldest, hottest): (f64, f64)) -> f64 {
    let unit = coldest.abs().max(hottest.abs()) / FINE;
    let bent = |value: f64| {
        let size = if unit > 0.0 { log2(1.0 + value.abs() / unit) } else { 0.0 };
        if value < 0.0 { -size } else { size }
    };
    let (low, high) = (bent(coldest), bent(hottest));
    if high > low {
        return ((bent(value) - low) / (high - low)).clamp(0.0, 1.0);
    }
    f64::from(u8::from(value > 0.0))
}

/// The logarithm to base 2 of something from 1 on, straight between powers of two: the same on every machine.
fn log2(value: f64) -> f64 {
    let (mut power, mut rest) = (0.0, value.clamp(1.0, f64::MAX));
    while rest >= 2.0 {
        rest /= 2.0;
        power += 1.0;
    }
    power + rest - 1.0
}

/// One region as a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionBox {
    /// Its lines, equally wide, without colours' escape sequences.
    pub width: usize,
    /// How many lines.
    pub lines: usize,
    /// The text of each line.
    pub text: String,
}

/// Regions as boxes at most `width` characters wide. A box is as wide as its region is large (logarithmic) and 1 (idle) to 4 lines high
/// (more than two thirds of the samples positive); it is filled with a digit, from the youngest, 0, to the oldest, 9, on a logarithmic
/// scale (`?`: age not known), and with colours on a background from bright (young) to dark.
pub fn boxes(rows: &[RegionRow], width: usize, colours: Colours) -> Vec<RegionBox> {
    let sizes = || rows.iter().map(|row| float(row.size).max(1.0));
    // From the size of half a page on, which no region is smaller than, or almost none.
    let least = sizes().fold(2048.0, f64::min);
    let most = sizes().fold(4096.0, f64::max);
    let unit = rows.iter().filter_map(|row| row.age_ns).filter(|age| *age > 0).min();
    let oldest = rows.iter().filter_map(|row| row.age_ns).max().unwrap_or(0);
    let unit = float(unit.unwrap_or(1));
    let inks = inks(colours);
    let part = |value: f64, whole: f64| if whole > 0.0 { value / whole } else { 1.0 };
    let one = |row: &RegionRow| {
        let share = part(log2(float(row.size).max(1.0) / least), log2(most / least));
        let room = float_of(width.saturating_sub(1));
        let wide = 1 + count(round(share * room));
        let lines = 1 + count(round((row.rate.min(1.0) * 3.0).ceil()));
        let age = row.age_ns.map(|age| {
            let whole = log2(1.0 + float(oldest) / unit);
            if oldest == 0 { 0.0 } else { part(log2(1.0 + float(age) / unit), whole) }
        });
        let letter = age.map_or('?', digit);
        let text = match (age, &inks) {
            (Some(age), Some(inks)) => painted(&" ".repeat(wide), 1.0 - age, inks),
            _ => letter.to_string().repeat(wide),
        };
        RegionBox { width: wide, lines, text }
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::TargetId;

    #[test]
    fn digits_go_from_the_coldest_to_the_hottest() {
        let cells = [-1024.0, -1.0, 0.0, 1.0, 1024.0].map(|v| StripCell::Memory(Some(v)));
        let found = strip(&cells, Colours::None);
        assert_eq!((found.text.as_str(), found.ends), ("04559", Some((-1024.0, 1024.0))));
        let same = [StripCell::Memory(Some(-3.0)), StripCell::Gap, StripCell::Memory(None)];
        assert_eq!(strip(&same, Colours::None).text, "0~?");
        assert_eq!(strip(&[], Colours::None).ends, None);
        let coloured = strip(&cells, Colours::True);
        assert_eq!(coloured.text.matches("\x1b[0m").count(), 5);
    }

    fn row(size: u64, rate: f64, age_ns: Option<u64>) -> RegionRow {
        RegionRow {
            target: TargetId(0),
            start: 0,
            end: size,
            size,
            nr_accesses: 0,
            max_nr_accesses: 20,
            rate,
            rate_low: 0.0,
            rate_high: 1.0,
            age: None,
            age_ns,
            temperature: None,
            mappings: Vec::new(),
        }
    }

    #[test]
    fn boxes_say_size_rate_and_age() {
        let rows = [
            row(4096, 0.0, Some(0)),
            row(1 << 22, 1.0, Some(100)),
            row(1 << 32, 0.05, Some(102_300)),
            row(4096, 0.5, None),
        ];
        let all = boxes(&rows, 21, Colours::None);
        let shapes: Vec<_> = all.iter().map(|b| (b.width, b.lines)).collect();
        // Of 21 doublings from half a page: 1, 11 and 21.
        assert_eq!(shapes, [(2, 1), (11, 4), (21, 2), (2, 3)]);
        let texts: Vec<&str> = all.iter().map(|b| b.text.as_str()).collect();
        assert_eq!(texts[..2], ["00", "11111111111"]);
        assert_eq!((texts[2].len(), texts[3]), (21, "??"));
        assert!(boxes(&[], 0, Colours::None).is_empty());
        let coloured = boxes(&rows[1..2], 5, Colours::True);
        assert_eq!(coloured[0].width, 1 + 4);
        assert!(coloured[0].text.ends_with("     \x1b[0m"));
    }
}
