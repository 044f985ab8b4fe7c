//! How far the input has been read: on a terminal, and nowhere else.

use super::{Bench, common, program, run};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Stdio};

/// What erases a line.
const ERASE: &str = "\r\u{1b}[K";

/// Both ends of a terminal: what somebody sees, and what a program writes to.
fn terminal() -> (File, File) {
    let seen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&seen).unwrap();
    unlockpt(&seen).unwrap();
    let name = ptsname(&seen, Vec::new()).unwrap();
    let name = OsStr::from_bytes(name.to_bytes());
    let written = File::options().read(true).write(true).open(name).unwrap();
    (File::from(seen), written)
}

/// A program whose input comes slowly.
fn waiting(error: Stdio) -> Child {
    let mut program = program(&["wss", "-"]);
    program.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(error);
    program.spawn().unwrap()
}

/// Reads on until the screen says something.
fn read_until(screen: &mut File, seen: &mut String, words: &str) {
    let mut buffer = [0; 256];
    while !seen.contains(words) {
        let read = screen.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[test]
fn who_waits_at_a_terminal_is_told_how_far_the_input_is_read() {
    let (mut screen, terminal) = terminal();
    let recording = common::ten_seconds();
    let (begin, rest) = recording.split_at(recording.len() / 2);
    // The one without a terminal waits longer, and still says nothing.
    let mut children = [waiting(Stdio::piped()), waiting(terminal.into())];
    for child in &mut children {
        child.stdin.as_mut().unwrap().write_all(begin).unwrap();
    }
    let mut seen = String::new();
    let told = format!("{ERASE}reading standard input: {} KiB", begin.len() >> 10);
    read_until(&mut screen, &mut seen, &told);
    let bench = Bench::new();
    let expected = run(&["wss", &bench.name("work.damon")]);
    for mut child in children {
        child.stdin.take().unwrap().write_all(rest).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0));
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), expected.out);
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    }
    // Whoever wrote is gone: what there is can be read, then the terminal is closed.
    let mut buffer = [0; 256];
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(seen.ends_with(ERASE), "{seen:?}");
    assert!(!seen.contains('\n'), "{seen:?}");
}

#[test]
fn a_message_does_not_stand_behind_the_line() {
    let (mut screen, terminal) = terminal();
    let mut child = waiting(terminal.into());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"no recording").unwrap();
    let mut seen = String::new();
    read_until(&mut screen, &mut seen, "reading standard input: 0 KiB");
    drop(input);
    read_until(&mut screen, &mut seen, "\n");
    let (_, message) = seen.rsplit_once(ERASE).unwrap();
    assert!(message.starts_with("damon-report: standard input: neither a trace"), "{seen:?}");
    assert_eq!(child.wait().unwrap().code(), Some(4));
}
