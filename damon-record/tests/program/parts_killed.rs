//! SIGKILL while one part ends and the next begins: what is there is valid, and nothing between is missing.

use crate::common::{
    PROGRAM, Place, make_touches, parts, read_part, signal, snapshots, wait_until,
};
use damon_format::{Completeness, PartChain, Snapshot};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TEXT: &str = "area sea 32M\nphase islands 20s\n  write sea 4M..8M random every 100ms\n  \
                    read sea 20M..22M every 50ms\n";

/// Spread evenly over the span in any prefix.
fn moments(count: u32, span: Duration) -> impl Iterator<Item = Duration> {
    (1..=count).map(move |i| span / 1000 * (i * 618 % 1000))
}

/// What is there after a death: parts that follow one another, of which the last and the one that was just being
/// ended may lack their end, and at most one file without a name.
fn assert_whole(directory: &Path) -> Vec<PathBuf> {
    let paths = parts(directory, "x");
    let mut chain = PartChain::default();
    for (index, path) in paths.iter().enumerate() {
        let (part, content, state) = read_part(path);
        chain.follow(&part, content.snapshots.len() as u64).unwrap();
        assert!(state == Completeness::Complete || index + 2 >= paths.len(), "{}", path.display());
    }
    let others = std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert!(others.count() <= 1);
    paths
}

/// A part of a replay lasts some milliseconds.
fn replay(place: &Place, name: &str, words: &[&str]) -> (PathBuf, Child) {
    let directory = place.path(name);
    std::fs::create_dir(&directory).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["-q", "--backend", "replay:../touches", "--sample", "20ms", "--aggr", "100ms"]);
    command.args(["-o", "x.damon"]).args(words);
    let child = command.current_dir(&directory).stdin(Stdio::null()).spawn().unwrap();
    (directory, child)
}

#[test]
fn whenever_it_is_killed_all_parts_are_valid_and_none_is_missing() {
    let place = Place::new();
    make_touches(&place, TEXT);
    let (directory, mut child) = replay(&place, "one", &[]);
    assert!(child.wait().unwrap().success());
    let all = snapshots(&directory.join("x.damon"));
    assert_eq!(all.len(), 200);

    let begun = Instant::now();
    let rotation = ["--rotate-time", "1s"];
    let (directory, mut child) = replay(&place, "parts", &rotation);
    assert!(child.wait().unwrap().success());
    let span = begun.elapsed();
    assert_eq!(assert_whole(&directory).len(), 20);

    let mut met = 0;
    for (index, moment) in moments(100, span).enumerate() {
        let keep: &[&str] = if index % 2 == 0 { &[] } else { &["--keep", "3"] };
        let words = [&rotation[..], keep].concat();
        let (directory, mut child) = replay(&place, &format!("killed{index}"), &words);
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let paths = assert_whole(&directory);
        let Some(first) = paths.first() else { continue };
        met += usize::from(paths.len() > 1);
        assert!(keep.is_empty() || paths.len() <= 4, "{paths:?}");
        let before = usize::try_from(read_part(first).0.first_snapshot).unwrap();
        assert!(!keep.is_empty() || before == 0, "the first part is there");
        // Not one lost, not one twice, none changed.
        let stored: Vec<Snapshot> = paths.iter().flat_map(|path| snapshots(path)).collect();
        assert_eq!(stored, all[before..before + stored.len()]);
        std::fs::remove_dir_all(directory).unwrap();
    }
    assert!(met > 40, "only {met} of 100 were killed between parts");
}

#[test]
fn a_recorder_that_is_killed_while_it_keeps_leaves_valid_parts() {
    let place = Place::new();
    let mut target = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    for (index, moment) in moments(25, Duration::from_millis(60)).enumerate() {
        let directory = place.path(&format!("killed{index}"));
        std::fs::create_dir(&directory).unwrap();
        let pid = target.id().to_string();
        let mut recorder = Command::new(PROGRAM)
            .args(["-q", "--budget", "100%", "--sample", "1ms", "--aggr", "1ms", "--keep", "3"])
            .args(["--backend", "referenced", "--rotate-time", "1h", "-o", "x.damon", &pid])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the recording begins", || directory.join("x.000001.damon").exists());
        let begun = Instant::now();
        while begun.elapsed() < moment {
            signal(&recorder, Signal::SIGUSR1);
            std::thread::sleep(Duration::from_millis(2));
        }
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        let paths = assert_whole(&directory);
        assert!((1..=4).contains(&paths.len()), "{paths:?}");
        for set in 1.. {
            let kept = parts(&directory, &format!("x.kept-{set}"));
            if kept.is_empty() {
                break;
            }
            let mut chain = PartChain::default();
            for path in kept {
                let (part, content, state) = read_part(&path);
                chain.follow(&part, content.snapshots.len() as u64).unwrap();
                assert_eq!(state, Completeness::Complete, "{}", path.display());
            }
        }
    }
    target.kill().unwrap();
    target.wait().unwrap();
}
