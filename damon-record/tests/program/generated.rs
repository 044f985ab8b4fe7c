//! What is generated from the command line's definition, and that it is never taken for something to record.

use crate::common::{Place, expect};
use std::process::{Command, Stdio};

#[test]
fn bash_takes_the_completions_and_finds_flags_in_them() {
    let place = Place::new();
    let script = place.run(&["completions", "bash"]);
    expect(&script, 0, "");
    std::fs::write(place.path("completions"), &script.stdout).unwrap();
    // As bash asks: the word that is completed, and its place in the line.
    let ask = "source completions; COMP_WORDS=(damon-record --rot); COMP_CWORD=1; \
               how=$(complete -p damon-record); how=${how#*-F }; \
               ${how%% *} damon-record --rot damon-record; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    let bash = bash.args(["--norc", "-c", ask]).current_dir(place.path(".")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout), "--rotate-size\n--rotate-time\n");
    let unknown = place.run(&["completions", "tcsh"]);
    assert!(expect(&unknown, 2, "tcsh").contains("fish"), "the shells there are");
}

#[test]
fn the_manual_page_has_every_flag_and_the_exit_statuses() {
    let page = Place::new().run(&["man"]);
    expect(&page, 0, "");
    let text = String::from_utf8(page.stdout).unwrap();
    assert!(text.starts_with(".ie ") && text.contains(".TH damon-record 1"), "{text}");
    for flag in ["rotate\\-size", "backend", "children", "EXTRA\n.nf\n", "Exit status"] {
        assert!(text.contains(flag), "{flag}");
    }
    // A pager that is left early is no error.
    let mut child = Place::new()
        .command(&["man"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    expect(&child.wait_with_output().unwrap(), 0, "");
}

#[test]
fn a_command_to_record_may_have_the_name_of_a_subcommand() {
    let place = Place::new();
    for name in ["man", "doctor", "completions", "mark"] {
        let program = place.path(name);
        std::fs::write(&program, "#!/bin/sh\nexit 9\n").unwrap();
        let mut mode = std::fs::metadata(&program).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let words = [
            "--force",
            "-o",
            "x.damon",
            "--backend",
            "referenced",
            "--",
            &program.to_string_lossy(),
        ]
        .map(ToOwned::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        expect(&place.run(&words), 9, "");
        // By its bare name, found in PATH.
        let path = format!("{}:{}", place.path(".").display(), std::env::var("PATH").unwrap());
        let mut bare = place.command(&["--force", "--backend", "referenced", "--", name, "ls"]);
        expect(&bare.env("PATH", path).output().unwrap(), 9, "");
    }
    // Behind flags or with arguments of its own it is neither a process nor the subcommand.
    expect(&place.run(&["-q", "man"]), 2, "man");
    expect(&place.run(&["man", "ls"]), 2, "ls");
    assert!(place.path("x.damon").exists());
}
