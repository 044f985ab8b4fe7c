//! Other circumstances than root in the initial namespaces.

use crate::common::{Target, assert_agreement, kernel};
use damon_record::backend::pte::tables_self_test;
use damon_record::proc::ProcRoot;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Runs one of the ignored tests below under a command, and returns what it printed.
fn inside(command: &[&str], test: &str) -> String {
    let directory =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let program = directory.path().join("inside");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = Command::new(command[0])
        .args(&command[1..])
        .arg(&program)
        .args(["--exact", &format!("privileges::{test}"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let errors = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success() && text.contains("1 passed"), "{text}{errors}");
    text
}

#[test]
#[ignore = "started by another_namespace_of_process_ids, inside of it"]
fn inside_another_namespace() {
    let kernel = kernel().unwrap();
    let mut target = Target::start();
    assert!(target.pid() < 100, "the ids begin anew");
    let base = target.map("map anonymous 256");
    target.ask("write 0 200");
    let mut tables = target.locate(&kernel);
    assert_eq!(assert_agreement(&mut tables, target.pid(), base, 256), 200);
    // After a fork most pages have the same frames in both.
    let child: u32 = target.ask("fork").parse().unwrap();
    let proc = ProcRoot::default();
    let mut forked = damon_record::backend::pte::locate(&kernel, &proc, child).unwrap();
    assert_eq!(assert_agreement(&mut forked, child, base, 256), 200);
    tables_self_test(&proc).unwrap();
}

#[test]
fn another_namespace_of_process_ids() {
    if kernel().is_none() {
        return;
    }
    inside(&["unshare", "--pid", "--fork", "--mount-proc"], "inside_another_namespace");
}

#[test]
#[ignore = "started by every_missing_privilege_is_named, without it"]
fn inside_without_privilege() {
    println!("refused: {}", tables_self_test(&ProcRoot::default()).unwrap_err());
}

#[test]
fn every_missing_privilege_is_named() {
    if kernel().is_none() {
        return;
    }
    let user: &[&str] = &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let no_bpf: &[&str] = &["setpriv", "--bounding-set", "-sys_admin,-bpf,-perfmon"];
    let no_frames: &[&str] = &["setpriv", "--bounding-set", "-sys_admin"];
    for (command, expected) in [
        (user, "not permitted"),
        (no_bpf, "not permitted"),
        (no_frames, "hides page frame numbers"),
    ] {
        let text = inside(command, "inside_without_privilege");
        let line = text.lines().find(|line| line.starts_with("refused: ")).unwrap();
        assert!(line.contains(expected) && line.contains("run as root"), "{command:?}: {line}");
    }
}
