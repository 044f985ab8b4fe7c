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
    /// Characters in a line of a table, if there is a limit.
    pub(super) table: Option<usize>,
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
            table: table_width(columns),
            // The shell's next prompt needs a line.
            lines: lines.unwrap_or(height.saturating_sub(1)),
            colours: colours(colour, terminal, &variable),
        }
    }
}

/// Characters in a line of a table: what is asked for, or what the terminal has. Files and pipes have no limit.
pub(super) fn table_width(columns: Option<usize>) -> Option<usize> {
    let terminal = || {
        let size = terminal_size::terminal_size().filter(|_| io::stdout().is_terminal());
        size.map(|(width, _)| usize::from(width.0))
    };
    columns.or_else(terminal)
}

/// By custom: `COLORTERM` promises 24 bits, the name of the terminal tells the rest. The terminal itself is not asked.
fn colours(colour: Colour, terminal: bool, variable: &dyn Fn(&'static str) -> String) -> Colours {
    let name = variable("TERM");
    let able = if matches!(variable("COLORTERM").as_str(), "truecolor" | "24bit")
        || name.ends_with("-direct")
    {
        Colours::True
    } else if name.contains("256color") || name.is_empty() {
        Colours::Palette
    } else {
        Colours::Basic
    };
    let dumb = ["", "dumb", "unknown", "vt52", "vt100", "vt102", "vt220"].contains(&name.as_str());
    match colour {
        Colour::Never => Colours::None,
        Colour::Auto if !terminal || !variable("NO_COLOR").is_empty() || dumb => Colours::None,
        // Half blocks would be other letters there.
        Colour::Auto if !has_utf8(variable) => Colours::None,
        Colour::Auto | Colour::Always => able,
        Colour::Basic => Colours::Basic,
        Colour::Palette => Colours::Palette,
        Colour::True => Colours::True,
    }
}

/// Whether characters beyond ASCII can be shown: not where the locale says so (`LANG=C`). Where there is none, as in most
/// containers, nobody has said anything.
fn has_utf8(variable: &dyn Fn(&'static str) -> String) -> bool {
    let mut locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable);
    let set = locale.find(|name| !name.is_empty()).map(|name| name.to_lowercase());
    set.is_none_or(|name| name.contains("utf-8") || name.contains("utf8"))
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
        let usual = with(&[("TERM", "xterm-256color")]);
        assert_eq!(colours(Colour::Auto, true, &usual), Colours::Palette);
        assert_eq!(colours(Colour::Auto, false, &usual), Colours::None);
        assert_eq!(colours(Colour::Always, false, &usual), Colours::Palette);
        assert_eq!(colours(Colour::Auto, true, &with(&[("TERM", "linux")])), Colours::Basic);
        let rich = with(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]);
        assert_eq!(colours(Colour::Auto, true, &rich), Colours::True);
        assert_eq!(colours(Colour::Never, true, &rich), Colours::None);
        assert_eq!(colours(Colour::Basic, false, &rich), Colours::Basic);
        let refused = with(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]);
        assert_eq!(colours(Colour::Auto, true, &refused), Colours::None);
        assert_eq!(colours(Colour::True, false, &refused), Colours::True);
        for nothing in ["dumb", "vt100", ""] {
            let name =
                move |asked| if asked == "TERM" { nothing.to_owned() } else { String::new() };
            assert_eq!(colours(Colour::Auto, true, &name), Colours::None);
        }
        assert_eq!(colours(Colour::Always, false, &with(&[])), Colours::Palette);
    }

    #[test]
    fn half_blocks_are_for_locales_that_have_them() {
        let auto = |locale: &'static [(&'static str, &'static str)]| {
            colours(Colour::Auto, true, &move |asked| {
                let found = locale.iter().find(|(name, _)| *name == asked);
                let term = if asked == "TERM" { "xterm-256color" } else { "" };
                found.map_or(term, |(_, value)| value).to_owned()
            })
        };
        for able in [
            &[][..],
            &[("LANG", "de_DE.UTF-8")],
            &[("LANG", "C.utf8")],
            &[("LC_ALL", "C.UTF-8"), ("LANG", "C")],
        ] {
            assert_eq!(auto(able), Colours::Palette, "{able:?}");
        }
        for not in [
            &[("LANG", "C")][..],
            &[("LANG", "en_US.ISO-8859-1")],
            &[("LC_ALL", "POSIX"), ("LANG", "en_US.UTF-8")],
            &[("LC_CTYPE", "C"), ("LANG", "en_US.UTF-8")],
        ] {
            assert_eq!(auto(not), Colours::None, "{not:?}");
        }
    }
}
