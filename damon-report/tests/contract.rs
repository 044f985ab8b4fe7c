//! What all commands promise together. A command that is added has to be added here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;

use clap::CommandFactory as _;
use common::program::{Ran, bench};
use damon_report::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command and what it needs beside the recording `@`; `OUT` is a file that is not there.
const COMMANDS: [&[&str]; 22] = [
    &["info", "@"],
    &["summary", "@"],
    &["heatmap", "@"],
    &["wss", "@"],
    &["wss", "@", "--windows"],
    &["wss", "@", "--per-target"],
    &["mappings", "@"],
    &["footprint", "@"],
    &["idle", "@"],
    &["regions", "@"],
    &["histogram", "@"],
    &["times", "@"],
    &["nr-regions", "@"],
    &["bandwidth", "@"],
    &["simulate", "@", "--schemes", "thp"],
    &["raw", "@"],
    &["verify", "@"],
    &["repair", "@", "-o", "OUT"],
    &["slice", "@", "-o", "OUT"],
    &["merge", "@", "-o", "OUT"],
    &["adjust", "@", "--aggr", "1s", "-o", "OUT"],
    &["export", "@", "--to", "damo", "-o", "OUT"],
];
/// Those that are told by other tests: they take no trace, or several, or what is none.
const OTHERS: [&str; 4] = ["compare", "import", "completions", "man"];

/// With the file, a place for the output, and more arguments.
fn command(words: &[&str], file: &str, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_damon-report"));
    command.env_remove("COLUMNS").stdin(Stdio::null());
    for word in words.iter().chain(more) {
        match *word {
            "@" => command.arg(file),
            "OUT" => command.arg(out),
            word => command.arg(word),
        };
    }
    command
}

fn writes_a_file(words: &[&str]) -> bool {
    words.contains(&"OUT")
}

fn takes(words: &[&str], flag: &str) -> bool {
    let program = Cli::command();
    let command = program.find_subcommand(words[0]).unwrap();
    command.get_arguments().any(|arg| arg.get_id() == flag)
}

fn has_json(words: &[&str]) -> bool {
    takes(words, "format")
}

/// Into a file, with `-o`.
fn draws(words: &[&str]) -> bool {
    has_json(words)
        && takes(words, "output")
        && !matches!(words, ["summary", ..] | ["wss", .., "--per-target"])
}

/// What `--format` takes.
fn formats(words: &[&str]) -> Vec<String> {
    let program = Cli::command();
    let command = program.find_subcommand(words[0]).unwrap();
    let format = command.get_arguments().find(|arg| arg.get_id() == "format");
    let values = format.map(clap::Arg::get_possible_values).unwrap_or_default();
    values.iter().map(|value| value.get_name().to_owned()).collect()
}

#[test]
fn no_command_is_forgotten() {
    let here: BTreeSet<&str> = COMMANDS.iter().map(|words| words[0]).chain(OTHERS).collect();
    let program = Cli::command();
    let there: BTreeSet<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(here, there);
    for words in COMMANDS {
        assert!(has_json(words) != writes_a_file(words), "{words:?}: what is shown has --format");
    }
}

