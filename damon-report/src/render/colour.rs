//! The colour map: rates to colours.

use crate::analysis::cells::{Cell, Pool, Ranks};

use super::num::{byte, float_of, round};
use super::palette::{Palette, Ramp};

/// An sRGB colour.
pub type Rgb = (u8, u8, u8);

/// The page.
pub(super) const PAGE: Rgb = (255, 255, 255);
/// Titles, axis lines.
pub(super) const INK: Rgb = (33, 37, 41);
/// Secondary text.
pub(super) const GREY_INK: Rgb = (95, 102, 110);
/// Frames.
pub(super) const FRAME: Rgb = (140, 147, 155);
/// Grid lines.
pub(super) const GRID: Rgb = (222, 226, 230);
/// The two colours of the "not monitored" hatching.
pub(super) const HATCH: [Rgb; 2] = [(246, 246, 246), (196, 199, 203)];

/// How a rate becomes a position on the colour ramp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Proportional to the rate.
    Linear,
    /// Proportional to the square root of the rate: spreads the low rates, where idle and
    /// almost idle memory must be told apart.
    #[default]
    Sqrt,
    /// Logarithmic from 0.1 % to 100 %; lower rates look like 0.1 %.
    Log,
    /// By the share of accessed cells that are colder: all colours are used equally often.
    Rank,
}

impl Scale {
    /// Position of a rate, 0..1; rates are clamped to 0..1. Ranks are looked up in `ranks`.
    fn position(self, rate: f64, ranks: &Ranks) -> f64 {
        let rate = if rate > 0.0 { rate.min(1.0) } else { 0.0 };
        match self {
            Self::Linear => rate,
            Self::Sqrt => rate.sqrt(),
            Self::Log if rate <= 0.001 => 0.0,
            Self::Log => 1.0 + rate.log10() / 3.0,
            Self::Rank => ranks.position(rate),
        }
    }

    /// The words for legends.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Sqrt => "square root",
            Self::Log => "logarithmic",
            Self::Rank => "rank among accessed cells",
        }
    }
}

/// How rates become colours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Which positions of the palette rates have.
    pub scale: Scale,
    /// Which colours.
    pub palette: Palette,
    /// What stands for a cell.
    pub pool: Pool,
    /// The cells' ranks, for [`Scale::Rank`].
    pub ranks: Ranks,
}

impl Look {
    /// Which of the rates in a cell is meant, in words.
    pub(super) fn which(&self) -> &'static str {
        match self.pool {
            Pool::Mean => "",
            Pool::Max => "highest ",
        }
    }
}

/// Index of a colour in the table: 0 is a rate of exactly zero.
pub(super) type Level = u8;

/// The highest level, a rate of 1. Steps between levels are too small to be seen, and there are so few of them that a picture
/// with all levels, as they are and behind lines, is a PNG of at most 256 colours.
pub(super) const TOP: Level = 91;

/// Where on the ramp the smallest rate above zero lies: visibly apart from zero.
const FIRST_STEP: f64 = 0.10;

/// The colours of all levels.
#[derive(Clone, Debug)]
pub(super) struct ColourMap<'a> {
    table: Vec<Rgb>,
    look: &'a Look,
}

impl<'a> ColourMap<'a> {
    /// For a white page.
    pub(super) fn new(look: &'a Look) -> Self {
        Self::between(look, (0.0, 1.0), &Ramp::new(look.palette))
    }

    /// For a terminal, whose background is not known: hot is bright, and neither zero nor the hottest vanishes on black or
    /// white.
    pub(super) fn terminal(look: &'a Look) -> Self {
        let ramp = Ramp::new(look.palette);
        Self::between(look, ramp.middle(), &ramp)
    }

    fn between(look: &'a Look, (from, to): (f64, f64), ramp: &Ramp) -> Self {
        let mut table = vec![ramp.at(from)];
        for level in 1..=TOP {
            let share = f64::from(level - 1) / f64::from(TOP - 1);
            let share = FIRST_STEP + (1.0 - FIRST_STEP) * share;
            table.push(ramp.at(from + (to - from) * share));
        }
        Self { table, look }
    }

