//! Targets that end, execute other programs, lose their first thread, or change their memory all the
//! time.

use crate::common::{Target, attach, full_round, mappings, pages, round, skipped, wait_until};
use damon_record::backend::WatchError;
use damon_record::backend::kind::AttachError;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn the_end_of_a_target_in_the_middle_of_a_round() {
    if skipped() {
        return;
    }
    for reap in [false, true] {
        let mut target = Target::start();
        let base = target.map("anonymous", 64);
        let mut watch = target.watch();
        let points = pages(base, 64);
        full_round(watch.as_mut(), &points, || {});
        watch.prepare(&points).unwrap();
        target.kill();
        if reap {
            target.wait();
        }
        // Until the kernel has taken its memory away, nothing was accessed.
        wait_until("the target is gone", || {
            let mut accessed = vec![false; 64];
            match watch.check(&points, &mut accessed) {
                Ok(()) => {
                    assert_eq!(accessed, vec![false; 64]);
                    false
                }
                Err(WatchError::Gone) => true,
                Err(error) => panic!("{error}"),
            }
        });
        assert!(matches!(watch.prepare(&points), Err(WatchError::Gone)));
        assert!(matches!(watch.look(&mut Vec::new()), Err(WatchError::Gone)));
        assert!(reap || matches!(attach(target.pid()), Err(AttachError::Gone)));
    }
}

#[test]
fn another_program_under_the_same_pid_is_said_and_can_be_watched() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 64);
    let mut watch = target.watch();
    let points = pages(base, 64);
    full_round(watch.as_mut(), &points, || {});
    watch.prepare(&points).unwrap();
    target.send("exec");
    assert_eq!(target.receive(), "ready");
    let error = watch.check(&points, &mut [false; 64]).unwrap_err();
    assert!(matches!(error, WatchError::Replaced), "{error}");
    let base = target.map("anonymous", 64);
    // While the old watch still exists, as in a session.
    let mut watch = target.watch();
    let found = full_round(watch.as_mut(), &pages(base, 64), || target.ask_afresh("read 7 1"));
    assert_eq!(found, [7]);
}

#[test]
fn a_process_whose_first_thread_has_exited() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 64);
    let mut watch = target.watch();
    let points = pages(base, 64);
    full_round(watch.as_mut(), &points, || {});
    target.ask("leader-exit");
    // The watch may ask to be attached to anew.
    wait_until("it is seen again", || {
        match round(watch.as_mut(), &points, || target.ask_afresh("read 7 1")) {
            Ok(found) => found == [7],
            Err(WatchError::Gone) => panic!("its other thread lives"),
            Err(WatchError::Replaced | WatchError::Failed(_)) => {
                watch = target.watch();
                false
            }
        }
    });
}

#[test]
fn a_program_that_executes_itself_again_and_again() {
    if skipped() {
        return;
    }
    let mut child = Command::new(crate::common::TARGET)
        .arg("exec-loop")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut attached, mut replaced, mut rounds) = (0, 0, 0);
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end || attached == 0 {
        let mut watch = match attach(child.id()) {
            Ok(watch) => watch,
            Err(AttachError::Refused(_)) => continue,
            Err(AttachError::Gone) => {
                assert!(child.try_wait().unwrap().is_none(), "it lives");
                continue;
            }
        };
        attached += 1;
        let mappings = mappings(child.id());
        let points: Vec<u64> = mappings.iter().map(|mapping| mapping.start).collect();
        let outcome = watch.mappings_changed(&mappings).and_then(|()| {
            loop {
                round(watch.as_mut(), &points, || {})?;
                watch.look(&mut Vec::new())?;
                rounds += 1;
                if Instant::now() > end {
                    return Ok(());
                }
            }
        });
        match outcome {
            Ok(()) => {}
            Err(WatchError::Replaced) => replaced += 1,
            // In the middle of an exec the process may look as if it had ended; the session asks again.
            Err(WatchError::Gone) => assert!(child.try_wait().unwrap().is_none()),
            Err(WatchError::Failed(why)) => panic!("{why}"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    println!("{attached} attached, {replaced} replaced, {rounds} rounds");
    assert!(attached > 0);
}

#[test]
fn memory_that_comes_and_goes_is_never_invented() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 512);
    let mut watch = target.watch();
    let points = pages(base, 512);
    for number in 0..100 {
        let first = number * 5 % 448;
        let found = round(watch.as_mut(), &points, || {
            target.ask(&format!("replace {first} 64"));
            target.ask(&format!("write {} 1", first + 3));
        });
        let page = usize::try_from(first + 3).unwrap();
        assert!(found.as_ref().is_ok_and(|found| *found == [page]), "{found:?}, not {page}");
        let mut touched = Vec::new();
        watch.look(&mut touched).unwrap();
    }
}

#[test]
fn one_recorder_at_a_time() {
    if skipped() {
        return;
    }
    let target = Target::start();
    let _watch = target.watch();
    let output = Command::new(crate::common::RECORDER)
        .args(["--backend", "pte", "-d", "1s", "-o", "-", &target.pid().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let me = format!("(process {})", std::process::id());
    assert!(said.contains("already clears") && said.contains(&me), "{said}");
}
