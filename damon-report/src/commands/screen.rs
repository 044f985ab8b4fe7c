//! What the terminal can show.

use crate::cli::Colour;
use crate::render::terminal::Colours;
use std::env;
use std::io::{self, IsTerminal};

/// Size and colours of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) columns: usize,
    pub(super) lines: usize,
    pub(super) colours: Colours,
}

impl Screen {
    /// Standard output as it is, unless told otherwise. Whatever is no terminal gets 80 × 24 characters
    /// without colours, so that files and pipes do not depend on the window they were made in.
    pub(super) fn detect(columns: Option<usize>, lines: Option<usize>, colour: Colour) -> Self {
        let terminal = io::stdout().is_terminal();
        let size = terminal_size::terminal_size().filter(|_| terminal);
        let (width, height) = size.map_or((80, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)));
        let variable = |name| env::var(name).unwrap_or_default();
        Self {
            columns: columns.unwrap_or(width),
            // The shell's next prompt needs a line.
            lines: lines.unwrap_or(height.saturating_sub(1)),
            colours: colours(colour, terminal, &variable),
        }
    }
}

fn colours(colour: Colour, terminal: bool, variable: &dyn Fn(&'static str) -> String) -> Colours {
    let wanted = match colour {
        Colour::Never => false,
        Colour::Always => true,
        Colour::Auto => terminal && variable("NO_COLOR").is_empty() && variable("TERM") != "dumb",
    };
    match (wanted, variable("COLORTERM").as_str()) {
        (false, _) => Colours::None,
        (true, "truecolor" | "24bit") => Colours::True,
        (true, _) => Colours::Palette,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_customs() {
        let with = |set: &'static [(&'static str, &'static str)]| {
            move |name: &'static str| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned()).unwrap_or_default()
            }
        };
        let plain = with(&[("TERM", "xterm")]);
        assert_eq!(colours(Colour::Auto, true, &plain), Colours::Palette);
        assert_eq!(colours(Colour::Auto, false, &plain), Colours::None);
        assert_eq!(colours(Colour::Always, false, &plain), Colours::Palette);
        let rich = with(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]);
        assert_eq!(colours(Colour::Auto, true, &rich), Colours::True);
        assert_eq!(colours(Colour::Never, true, &rich), Colours::None);
        let refused = with(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]);
        assert_eq!(colours(Colour::Auto, true, &refused), Colours::None);
        assert_eq!(colours(Colour::Auto, true, &with(&[("TERM", "dumb")])), Colours::None);
    }
}
