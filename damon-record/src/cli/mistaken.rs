//! Command lines that make no sense: tips that fit this program instead of the parser's.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// What other tools call their option for processes.
const OF_PIDS: [&str; 4] = ["-p", "--pid", "--pids", "--target"];

/// `error` of parsing `line`, whose first word is the program's name. The parser advises to write an
/// unknown option after `--`; here that would start a command of this name.
pub fn explained(mut error: clap::Error, line: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let words: Vec<&str> = line.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let tip = if OF_PIDS.contains(&option.as_str()) {
        let pids = value_of(option, &words).unwrap_or("4242");
        error.remove(ContextKind::SuggestedArg);
        Some(format!("a PID is given without an option: damon-record {pids}"))
    } else {
        command(&words).map(|name| format!("to start a command write: damon-record -- {name} ..."))
    };
    let kept = match error.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips,
        _ => Vec::new(),
    };
    let mut tips: Vec<_> =
        kept.into_iter().filter(|tip| !tip.to_string().ends_with(&behind_dashes(&error))).collect();
    if let Some(tip) = tip {
        // One tip that fits needs no list of all usages.
        error.remove(ContextKind::Usage);
        tips = vec![tip.into()];
    }
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// How the parser's advice ends.
fn behind_dashes(error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidArg) {
        Some(option) => format!("use '-- {option}'"),
        None => String::new(),
    }
}

/// The numbers given with `option`: as the next word, after `=`, or right after a short one.
fn value_of<'a>(option: &str, words: &[&'a str]) -> Option<&'a str> {
    let at = words.iter().position(|word| word.starts_with(option))?;
    let behind = words.get(at)?.strip_prefix(option)?;
    let value = match behind {
        "" => words.get(at + 1).copied()?,
        _ => behind.strip_prefix('=').unwrap_or(behind),
    };
    let is_list = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    (!value.is_empty() && is_list(value)).then_some(value)
}

/// The command that was meant, if the line begins with one.
fn command<'a>(words: &[&'a str]) -> Option<&'a str> {
    let first = words.first().copied()?;
    (!first.starts_with('-') && first.contains(char::is_alphabetic)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    /// What is printed for the words after the program's name.
    fn said(words: &[&str]) -> String {
        let line: Vec<OsString> =
            std::iter::once("damon-record").chain(words.iter().copied()).map(Into::into).collect();
        explained(Cli::try_parse_from(&line).unwrap_err(), &line).render().to_string()
    }

    fn tips(words: &[&str]) -> Vec<String> {
        said(words).lines().filter_map(|l| l.trim().strip_prefix("tip: ").map(Into::into)).collect()
    }

    #[test]
    fn a_pid_behind_an_option_is_told_where_it_belongs() {
        let told = |pids: &str| [format!("a PID is given without an option: damon-record {pids}")];
        for words in [&["-p", "5"][..], &["-p5"], &["--pid", "5"], &["--pid=5"], &["--pids", "5"]] {
            assert_eq!(tips(words), told("5"), "{words:?}");
        }
        assert_eq!(tips(&["-d", "3s", "--pid", "7,8"]), told("7,8"));
        for words in [&["-p"][..], &["-p", "make"], &["--pid="], &["--pid", "-v"]] {
            assert_eq!(tips(words), told("4242"), "{words:?}");
        }
        assert!(said(&["-p", "5"]).starts_with("error: unexpected argument '-p' found\n"));
    }

    #[test]
    fn a_command_with_options_of_its_own_is_told_of_the_dashes() {
        let told = ["to start a command write: damon-record -- sleep ..."];
        assert_eq!(tips(&["sleep", "-x", "5"]), told);
        assert!(tips(&["77", "-x"]).is_empty());
    }

    #[test]
    fn an_option_is_never_advised_to_be_a_command() {
        assert!(tips(&["--no-such", "5"]).is_empty());
        assert_eq!(tips(&["--sampel", "5ms"]), ["a similar argument exists: '--sample'"]);
        assert!(tips(&["-x", "--", "ls"]).is_empty());
        assert!(said(&["--no-such", "5"]).contains("Usage: damon-record [OPTIONS] <PID>..."));
    }

    #[test]
    fn other_mistakes_keep_their_words() {
        assert!(said(&["12x"]).contains("a PID is a number"));
        assert!(said(&["-d", "5", "1"]).contains("a unit is missing"));
    }
}
