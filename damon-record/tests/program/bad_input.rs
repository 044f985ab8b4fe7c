//! Every mistake gets one clear sentence and its exit status, and nothing is lost.

use crate::common::{Place, Sleeper, expect};
use damon_record::proc::ProcRoot;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

#[test]
fn no_such_process() {
    let place = Place::new();
    expect(&place.run(&["2147483647"]), 3, "there is no process 2147483647");
    assert!(!place.path("recording.damon").exists());
}

#[test]
fn a_zombie() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id().to_string();
    crate::common::wait_until("the child is a zombie", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z "))
    });
    expect(&Place::new().run(&[&pid]), 3, "zombie");
    child.wait().unwrap();
}

#[test]
fn somebody_elses_process() {
    if !nix::unistd::geteuid().is_root() {
        expect(&Place::new().run(&["1"]), 3, "sudo damon-record 1");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = place.path("damon-record");
    std::fs::copy(crate::common::PROGRAM, &program).unwrap();
    let target = Sleeper::new();
    let output = Command::new("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(&program)
        .arg(target.pid())
        .current_dir(place.path("."))
        .output()
        .unwrap();
    expect(&output, 3, &format!("sudo damon-record {}", target.pid()));
}

#[test]
fn a_process_under_a_debugger() {
    let target = Sleeper::new();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(target.0.id()).unwrap());
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
    let place = Place::new();
    expect(&place.run(&["--backend", "writes", &target.pid()]), 3, "being traced by process");
    assert!(!place.path("recording.damon").exists());
    // Page tables are read whoever traces the process; others are refused, and auto goes on.
    if (damon_record::backend::pte::KIND.self_test)(&ProcRoot::default()).is_ok() {
        expect(&place.run(&["-d", "300ms", &target.pid()]), 0, "backend pte");
        return;
    }
    let said = expect(&place.run(&["-d", "300ms", &target.pid()]), 0, "being traced by process");
    assert!(said.contains("backend referenced"), "{said}");
    let path = place.path("recording.damon");
    let reader = crate::common::open(&path);
    assert!(reader.info().backend.reason.contains("being traced"), "the reason is recorded");
}

#[test]
fn a_directory_that_may_not_be_written() {
    if !nix::unistd::geteuid().is_root() {
        expect(&Place::new().run(&["-o", "/proc/x", "--", "true"]), 5, "/proc/x");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path("damon-record");
    std::fs::copy(crate::common::PROGRAM, &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(&program)
        .args(["--", "touch", "/tmp/never"])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    expect(&output, 5, "no permission to write recording.damon");
}

#[test]
fn nothing_to_record_or_too_much() {
    expect(&Place::new().run(&[]), 2, "give a PID");
    expect(&Place::new().run(&["1", "--", "true"]), 2, "not both");
    expect(&Place::new().run(&["--no-such-option"]), 2, "--no-such-option");
    expect(&Place::new().run(&["12x"]), 2, "12x");
}

#[test]
fn intervals_that_contradict_each_other() {
    let said = ["--sample", "2s", "--aggr", "1s", "--", "true"];
    expect(&Place::new().run(&said), 2, "--sample 2s is longer than --aggr 1s");
    expect(&Place::new().run(&["--sample", "5", "--", "true"]), 2, "unit");
}

#[test]
fn backends_that_are_not_there() {
    let run = |name| Place::new().run(&["--backend", name, "--", "true"]);
    expect(&run("magic"), 2, "there is no backend magic");
}

#[test]
fn the_machine_and_a_process_are_not_recorded_at_once() {
    expect(&Place::new().run(&["--physical", "1"]), 2, "--physical records the whole machine");
    expect(&Place::new().run(&["--backend", "attach", "1"]), 2, "what the kdamond monitors");
}

#[test]
fn waiting_for_the_first_process_ends_with_the_time_asked_for() {
    let words = ["--comm", "nobody-has-this-name", "--wait", "-d", "300ms"];
    expect(&Place::new().run(&words), 3, "the time asked for is over");
}

#[test]
fn schemes_that_cannot_be_read_change_nothing() {
    let place = Place::new();
    let run = |file: &str| place.run(&["--backend", "referenced", "--schemes", file, "--", "true"]);
    expect(&run("missing.json"), 2, "missing.json: No such file");
    std::fs::write(place.path("bad.json"), r#"[{"action": "pageuot"}]"#).unwrap();
    expect(&run("bad.json"), 2, "pageout");
    std::fs::write(place.path("kernel.json"), r#"[{"action": "lru_prio"}]"#).unwrap();
    expect(&run("kernel.json"), 2, "lru_prio");
    assert!(!place.path("recording.damon").exists());
}

/// Whoever asks before is told the same as whoever does it.
#[test]
fn a_dry_run_refuses_and_warns_as_the_recording_would() {
    let place = Place::new();
    let run = |file: &str| {
        let backend = ["--backend", "referenced", "--schemes", file];
        place.run(&[&["--dry-run"][..], &backend, &["--", "true"]].concat())
    };
    let filtered = r#"[{"action": "pageout", "filters": [{"type": "anon", "matching": true}]}]"#;
    std::fs::write(place.path("anon.json"), filtered).unwrap();
    expect(&run("anon.json"), 2, "anon");
    let rare = r#"[{"action": "cold", "access_pattern": {"nr_accesses": {"min": "10 %"}}}]"#;
    std::fs::write(place.path("rare.json"), rare).unwrap();
    let output = run("rare.json");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("memory never accessed matches"), "{said}");
}

#[test]
fn commands_that_cannot_be_started_leave_older_recordings_alone() {
    let place = Place::new();
    std::fs::write(place.path("recording.damon"), "older").unwrap();
    expect(&place.run(&["--", "no-such-command-here"]), 127, "command not found");
    std::fs::write(place.path("text"), "not a program").unwrap();
    expect(&place.run(&["--", "./text"]), 126, "permission denied");
    let kept = std::fs::read_to_string(place.path("recording.damon")).unwrap();
    assert_eq!(kept, "older");
    assert!(!place.path("recording.damon.old").exists());
}

/// exec says that permission is denied when a directory of PATH may not be searched and no other has the program.
#[test]
fn a_command_that_is_nowhere_is_not_found_though_a_directory_of_the_path_is_closed() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: only root can become somebody else");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
    let closed = place.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let program = place.path("damon-record");
    std::fs::copy(crate::common::PROGRAM, &program).unwrap();
    let run = |name: &str| {
        Command::new("/usr/bin/env")
            .args(["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"])
            .arg(&program)
            .args(["--", name])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin:{}", closed.display(), place.path(".").display()),
            )
            .current_dir(place.path("."))
            .output()
            .unwrap()
    };
    expect(&run("no-such-command-here"), 127, "command not found");
    std::fs::write(place.path("text"), "not a program").unwrap();
    expect(&run("text"), 126, "permission denied");
}

#[test]
fn a_pid_behind_an_option_is_told_where_it_belongs() {
    let said = expect(&Place::new().run(&["-p", "5"]), 2, "damon-record 5");
    assert!(!said.contains("-- -p"), "{said}");
    let said = expect(&Place::new().run(&["--no-such"]), 2, "unexpected argument");
    assert!(!said.contains("-- --no-such"), "{said}");
}

/// What cannot be taken up leaves no file, and no older one loses its place.
#[test]
fn targets_that_cannot_be_taken_up_leave_older_recordings_alone() {
    let target = Sleeper::new();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(target.0.id()).unwrap());
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
    let place = Place::new();
    for name in ["recording.damon", "x"] {
        std::fs::write(place.path(name), "older").unwrap();
    }
    let pid = target.pid();
    // The backend itself refuses, and then what is asked of it.
    expect(&place.run(&["--backend", "writes", &pid]), 3, "being traced");
    expect(&place.run(&["--backend", "writes", "-o", "x", "--force", &pid]), 3, "being traced");
    let names = std::fs::read_dir(place.path(".")).unwrap();
    let mut names: Vec<_> = names.map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["recording.damon", "x"]);
    for name in names {
        assert_eq!(std::fs::read_to_string(place.path(name.to_str().unwrap())).unwrap(), "older");
    }
}

