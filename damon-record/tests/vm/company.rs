//! Several processes in one kdamond, which come and go while it runs.

use crate::damon::{DAMON, assert_gapless, recording};
use crate::machine::Section;
use crate::verdict::{Recording, judge_where};
use damon_format::{Record, Snapshot, TargetId, TargetStarted};

/// A shell that starts two workloads, one after the other, and outlives them.
pub(crate) const CHILDREN: (&str, &str) = (
    "children",
    r"before=$(tree)
    cat >family.sh <<'SH'
sleep 1
damon-workload /root/workload.txt --truth truth.jsonl --duration 9s >/dev/null &
sleep 2
damon-workload /root/workload.txt --duration 2s >/dev/null &
wait
sleep 1
SH
    sh family.sh &
    damon-record --backend damon --children --sample 20ms --aggr 200ms --update 500ms --min-regions 100 -o recording.damon $!
    restored",
);

/// A shell whose children come and go one after the other, and how many targets the kdamond has at the end.
pub(crate) const CHURN: (&str, &str) = (
    "churn",
    r"before=$(tree)
    cat >churn.sh <<'SH'
sleep 1
for child in 1 2 3 4 5 6 7 8 9 10 11 12; do
    sleep 2 &
    sleep 0.8
done
echo targets $(cat /sys/kernel/mm/damon/admin/kdamonds/0/contexts/0/targets/nr_targets)
wait
SH
    sh churn.sh &
    damon-record -v --backend damon --children --sample 20ms --aggr 200ms --update 500ms -o recording.damon $!
    restored",
);

/// Whoever has the name is recorded; in between there is nobody, and the kdamond ends.
pub(crate) const NEWCOMERS: (&str, &str) = (
    "newcomers",
    r"before=$(tree)
    (
        sleep 0.5
        damon-workload /root/workload.txt --duration 2s >/dev/null
        sleep 1
        damon-workload /root/workload.txt --truth truth.jsonl --duration 9s >/dev/null
    ) &
    damon-record --backend damon --comm damon-workload --wait -d 13s --sample 20ms --aggr 200ms --update 2s --min-regions 100 -o recording.damon
    restored",
);

fn started<'a>(recording: &'a Recording) -> Vec<&'a TargetStarted> {
    let started = |record: &'a Record| match record {
        Record::TargetStarted(started) => Some(started),
        _ => None,
    };
    recording.records.iter().filter_map(started).collect()
}

/// Snapshots of one target.
fn of(recording: &Recording, target: TargetId) -> Vec<&Snapshot> {
    recording.snapshots.iter().filter(|snapshot| snapshot.target == target).collect()
}

/// Threads of kdamonds that were listened to.
fn listened(recording: &Recording) -> usize {
    let attached = |record: &&Record| matches!(record, Record::Note(note) if note.text.contains("attached to the kdamond's thread"));
    recording.records.iter().filter(attached).count()
}

#[test]
fn children_join_and_nothing_of_the_parent_is_missing() {
    let Some(section) = DAMON.section("children").map(Section::ok) else {
        return;
    };
    let recording = recording(&section);
    let all = started(&recording);
    assert!(all[1..].iter().all(|child| child.parent == Some(TargetId(0))), "{all:?}");
    let workloads: Vec<TargetId> =
        all.iter().filter(|t| t.comm == "damon-workload").map(|t| t.target).collect();
    assert_eq!(workloads.len(), 2, "{all:?}");
    let parent = of(&recording, TargetId(0));
    assert!(parent.len() >= 30, "{} snapshots of the parent", parent.len());
    assert_gapless(&parent);
    for snapshot in parent {
        let ms = (snapshot.end_ns - snapshot.start_ns) / 1_000_000;
        assert!((200..300).contains(&ms), "an aggregation of 200 ms lasted {ms} ms");
    }
    for child in &workloads {
        let snapshots = of(&recording, *child);
        assert!(snapshots.len() >= 5, "{} snapshots of a child", snapshots.len());
        let untouched = |s: &&Snapshot| s.regions.iter().all(|r| (r.nr_accesses, r.age) == (0, 0));
        assert!(!untouched(&snapshots[0]), "nobody had looked at it yet");
        assert_gapless(&snapshots);
    }
    // What it reads is small among everything that they have mapped together: found late, and lost now and then.
    let found = judge_where(&section, 20, |snapshot| snapshot.target == workloads[0]);
    assert!(found.written >= 0.7 && found.cold <= 0.15, "{found:?}");
    assert_eq!(listened(&recording), 1, "one kdamond for all of them");
}

#[test]
fn processes_that_come_and_go_need_no_more_targets_than_there_are_at_a_time() {
    let Some(section) = DAMON.section("churn").map(Section::ok) else {
        return;
    };
    let recording = recording(&section);
    // The shell, and its children: half of them live for two seconds, half for less than one.
    let all = started(&recording);
    let long: Vec<TargetId> = all
        .iter()
        .map(|started| started.target)
        .filter(|target| of(&recording, *target).len() >= 5)
        .collect();
    assert!(all.len() >= 18 && long.len() >= 11, "{} of {} processes", long.len(), all.len());
    // One that exits in the very moment of a change still ends the kdamond of this kernel, which is begun anew.
    let kdamonds = listened(&recording);
    assert!((1..=2).contains(&kdamonds), "{kdamonds} kdamonds");
    if kdamonds == 1 {
        for target in &long {
            assert_gapless(&of(&recording, *target));
        }
    }
    let targets = section.stdout.lines().find_map(|line| line.strip_prefix("targets "));
    let targets: usize = targets.and_then(|number| number.parse().ok()).unwrap();
    assert!((3..=9).contains(&targets), "{targets} targets for {} processes", all.len());
}

#[test]
fn when_all_are_gone_the_next_one_gets_a_kdamond_of_its_own() {
    let Some(section) = DAMON.section("newcomers").map(Section::ok) else {
        return;
    };
    let recording = recording(&section);
    let all = started(&recording);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(listened(&recording), 2);
    for one in &all {
        let snapshots = of(&recording, one.target);
        assert!(snapshots.len() >= 5, "{} snapshots", snapshots.len());
        assert_gapless(&snapshots);
    }
    // What it reads is small among everything that it has mapped: found late, and lost now and then.
    let found = judge_where(&section, 20, |snapshot| snapshot.target == all[1].target);
    assert!(found.written >= 0.7 && found.read >= 0.7 && found.cold <= 0.15, "{found:?}");
}