    /// The level of a cell; `None` where nothing was monitored.
    pub(super) fn of(&self, cell: &Cell) -> Option<Level> {
        cell.pooled(self.look.pool).map(|rate| self.level(rate))
    }

    /// The level of a rate; any rate above zero has a level above zero.
    pub(super) fn level(&self, rate: f64) -> Level {
        if rate > 0.0 {
            let position = self.look.scale.position(rate, &self.look.ranks);
            let steps = round(position * f64::from(TOP - 1));
            u8::try_from(steps + 1).unwrap_or(TOP).min(TOP)
        } else {
            0
        }
    }

    /// Where on a colour bar, 0..1, which rates deserve a label, in per cent.
    pub(super) fn landmarks(&self) -> Vec<(f64, f64)> {
        let rates: &[f64] = match self.look.scale {
            Scale::Linear => &[25.0, 50.0, 75.0, 100.0],
            Scale::Sqrt => &[5.0, 25.0, 50.0, 100.0],
            Scale::Log => &[0.1, 1.0, 10.0, 100.0],
            Scale::Rank => {
                let shares = [0.0, 0.25, 0.5, 0.75, 1.0].into_iter();
                let rate = |share| Some((share, self.look.ranks.rate(share)? * 100.0));
                return shares.filter_map(rate).collect();
            }
        };
        let place = |rate: f64| f64::from(self.level(rate / 100.0) - 1) / f64::from(TOP - 1);
        rates.iter().map(|&rate| (place(rate), rate)).collect()
    }

    /// The colour of a level.
    pub(super) fn colour(&self, level: Level) -> Rgb {
        self.table.get(usize::from(level.min(TOP))).copied().unwrap_or(PAGE)
    }
}

/// The level shown at a pixel of a colour bar, which begins at the smallest rate above zero.
pub(super) fn bar_level(index: usize, length: usize) -> Level {
    let last = length.saturating_sub(1).max(1);
    1 + byte(float_of(index) / float_of(last) * f64::from(TOP - 1)).min(TOP - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_differs_from_the_smallest_rate_and_from_not_monitored() {
        for scale in [Scale::Linear, Scale::Sqrt, Scale::Log, Scale::Rank] {
            let look = Look { scale, ..Look::default() };
            let map = ColourMap::new(&look);
            assert_eq!((map.level(0.0), map.level(f64::NAN)), (0, 0));
            assert!(map.level(1e-12) >= 1);
            let levels: Vec<Level> = (0..=100).map(|i| map.level(f64::from(i) / 100.0)).collect();
            assert!(levels.is_sorted());
            if scale != Scale::Rank {
                assert_eq!((map.level(1e-12), map.level(1.0), map.level(1.05)), (1, TOP, TOP));
            }
        }
    }

    #[test]
    fn zero_has_a_colour_of_its_own_everywhere() {
        for palette in [
            Palette::Dusk,
            Palette::Inferno,
            Palette::Viridis,
            Palette::Cividis,
            Palette::Magma,
            Palette::Grey,
        ] {
            let look = Look { palette, ..Look::default() };
            for map in [ColourMap::new(&look), ColourMap::terminal(&look)] {
                assert!(!HATCH.contains(&map.colour(0)));
                let (a, b) = (map.colour(0), map.colour(1));
                let apart = a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)).max(a.2.abs_diff(b.2));
                assert!(apart >= 8, "{palette:?}: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn landmarks_ascend_along_the_bar() {
        for scale in [Scale::Linear, Scale::Sqrt, Scale::Log] {
            let look = Look { scale, ..Look::default() };
            let marks = ColourMap::new(&look).landmarks();
            assert!(marks.iter().map(|m| m.0).is_sorted(), "{marks:?}");
            assert!(marks.last().is_some_and(|m| (m.0 - 1.0).abs() < 1e-9));
        }
    }
}
