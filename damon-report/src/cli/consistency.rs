//! One command line, not twenty: what all commands have in common.

use super::Cli;
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory as _, Parser as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What may differ, and why: command, flag or value, reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("raw", "format", "json is one value per line; damo's form exists here only"),
    ("heatmap", "columns", "also columns of cells"),
    ("wss", "compat", "what is computed differs"),
    ("wss", "skip", "damo's default, with --compat only"),
    ("wss", "sort", "damo's two orders, with --compat only"),
    ("compare", "base", "takes several, of two sides"),
    ("compare", "format", "also as other programs want it"),
    ("compare", "idle", "may be in a gate: no default here"),
    ("compare", "group", "may be in a gate: no default here"),
    ("import", "file", "no trace yet"),
    ("import", "aggr", "what was, and not what shall be as with adjust"),
    ("regions", "at", "always about one moment, and knows a usual one"),
    ("regions", "sort", "regions are in the order of their addresses unless asked"),
    ("regions", "top", "nothing is summed up in a line of its own"),
    ("nr-regions", "compat", "about percentiles over time, not of one snapshot"),
    ("wss", "skip", "only as damo computes, with damo's default"),
    ("wss", "sort", "what damo's percentiles are of"),
    ("repair", "file", "the only command that wants a damaged trace"),
    ("verify", "file", "only traces have checksums"),
    ("summary", "output", "a directory for several files"),
    ("merge", "files", "takes several"),
    ("completions", "shell", "takes no trace"),
    ("man", "", "takes no trace"),
];

/// Words of `--format`, in the only order they may have.
const FORMATS: [&str; 8] =
    ["text", "json", "csv", "damo", "markdown", "junit", "bencher", "github-action-benchmark"];

fn is_allowed(command: &str, what: &str) -> bool {
    ALLOWED.iter().any(|(c, w, _)| *c == command && *w == what)
}

fn program() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn own_args(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
}

/// All complaints at once, so that one run tells what is left to do.
fn complain(complaints: &str) {
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn every_command_has_examples_that_parse() {
    let mut complaints = String::new();
    for command in program().get_subcommands() {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, examples)) = help.split_once("Examples:\n") else {
            writeln!(complaints, "{name}: no `Examples:` in after_help").unwrap();
            continue;
        };
        let lines: Vec<&str> = examples.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let own = format!("damon-report {name}");
        if !lines.iter().any(|line| line.starts_with(&own)) {
            writeln!(complaints, "{name}: no example of it").unwrap();
        }
        for part in lines.iter().flat_map(|line| line.split('|')) {
            let words = part.split_once('>').map_or(part, |(before, _)| before).split_whitespace();
            let words: Vec<&str> = words.collect();
            if words.first() == Some(&"damon-report")
                && let Err(error) = Cli::try_parse_from(&words)
            {
                writeln!(complaints, "{name}: example `{}`: {error}", part.trim()).unwrap();
            }
        }
    }
    complain(&complaints);
}

