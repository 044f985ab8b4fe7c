//! Targets that come while the kdamond runs, and those that go.

use super::*;

#[test]
fn who_joins_is_recorded_from_when_it_is_looked_at() {
    let mut scene = Scene::new((6, 12), true);
    let mut kernel = scene.kernel(&[]);
    add(&mut kernel, 0, 11).unwrap();
    let now = monotonic_ns();
    scene.tell(now - 40 * MS, 0, 1, 1);
    scene.tell(now - 20 * MS, 0, 1, 2);
    add(&mut kernel, 1, 12).unwrap();
    assert_eq!(scene.pids(), [11, 12]);
    // The change was made at the end of an aggregation: of the new target nothing is known yet.
    let commit = monotonic_ns() + MS;
    scene.tell(commit, 0, 1, 3);
    scene.tell(commit + 1, 1, 0, 0);
    for aggregation in 1..3 {
        scene.tell(commit + aggregation * 20 * MS, 0, 1, 4);
        scene.tell(commit + aggregation * 20 * MS + 1, 1, 0, 1);
    }
    // One that is added in the middle of an aggregation, by another kernel, was looked at for a part of it.
    scene.drain(&mut kernel).unwrap();
    add(&mut kernel, 2, 13).unwrap();
    let begin = monotonic_ns();
    scene.tell(begin + 60 * MS, 0, 1, 4);
    scene.tell(begin + 60 * MS + 1, 2, 1, 0);
    scene.drain(&mut kernel).unwrap();
    let recorded = scene.recorded(&mut kernel);
    let of = |target: u32| recorded.snapshots.iter().filter(move |s| s.target.0 == target);
    let parents: Vec<_> = of(0).collect();
    assert_eq!(parents.len(), 6);
    for pair in parents[..5].windows(2) {
        assert_eq!(pair[0].end_ns, pair[1].start_ns, "nothing of the parent is missing");
    }
    let begins: Vec<u64> = of(1).map(|s| s.start_ns).collect();
    assert_eq!(begins, [commit, commit + 20 * MS]);
    assert!(of(1).all(|s| s.sampling.max_nr_accesses == 4));
    let last = of(2).next().unwrap();
    assert_eq!((last.end_ns, last.sampling.max_nr_accesses), (begin + 60 * MS, 4));
}

#[test]
fn when_a_change_ends_the_kdamond_the_others_go_on() {
    let mut scene = Scene::new((6, 12), true);
    let before = scene.listing();
    let mut kernel = scene.kernel(&[]);
    for (id, pid) in [(0, 11), (1, 12), (2, 13)] {
        add(&mut kernel, id, pid).unwrap();
    }
    assert_eq!(news(&mut kernel).len(), 1);
    let now = monotonic_ns();
    scene.tell(now, 2, 1, 1);
    scene.exit(11);
    add(&mut kernel, 3, 14).unwrap();
    assert_eq!(scene.pids(), [12, 13, 14]);
    let told = news(&mut kernel);
    assert!(told.len() == 2 && told[0].contains("anew with 2 of its targets"), "{told:?}");
    for target in 0..3 {
        scene.tell(now + 20 * MS + target, target, 1, 1);
    }
    scene.drain(&mut kernel).unwrap();
    kernel.remove(TargetId(0));
    // The same, and it takes the kdamond a moment to end.
    let proc = ProcRoot::new(scene.dir.path());
    assert_eq!(kernel.why_ended(&proc), None);
    assert!(kernel.revive().is_err(), "no change was made since");
    std::fs::create_dir(scene.dir.path().join("11")).unwrap();
    scene.fake.with(|kernel| kernel.gone.clear()).unwrap();
    add(&mut kernel, 4, 11).unwrap();
    scene.exit(12);
    assert!(kernel.why_ended(&proc).is_some());
    kernel.revive().unwrap();
    assert_eq!(kernel.why_ended(&proc), None);
    assert_eq!(scene.pids(), [13, 14, 11]);
    for target in 0..3 {
        scene.tell(now + 60 * MS + target, target, 1, 1);
    }
    scene.drain(&mut kernel).unwrap();
    scene.fake.with(|kernel| kernel.stop(0)).unwrap();
    assert!(kernel.revive().is_err(), "somebody has switched it off");
    kernel.release().unwrap();
    assert_eq!(scene.listing(), before);
    let mut all = targets(&scene.recorded(&mut kernel));
    all.sort_unstable();
    assert_eq!(
        all,
        [1, 2, 2, 2, 3, 3, 4],
        "each where it belongs, and nothing of those that are gone"
    );
}

#[test]
fn a_place_that_is_given_away_brings_nothing_of_who_had_it() {
    let mut scene = Scene::new((6, 12), true);
    let mut kernel = scene.kernel(&[]);
    add(&mut kernel, 0, 11).unwrap();
    add(&mut kernel, 1, 12).unwrap();
    let tid = scene.pids();
    scene.depart(11);
    kernel.remove(TargetId(0));
    add(&mut kernel, 2, 13).unwrap();
    assert_eq!(scene.pids()[1..], [tid[1], 13]);
    let before = monotonic_ns();
    add(&mut kernel, 3, 14).unwrap();
    assert_eq!(scene.pids(), [14, 12, 13]);
    // Of the first place, what was told before it was given away, and twice afterwards.
    scene.tell(before, 0, 3, 9);
    let now = monotonic_ns();
    for aggregation in 1..3 {
        scene.tell(now + aggregation * 20 * MS, 0, 1, 1);
    }
    scene.drain(&mut kernel).unwrap();
    let recorded = scene.recorded(&mut kernel);
    assert_eq!(targets(&recorded), [3, 3]);
    assert!(recorded.snapshots.iter().all(|s| s.start_ns >= before));
}

#[test]
fn who_cannot_be_started_with_is_left_out_and_the_others_go_on() {
    let mut scene = Scene::new((6, 12), true);
    let mut kernel = scene.kernel(&[]);
    add(&mut kernel, 0, 11).unwrap();
    scene.fake.with(|kernel| kernel.stop(0)).unwrap();
    scene.fail(1);
    let error = add(&mut kernel, 1, 12).unwrap_err();
    assert!(error.contains("0/state"), "{error}");
    assert_eq!(scene.pids(), [11]);
    assert_eq!(kernel.why_ended(&ProcRoot::new(scene.dir.path())), None);
    scene.tell(monotonic_ns(), 0, 1, 1);
    scene.drain(&mut kernel).unwrap();
    assert_eq!(targets(&scene.recorded(&mut kernel)), [0]);
}
