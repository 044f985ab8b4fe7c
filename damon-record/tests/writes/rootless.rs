//! The whole way without privileges: recorder and target belong to an ordinary user.

use crate::common::{RECORDER, TARGET, Target, is_root, looked, mappings, skipped};
use damon_record::backend::Watch;
use damon_record::backend::writes::{AttachError, Helper, WritesWatch};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const DIRECTORY: &str = "DAMON_TEST_ROOTLESS_DIRECTORY";

/// Run again by the test below as uid 1000, with copies of the programs that this user can reach.
#[test]
#[ignore = "started by the_whole_way_as_an_ordinary_user"]
fn as_an_ordinary_user() {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    assert!(!is_root());
    let helper = Helper::program(directory.join("recorder"));
    let attach = |pid| WritesWatch::attach(pid, &helper);

    let mut target = Target::start_program(&directory.join("target"));
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut watch = attach(target.pid()).unwrap();
    watch.mappings_changed(&mappings(target.pid())).unwrap();
    looked(&mut watch, base, 64);
    target.ask("write 4 3");
    assert_eq!(looked(&mut watch, base, 64), [4, 5, 6]);
    drop(watch);
    target.assert_unharmed();
    assert_eq!(children(), [target.pid()], "the helper is reaped");

    for verdict in ["errno", "kill"] {
        let mut target = Target::start_program(&directory.join("target"));
        target.ask(&format!("seccomp {verdict}"));
        let error = attach(target.pid()).unwrap_err();
        assert!(matches!(error, AttachError::Seccomp { .. }), "{error}");
        assert_eq!(target.ask("counter"), "0");
    }

    let mut target = Target::start_program(&directory.join("target"));
    target.ask("nondumpable");
    let error = attach(target.pid()).unwrap_err();
    assert!(error.to_string().contains("protected itself"), "{error}");
    assert_eq!(target.ask("counter"), "0");

    let error = attach(1).unwrap_err();
    assert!(error.to_string().contains("it belongs to user 0 and you are user 1000"), "{error}");
}

fn children() -> Vec<i32> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_whole_way_as_an_ordinary_user() {
    if skipped() {
        return;
    }
    let directory =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let inner = directory.path().join("inner");
    copy(&std::env::current_exe().unwrap(), &inner);
    copy(Path::new(RECORDER), &directory.path().join("recorder"));
    copy(Path::new(TARGET), &directory.path().join("target"));
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]);
        command.arg(&inner);
        command
    } else {
        Command::new(&inner)
    };
    let outcome = command
        .args(["--exact", "rootless::as_an_ordinary_user", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout);
    assert!(
        outcome.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&outcome.stderr)
    );
}