#[test]
fn every_argument_has_help_and_a_long_name() {
    let mut complaints = String::new();
    for command in program().get_subcommands() {
        let name = command.get_name();
        for arg in own_args(command) {
            let id = arg.get_id();
            if arg.get_help().is_none() {
                writeln!(complaints, "{name}: {id} has no help").unwrap();
            }
            if !arg.is_positional() && arg.get_long().is_none() {
                writeln!(complaints, "{name}: {id} has no long name").unwrap();
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            if help.ends_with('.') && !help.ends_with("..") {
                writeln!(complaints, "{name}: the help of {id} ends with a full stop").unwrap();
            }
        }
    }
    complain(&complaints);
}

/// What flags of this name have in common: pictures and traces are both output, and do not mean the same.
fn name(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let picture = if help.starts_with("Draw a picture") { " of a picture" } else { "" };
    format!("{}{picture}", arg.get_id())
}

/// What a flag is to its user: help, names, value. What stands behind a semicolon is about this command, and each
/// picture has its own usual size.
fn meaning(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    let default: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    let default = if arg.get_id() == "size" { Vec::new() } else { default };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    format!(
        "{} | -{} | <{values}> | default {}",
        help.split(';').next().unwrap_or_default(),
        arg.get_short().unwrap_or(' '),
        default.join(" ")
    )
}

#[test]
fn a_flag_means_the_same_everywhere() {
    let mut complaints = String::new();
    let mut meanings: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let program = program();
    for command in program.get_subcommands() {
        for arg in own_args(command) {
            let id = arg.get_id().to_string();
            if is_allowed(command.get_name(), &id) {
                continue;
            }
            let users = meanings.entry(name(arg)).or_default().entry(meaning(arg)).or_default();
            users.push(command.get_name().to_owned());
        }
    }
    for (id, meanings) in meanings.iter().filter(|(_, meanings)| meanings.len() > 1) {
        writeln!(complaints, "{id} differs:").unwrap();
        for (meaning, users) in meanings {
            writeln!(complaints, "    {}: {meaning}", users.join(", ")).unwrap();
        }
    }
    complain(&complaints);
}

#[test]
fn the_input_comes_first_and_formats_have_one_spelling() {
    let mut complaints = String::new();
    for command in program().get_subcommands() {
        let name = command.get_name();
        let first = command.get_positionals().next().map(|arg| arg.get_id().to_string());
        let first = first.unwrap_or_default();
        if first != "file" && !is_allowed(name, &first) {
            writeln!(complaints, "{name}: its first argument is `{first}` and not FILE").unwrap();
        }
        let Some(format) = own_args(command).find(|arg| arg.get_id() == "format") else { continue };
        let values = format.get_possible_values();
        let places: Vec<Option<usize>> =
            values.iter().map(|v| FORMATS.iter().position(|f| *f == v.get_name())).collect();
        let is_known = places.iter().all(Option::is_some) && places.is_sorted();
        if !is_known || values.first().is_none_or(|v| v.get_name() != "text") {
            let names: Vec<&str> =
                values.iter().map(clap::builder::PossibleValue::get_name).collect();
            writeln!(complaints, "{name}: --format has {names:?}, and not some of {FORMATS:?}")
                .unwrap();
        }
        if let Some(value) = values.iter().find(|value| value.get_help().is_none()) {
            writeln!(complaints, "{name}: --format {} has no help", value.get_name()).unwrap();
        }
    }
    complain(&complaints);
}

#[test]
fn every_table_can_be_given_a_width() {
    let mut complaints = String::new();
    for command in program().get_subcommands() {
        let name = command.get_name();
        let has = |id: &str, value: &str| {
            let mut found = own_args(command).filter(|arg| arg.get_id() == id);
            found.any(|arg| arg.get_possible_values().iter().any(|v| v.get_name() == value))
        };
        // Whatever is a table in a spreadsheet is one in the terminal.
        let is_table = has("format", "text") && has("format", "csv");
        let is_wide = own_args(command).any(|arg| arg.get_id() == "columns");
        // `raw` prints while it reads, and does not know how wide what comes will be.
        if is_table && !is_wide && name != "raw" {
            writeln!(complaints, "{name}: its table takes no --columns").unwrap();
        }
    }
    complain(&complaints);
}

#[test]
fn nothing_is_allowed_that_does_not_exist() {
    let program = program();
    let unknown: BTreeSet<&(&str, &str, &str)> = ALLOWED
        .iter()
        .filter(|(name, what, _)| {
            let command = program.get_subcommands().find(|c| c.get_name() == *name);
            let has = |c: &Command| {
                what.is_empty() || own_args(c).any(|arg| arg.get_id().as_str() == *what)
            };
            !command.is_some_and(has)
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Where nothing but a picture is made, the width of lines would be ignored.
#[test]
fn no_picture_is_given_a_width_of_lines() {
    let mut pictures = 0;
    for command in program().get_subcommands() {
        let name = command.get_name();
        let conflicts = |more: [&str; 2]| {
            let words = [&["damon-report", name, "work.damon", "-o", "x.png"][..], &more].concat();
            let error = Cli::try_parse_from(words).err();
            error.is_some_and(|error| error.kind() == ErrorKind::ArgumentConflict)
        };
        let is_wide = own_args(command).any(|arg| arg.get_id() == "columns");
        if is_wide && conflicts(["--format", "csv"]) {
            pictures += 1;
            assert!(conflicts(["--columns", "60"]), "{name}");
        }
    }
    assert!(pictures >= 7, "{pictures}");
}