#[test]
fn an_existing_output_is_refused_before_the_command_runs() {
    let place = Place::new();
    std::fs::write(place.path("x"), "precious").unwrap();
    expect(&place.run(&["-o", "x", "--", "touch", "ran"]), 5, "--force");
    assert_eq!(std::fs::read_to_string(place.path("x")).unwrap(), "precious");
    assert!(!place.path("ran").exists());
    let forced = ["-q", "-o", "x", "--force", "--", "touch", "ran"];
    assert_eq!(place.run(&forced).status.code(), Some(0));
    assert!(place.path("ran").exists());
    crate::common::open(&place.path("x"));
}

#[test]
fn outputs_that_cannot_be_created() {
    let place = Place::new();
    expect(&place.run(&["-o", "no/dir/x", "--", "true"]), 5, "does not exist");
    expect(&place.run(&["-o", ".", "--", "true"]), 5, "is a directory");
    expect(&place.run(&["-o", "/proc/x", "--", "true"]), 5, "no files can be made there");
}

#[test]
fn a_full_disk_keeps_what_was_written_and_lets_the_command_end() {
    let place = Place::new();
    let script = "ulimit -f 14; exec \"$0\" -q --budget 100% --sample 5ms --aggr 5ms --backend referenced \
                  -o x -- sh -c 'ulimit -f unlimited 2>/dev/null; i=0; while [ $i -lt 500 ]; do \
                  i=$((i+1)); sleep 0.01; done; echo done >&2'";
    let output = Command::new("sh")
        .args(["-c", script, crate::common::PROGRAM])
        .current_dir(place.path("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = expect(&output, 5, "valid recording");
    assert!(said.contains("done"), "the command ran to its end: {said}");
    let content = crate::common::read(&place.path("x"));
    assert!(!content.snapshots.is_empty());
}

#[test]
fn a_reader_that_goes_away_is_an_output_error() {
    let place = Place::new();
    let script = "\"$0\" --sample 1ms --aggr 1ms -o - -- sleep 3 | head -c 10 > /dev/null; \
                  exit ${PIPESTATUS[0]}";
    let output = Command::new("bash")
        .args(["-c", script, crate::common::PROGRAM])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    expect(&output, 5, "its reader has gone");
}

/// Rust's runtime puts `/dev/null` where standard output was closed, and its handle hides `EBADF`.
#[test]
fn a_standard_output_that_is_closed_or_not_for_writing() {
    let place = Place::new();
    let run = |words: &str| {
        let script = format!("exec \"$0\" {words}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, crate::common::PROGRAM]).current_dir(place.path("."));
        command.output().unwrap()
    };
    expect(&run("-o - -- touch ran >&-"), 5, "it was closed");
    assert!(!place.path("ran").exists(), "nothing was started");
    expect(&run("-o - -- true 1</dev/null"), 5, "standard output cannot be written");
    expect(&run("doctor >&-"), 5, "it was closed");
    expect(&run("--help >&-"), 5, "it was closed");
    expect(&run("-o - -- true >/dev/null"), 0, "recorded");
    expect(&run("-o - -- true 1<>/dev/null"), 0, "recorded");
    expect(&run("-o x -- true >&-"), 0, "recorded");
}

#[test]
fn a_disk_that_is_full_from_the_start() {
    let said = expect(&Place::new().run(&["-o", "/dev/full", "--", "true"]), 5, "the disk is full");
    assert!(said.contains("nothing was recorded"), "{said}");
}

/// Version managers and shell wrappers execute several programs before the one that was meant.
#[test]
fn a_process_that_executes_one_program_after_the_other_while_it_is_attached_to() {
    let place = Place::new();
    let script = "[ $1 -gt 0 ] && exec sh \"$0\" $(($1-1)); exec sleep 600";
    std::fs::write(place.path("chain"), script).unwrap();
    for _ in 0..5 {
        let child = Command::new("sh").arg(place.path("chain")).arg("150").spawn().unwrap();
        let target = Sleeper(child);
        let words = ["--backend", "referenced", "--force", "-o", "x", "-d", "400ms", &target.pid()];
        expect(&place.run(&words), 0, "recorded");
    }
}

#[test]
fn doctor_answers_whoever_asks() {
    let output = Place::new().run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let referenced =
        value["backends"].as_array().unwrap().iter().find(|b| b["name"] == "referenced").unwrap();
    assert_eq!(referenced["works"], true, "{referenced}");
}

#[test]
fn rotations_that_make_no_sense() {
    for (words, text) in [
        (&["--rotate-size", "1M", "-o", "-"][..], "standard output"),
        (&["--rotate-size", "1M", "-o", "/dev/null"], "cannot be rotated"),
        (&["--rotate-size", "64"], "a unit is missing"),
        (&["--rotate-size", "1KiB"], "at least 64 KiB"),
        (&["--rotate-time", "10ms"], "at least 1s"),
        (&["--keep", "3"], "add --rotate-size or"),
        (&["--rotate-time", "1h", "--keep", "1"], "at least 2"),
    ] {
        let place = Place::new();
        expect(&place.run(&[words, &["--", "touch", "ran"]].concat()), 2, text);
        assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 0, "{words:?}");
    }
}