#[test]
fn standard_input_is_what_the_file_is() {
    let bytes = common::ten_seconds();
    let (directory, file) = bench(&bytes);
    for words in COMMANDS {
        let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
        let of_file = Ran::of(&command(words, &file, &a, &[]).output().unwrap());
        assert_eq!((of_file.status, of_file.err.as_str()), (0, ""), "{words:?}");
        let mut child = command(words, "-", &b, &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let of_pipe = Ran::of(&child.wait_with_output().unwrap());
        assert_eq!((of_pipe.status, of_pipe.err.as_str()), (0, ""), "{words:?}");
        let named = |text: &str| text.replace(&file, "standard input").replace("/a:", "/b:");
        assert_eq!(named(&of_file.out), of_pipe.out, "{words:?}");
        if writes_a_file(words) {
            // A note tells where they come from.
            let rows = |path: &Path| {
                let form = ["raw", "@", "--format", "csv"];
                Ran::of(&command(&form, path.to_str().unwrap(), path, &[]).output().unwrap()).out
            };
            assert_eq!(rows(&a), rows(&b), "{words:?}");
            assert!(rows(&a).lines().count() > 1, "{words:?}");
            fs::remove_file(a).unwrap();
            fs::remove_file(b).unwrap();
        }
    }
}

/// What one thread finds is what several find, in every form, and a text says what its numbers rest on.
#[test]
fn threads_change_nothing() {
    let (directory, file) = bench(&common::ten_seconds());
    let out = directory.path().join("out");
    let run = |words: &[&str], more: &[&str], threads: &str| {
        let mut command = command(words, &file, &out, more);
        let ran = Ran::of(&command.env("RAYON_NUM_THREADS", threads).output().unwrap());
        assert_eq!(ran.status, 0, "{words:?} {more:?}: {}", ran.err);
        (ran.out, ran.err, fs::read(&out).unwrap_or_default())
    };
    let check = |words: &[&str], more: &[&str]| {
        let one = run(words, more, "1");
        drop(fs::remove_file(&out));
        assert!(one == run(words, more, "5"), "{words:?} {more:?}");
        drop(fs::remove_file(&out));
        one
    };
    for words in COMMANDS {
        for format in formats(words) {
            let (said, ..) = check(words, &["--format", &format]);
            match format.as_str() {
                "text" => {
                    assert!(said.is_ascii(), "{words:?}: {said}");
                    let basis = "writes only, page, sampled";
                    assert!(said.contains(basis) || words[0] == "verify", "{words:?}: {said}");
                }
                "csv" => assert!(said.lines().count() > 1, "{words:?}: {said}"),
                _ => {}
            }
        }
        if writes_a_file(words) {
            assert!(!check(words, &[]).2.is_empty(), "{words:?}");
        }
    }
}

#[test]
fn pictures_are_the_same_with_any_number_of_threads() {
    let (directory, file) = bench(&common::ten_seconds());
    let mut drawn = 0;
    for words in COMMANDS.into_iter().filter(|words| draws(words)) {
        for (name, magic) in [("x.png", &b"\x89PNG"[..]), ("x.svg", b"<svg ")] {
            let to = directory.path().join(name);
            let pictures = ["1", "5"].map(|threads| {
                let mut command = command(words, &file, &to, &["-o", "OUT"]);
                let ran = Ran::of(&command.env("RAYON_NUM_THREADS", threads).output().unwrap());
                assert_eq!(ran.status, 0, "{words:?}: {}", ran.err);
                fs::read(&to).unwrap()
            });
            assert!(pictures[0].starts_with(magic) && pictures[0] == pictures[1], "{words:?}");
            drawn += 1;
        }
    }
    assert!(drawn >= 14, "{drawn}");
}

/// Whose memory, when, on which scale: what the first two lines of a text say.
#[test]
fn json_says_what_the_title_of_the_text_says() {
    let (directory, file) = bench(&common::ten_seconds());
    let out = directory.path().join("unused");
    for words in COMMANDS.into_iter().filter(|words| has_json(words)) {
        let part: &[&str] = if takes(words, "time") { &["--time", "2s..8s"] } else { &[] };
        let json = [part, &["--format", "json"]].concat();
        let ran = Ran::of(&command(words, &file, &out, &json).output().unwrap());
        assert_eq!(ran.status, 0, "{words:?}: {}", ran.err);
        let first = ran.out.lines().next().unwrap();
        let value: serde_json::Value = serde_json::from_str(first).unwrap();
        assert_eq!((&value["format"], &value["report"]), (&1.into(), &words[0].into()));
        assert_eq!(value["access"]["kind"], "write", "{words:?}");
        assert_eq!(value["access"]["granularity"], "page", "{words:?}");
        if matches!(words[0], "info" | "raw" | "verify") {
            // Their own fields say more of that.
            continue;
        }
        let selected = &value["selected"];
        assert_eq!(selected["targets"][0]["pid"], 4711, "{words:?}");
        assert_eq!(selected["targets"][0]["comm"], "work", "{words:?}");
        assert_eq!(selected["sample_us"]["least"], 5_000, "{words:?}");
        assert_eq!(selected["aggr_us"]["most"], 100_000, "{words:?}");
        let time = [&selected["start_ns"], &selected["end_ns"]].map(|ns| ns.as_u64().unwrap());
        let expected = [2, 8].map(|s| common::BEGIN + s * common::SECOND);
        // The last complete moment is one snapshot.
        assert!(time == expected || words[0] == "regions", "{words:?}: {time:?}");
    }
}

#[test]
fn who_closes_a_pipe_has_seen_enough() {
    let (directory, file) = bench(&common::ten_seconds());
    for words in COMMANDS {
        let out = directory.path().join("out");
        let mut child = command(words, &file, &out, &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{words:?}");
        drop(fs::remove_file(out));
    }
}

#[test]
fn one_matrix_of_exit_statuses() {
    let (directory, file) = bench(&common::ten_seconds());
    let out = directory.path().join("out");
    let put = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let inputs = [
        directory.path().join("missing").to_str().unwrap().to_owned(),
        directory.path().to_str().unwrap().to_owned(),
        put("empty", b""),
        put("text", b"no recording at all\n"),
        put("json", b"[{\"snapshots\": 7}]"),
    ];
    for words in COMMANDS {
        for input in &inputs {
            let ran = Ran::of(&command(words, input, &out, &[]).output().unwrap());
            assert_eq!((ran.status, ran.out.as_str()), (4, ""), "{words:?} {input}: {}", ran.err);
            assert_eq!(ran.err.lines().count(), 1, "{words:?} {input}: {}", ran.err);
            assert!(ran.err.contains(input.as_str()), "{words:?}: {}", ran.err);
        }
        let ran = Ran::of(&command(words, &file, &out, &["--no-such-flag"]).output().unwrap());
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{words:?}: {}", ran.err);
        assert!(!out.exists(), "{words:?}");
        // Where there is no room, and where there is no directory.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ran::of(&command(words, &file, &out, &[]).stdout(full).output().unwrap());
        assert_eq!(ran.status, 5, "{words:?}: {}", ran.err);
        let said = "damon-report: cannot write to standard output: ";
        assert!(ran.err.starts_with(said), "{words:?}: {}", ran.err);
        drop(fs::remove_file(&out));
        if draws(words) {
            let to = directory.path().join("nowhere/x.png");
            let ran = Ran::of(&command(words, &file, &to, &["-o", "OUT"]).output().unwrap());
            assert_eq!((ran.status, ran.out.as_str()), (5, ""), "{words:?}: {}", ran.err);
            assert!(ran.err.contains("/nowhere/x.png: cannot write: "), "{words:?}: {}", ran.err);
        }
        if writes_a_file(words) {
            for (to, left) in [("nowhere/x", false), ("/dev/full", true)] {
                let to = directory.path().join(to);
                let ran = Ran::of(&command(words, &file, &to, &["--force"]).output().unwrap());
                assert_eq!(ran.status, 5, "{words:?}: {}", ran.err);
                assert!(ran.err.contains("cannot write") && to.exists() == left, "{}", ran.err);
            }
        }
    }
    let left = fs::read_dir(directory.path()).unwrap();
    let left: BTreeSet<_> = left.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left, ["empty", "json", "text", "work.damon"].map(String::from).into());
}

/// Rust's runtime puts `/dev/null` where standard output was closed, and its handle hides `EBADF`.
#[test]
fn a_standard_output_that_is_closed_or_not_for_writing_is_an_output_error() {
    let (_directory, file) = bench(&common::ten_seconds());
    let run = |words: &str| {
        let script = format!("exec \"$0\" {words}");
        let program = env!("CARGO_BIN_EXE_damon-report");
        Ran::of(&Command::new("sh").args(["-c", &script, program, &file]).output().unwrap())
    };
    let closed = run("wss \"$1\" >&-");
    assert_eq!(closed.status, 5);
    assert!(closed.err.contains("standard output: it was closed"), "{}", closed.err);
    assert_eq!(run("--help >&-").status, 5);
    assert_eq!(run("wss \"$1\" 1</dev/null").status, 5);
    assert_eq!(run("wss \"$1\" >/dev/null").status, 0);
    assert_eq!(run("wss \"$1\" 1<>/dev/null").status, 0);
}

#[test]
fn nothing_is_called_a_benefit() {
    let (directory, file) = bench(&common::ten_seconds());
    let out = directory.path().join("unused");
    for words in COMMANDS.into_iter().filter(|words| !writes_a_file(words)) {
        for more in [&[][..], &["--help"]] {
            let ran = Ran::of(&command(words, &file, &out, more).output().unwrap());
            let said = ran.out.to_lowercase();
            assert!(!said.contains("benefi"), "{words:?}: {said}");
        }
    }
}
