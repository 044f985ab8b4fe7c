//! Colours of terminals: which there are, and how they are selected.

use super::colour::{ColourMap, Level, Rgb, TOP};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// Nothing but plain ASCII characters.
    #[default]
    None,
    /// The 16 colours that every theme has its own idea of.
    Basic,
    /// The 256 colours of xterm.
    Palette,
    /// 24-bit colours.
    True,
}

/// A colour as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// 0..=7, and 8..=15 for the bright ones.
    Basic(u8),
    /// 16..=255.
    Palette(u8),
    True(Rgb),
}

impl Ink {
    /// Selects it for the letters.
    pub(super) fn foreground(self) -> String {
        match self {
            Self::Basic(n @ 0..=7) => format!("\x1b[{}m", 30 + n),
            Self::Basic(n) => format!("\x1b[{}m", 82_u8.saturating_add(n)),
            Self::Palette(n) => format!("\x1b[38;5;{n}m"),
            Self::True((r, g, b)) => format!("\x1b[38;2;{r};{g};{b}m"),
        }
    }

    /// Selects it for what is behind the letters.
    pub(super) fn background(self) -> String {
        match self {
            Self::Basic(n @ 0..=7) => format!("\x1b[{}m", 40 + n),
            Self::Basic(n) => format!("\x1b[{}m", 92_u8.saturating_add(n)),
            Self::Palette(n) => format!("\x1b[48;5;{n}m"),
            Self::True((r, g, b)) => format!("\x1b[48;2;{r};{g};{b}m"),
        }
    }
}

/// The inks of all levels.
#[derive(Clone, Debug)]
pub(super) struct Inks(Vec<Ink>);

/// Blue for zero, then magenta, red, yellow, bright yellow: neither black, white nor grey, one of which is the background
/// of most themes.
const BASIC: [u8; 5] = [4, 5, 1, 3, 11];

impl Inks {
    pub(super) fn new(colours: Colours, map: &ColourMap<'_>) -> Self {
        let ink = |level: Level| match colours {
            Colours::None | Colours::Basic => {
                let quarter = usize::from(level.max(1) - 1) * 4 / usize::from(TOP);
                let index = if level == 0 { 0 } else { quarter + 1 };
                Ink::Basic(BASIC.get(index).copied().unwrap_or(11))
            }
            Colours::Palette => Ink::Palette(nearest(map.colour(level))),
            Colours::True => Ink::True(map.colour(level)),
        };
        let mut inks: Vec<Ink> = (0..=TOP).map(ink).collect();
        // However few colours there are, zero has one for itself.
        if let Some((zero, above)) = inks.split_first_mut() {
            let other = above.iter().find(|ink| *ink != zero).copied();
            for ink in above.iter_mut().take_while(|ink| *ink == zero) {
                *ink = other.unwrap_or(*ink);
            }
        }
        Self(inks)
    }

    pub(super) fn of(&self, level: Level) -> Option<Ink> {
        self.0.get(usize::from(level.min(TOP))).copied()
    }
}

/// The nearest of the 216 colours of the cube and the 24 greys after it.
fn nearest(colour: Rgb) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let apart = |index: u8| {
        let step = |n: u8| STEPS.get(usize::from(n % 6)).copied().unwrap_or(0);
        let cube = index.saturating_sub(16);
        let grey = index.saturating_sub(232).saturating_mul(10).saturating_add(8);
        let (r, g, b) = if index < 232 {
            (step(cube / 36), step(cube / 6), step(cube))
        } else {
            (grey, grey, grey)
        };
        let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        square(r, colour.0) + square(g, colour.1) + square(b, colour.2)
    };
    (16..=255).min_by_key(|index| apart(*index)).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Look, Palette};

    #[test]
    fn colours_are_the_nearest_there_are() {
        assert_eq!(nearest((255, 255, 255)), 231);
        assert_eq!(nearest((0, 0, 0)), 16);
        assert_eq!(nearest((250, 100, 10)), 16 + 36 * 5 + 6);
        assert_eq!(nearest((117, 119, 118)), 243);
    }

    #[test]
    fn zero_is_told_from_little_with_any_number_of_colours() {
        for palette in [Palette::Dusk, Palette::Viridis, Palette::Cividis, Palette::Grey] {
            let look = Look { palette, ..Look::default() };
            for colours in [Colours::Basic, Colours::Palette, Colours::True] {
                let inks = Inks::new(colours, &ColourMap::terminal(&look));
                let zero = inks.of(0);
                assert!((1..=TOP).all(|level| inks.of(level) != zero), "{palette:?} {colours:?}");
                assert_ne!(inks.of(1), inks.of(TOP));
            }
        }
    }

    #[test]
    fn basic_colours_are_asked_for_in_the_way_of_old_terminals() {
        assert_eq!(Ink::Basic(3).foreground(), "\x1b[33m");
        assert_eq!(Ink::Basic(11).foreground(), "\x1b[93m");
        assert_eq!(Ink::Basic(3).background(), "\x1b[43m");
        assert_eq!(Ink::Basic(11).background(), "\x1b[103m");
    }
}
