//! A whole life against the fake.

use super::*;
use crate::damon::fake::{Fake, Fault, RunningCopy};
use crate::damon::sysfs::{IntervalsGoal, Target};
use crate::monitor::AddressRange;
use damon_format::damos::kernel::{Action, Scheme};
use std::collections::BTreeMap;
use tempfile::TempDir;

const ATTRS: Attrs = Attrs {
    sample_us: 5000,
    aggr_us: 100_000,
    update_us: 1_000_000,
    min_nr_regions: 10,
    max_nr_regions: 1000,
};

struct Machine {
    fake: Fake,
    dir: TempDir,
    place: OwnPlace,
}

/// `/proc` has processes 11 to 14.
fn machine(release: (u32, u32)) -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let own = std::process::id();
    for (name, text) in [
        ("sys/kernel/random/boot_id", "b".to_owned()),
        (&format!("{own}/stat"), crate::proc::fake::stat_line(own, "x", 'R', 1, 9)),
    ] {
        crate::proc::fake::put(dir.path(), name, &text);
    }
    for pid in 11..15 {
        std::fs::create_dir(dir.path().join(pid.to_string())).unwrap();
    }
    let place = OwnPlace {
        lock_dirs: vec![dir.path().to_owned()],
        modules: dir.path().join("module"),
        proc: ProcRoot::new(dir.path()),
        guard: None,
        use_spare: false,
    };
    Machine { fake: Fake::new(release), dir, place }
}

impl Machine {
    fn start(&self, wanted: &Wanted) -> Result<Running, StartError> {
        Running::start(self.fake.tree(), &self.place, wanted)
    }

    fn copy(&self) -> RunningCopy {
        self.fake.with(|kernel| kernel.running[&0].clone()).unwrap()
    }

    fn listing(&self) -> BTreeMap<String, String> {
        self.fake.with(|kernel| kernel.listing()).unwrap()
    }

    fn writes(&self) -> usize {
        self.fake.with(|kernel| kernel.log.len()).unwrap()
    }

    /// The process has exited, and its parent has taken notice.
    fn exit(&self, pid: u32) {
        std::fs::remove_dir(self.dir.path().join(pid.to_string())).unwrap();
        self.fake.with(|kernel| kernel.gone.insert(i32::try_from(pid).unwrap())).unwrap();
    }

    /// An error that has left everything as it was.
    fn refused(&self, wanted: &Wanted) -> String {
        let before = self.listing();
        let text = self.start(wanted).unwrap_err().to_string();
        assert_eq!(self.listing(), before, "{text}");
        assert!(self.fake.with(|kernel| kernel.running.is_empty()).unwrap());
        text
    }
}

fn processes(pids: &[u32]) -> Wanted {
    Wanted {
        operations: Operations::Vaddr,
        attrs: ATTRS,
        goal: None,
        targets: pids.iter().map(|pid| Target::process(*pid)).collect(),
        schemes: Vec::new(),
    }
}

fn fixed(pid: Option<u32>, start: u64) -> Target {
    Target { pid, regions: vec![AddressRange { start, end: start + 0x4000 }] }
}

fn pids(copy: &RunningCopy) -> Vec<i32> {
    copy.targets.iter().map(|target| target.pid).collect()
}

#[test]
fn a_whole_life_leaves_the_tree_as_it_was() {
    let machine = machine((6, 12));
    let before = machine.listing();
    let mut running = machine.start(&processes(&[11, 12])).unwrap();
    assert_eq!(running.state().unwrap(), State::On);
    assert_eq!(running.tid(), machine.copy().tid);
    assert_eq!(machine.copy().attrs, [5000, 100_000, 1_000_000, 10, 1000]);
    assert_eq!(running.add_targets(&[Target::process(13)], &Turn::ANY).unwrap(), [2]);
    assert_eq!(pids(&machine.copy()), [11, 12, 13]);
    assert_eq!(running.wanted().targets.len(), 3);
    running.set_attrs(&Attrs { sample_us: 10_000, ..ATTRS }).unwrap();
    assert_eq!(machine.copy().attrs[0], 10_000);
    assert_eq!(running.release().unwrap(), Restored::Undone);
    assert_eq!(machine.listing(), before);
}

#[test]
fn a_panic_restores_as_well() {
    let machine = machine((6, 12));
    let before = machine.listing();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _running = machine.start(&processes(&[11])).unwrap();
        assert_ne!(machine.listing(), before);
        panic!("in the middle of recording");
    }));
    assert!(result.is_err());
    assert_eq!(machine.listing(), before);
}

/// What the kernel has found by itself must not be thrown away by a change of something else.
#[test]
fn changes_keep_the_regions_that_the_kernel_has() {
    let machine = machine((6, 12));
    let wanted = Wanted {
        operations: Operations::Fvaddr,
        targets: vec![fixed(Some(11), 0x1000), fixed(Some(12), 0x9000)],
        ..processes(&[])
    };
    let mut running = machine.start(&wanted).unwrap();
    let found = vec![(0x1000, 0x2000), (0x2000, 0x5000)];
    let kernel_splits = || {
        machine
            .fake
            .with(|kernel| {
                kernel.running.get_mut(&0).unwrap().targets[0].regions.clone_from(&found);
            })
            .unwrap();
    };
    kernel_splits();
    running.set_attrs(&Attrs { max_nr_regions: 500, ..ATTRS }).unwrap();
    assert_eq!(machine.copy().targets[0].regions, found);
    running.add_targets(&[fixed(Some(13), 0x40000)], &Turn::ANY).unwrap();
    assert_eq!(machine.copy().targets[0].regions, found);
    assert_eq!(machine.copy().targets[2].regions, [(0x40000, 0x44000)]);
    running.set_attrs(&ATTRS).unwrap();
    assert_eq!(machine.copy().targets[0].regions, found);
    assert_eq!(machine.copy().targets[2].regions, [(0x40000, 0x44000)]);
}

#[test]
fn targets_that_have_exited_keep_their_index_and_do_not_end_the_rest() {
    for release in [(6, 12), (6, 15)] {
        let machine = machine(release);
        let mut running = machine.start(&processes(&[11, 12])).unwrap();
        machine.exit(11);
        running.add_targets(&[Target::process(13)], &Turn::ANY).unwrap();
        let tid = i32::try_from(running.tid()).unwrap();
        assert_eq!(pids(&machine.copy()), [tid, 12, 13]);
        machine.exit(12);
        running.set_attrs(&Attrs { aggr_us: 200_000, ..ATTRS }).unwrap();
        assert_eq!(pids(&machine.copy()), [tid, tid, 13]);
        let error = running.add_targets(&[Target::process(11)], &Turn::ANY).unwrap_err();
        assert!(matches!(error, ChangeError::NoProcess(11)), "{error}");
        assert_eq!(running.state().unwrap(), State::On);
    }
}

fn regions(copy: &RunningCopy, index: usize) -> Vec<(u64, u64)> {
    copy.targets[index].regions.clone()
}

#[test]
fn processes_that_come_and_go_need_no_more_targets_than_there_are_at_a_time() {
    let machine = machine((6, 12));
    let mut running = machine
        .start(&Wanted { targets: vec![fixed(Some(11), 0x10000)], ..processes(&[]) })
        .unwrap();
    let tid = i32::try_from(running.tid()).unwrap();
    let new = |pid| [fixed(Some(pid), 0x40000)];
    let vacant = [(0x1000, 0x2000)];

    // Its place is given away only when the kernel has nothing of it any more …
    machine.exit(11);
    assert_eq!(running.add_targets(&new(12), &Turn::ANY).unwrap(), [1]);
    assert_eq!(
        (pids(&machine.copy()), regions(&machine.copy(), 0)),
        (vec![tid, 12], vacant.into())
    );
    // … and when the caller waits for nothing of it any more.
    assert_eq!(
        running.add_targets(&new(13), &Turn { free: &|index| index != 0, ..Turn::ANY }).unwrap(),
        [2]
    );
    assert_eq!(running.add_targets(&new(14), &Turn::ANY).unwrap(), [0]);
    assert_eq!(pids(&machine.copy()), [14, 12, 13]);
    assert_eq!(regions(&machine.copy(), 0), [(0x40000, 0x44000)]);
    assert_eq!(running.wanted().targets[0].pid, Some(14));
}

#[test]
fn an_id_that_is_used_again_is_another_process() {
    let machine = machine((6, 12));
    let born = |pid: u32, ticks: u64| {
        let stat = crate::proc::fake::stat_line(pid, "x", 'R', 1, ticks);
        crate::proc::fake::put(machine.dir.path(), &format!("{pid}/stat"), &stat);
    };
    born(11, 100);
    let mut running = machine.start(&processes(&[11, 12])).unwrap();
    let tid = i32::try_from(running.tid()).unwrap();
    running.set_attrs(&Attrs { max_nr_regions: 500, ..ATTRS }).unwrap();
    assert_eq!(pids(&machine.copy()), [11, 12]);
    born(11, 200);
    running.set_attrs(&ATTRS).unwrap();
    assert_eq!(pids(&machine.copy()), [tid, 12]);
    assert_eq!(running.add_targets(&[Target::process(11)], &Turn::ANY).unwrap(), [2]);
    assert_eq!(pids(&machine.copy()), [tid, 12, 11]);
}

/// It exits between our look and the kernel's.
#[test]
fn a_target_that_exits_during_a_change() {
    let machine = machine((6, 12));
    let before = machine.listing();
    let mut running = machine.start(&processes(&[11, 12])).unwrap();
    machine.fake.with(|kernel| kernel.gone.insert(11)).unwrap();
    let error = running.add_targets(&[Target::process(13)], &Turn::ANY).unwrap_err();
    assert!(matches!(error, ChangeError::Ended), "{error}");
    let first = running.tid();
    running.restart(vec![Target::process(12), Target::process(13)]).unwrap();
    assert_ne!(running.tid(), first);
    assert_eq!((running.state().unwrap(), pids(&machine.copy())), (State::On, vec![12, 13]));
    let second = running.tid();
    running.restart(vec![Target::process(13)]).unwrap();
    assert_ne!(running.tid(), second, "also while it runs");
    assert_eq!(pids(&machine.copy()), [13]);
    drop(running);
    assert_eq!(machine.listing(), before);

    let machine = self::machine((6, 15));
    let mut running = machine.start(&processes(&[11, 12])).unwrap();
    machine.fake.with(|kernel| kernel.gone.insert(11)).unwrap();
    let error = running.add_targets(&[Target::process(13)], &Turn::ANY).unwrap_err();
    assert!(matches!(error, ChangeError::Refused(_)), "{error}");
    assert_eq!(running.state().unwrap(), State::On);
    assert_eq!((pids(&machine.copy()), running.wanted().targets.len()), (vec![11, 12], 2));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let machine = machine((6, 12));
    let physical = Wanted { operations: Operations::Paddr, ..processes(&[11]) };
    let contradicting =
        Wanted { attrs: Attrs { min_nr_regions: 1001, ..ATTRS }, ..processes(&[11]) };
    for (wanted, words) in [
        (processes(&[11, 99]), "process 99 does not exist"),
        (processes(&[]), "no target"),
        (physical, "--regions"),
        (contradicting, "above the maximum"),
    ] {
        let text = machine.refused(&wanted);
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(machine.writes(), 0);
    let mut running = machine.start(&processes(&[11])).unwrap();
    let writes = machine.writes();
    let error = running.set_attrs(&Attrs { sample_us: 200_000, ..ATTRS }).unwrap_err();
    assert!(error.to_string().contains("--sample"), "{error}");
    assert!(running.add_targets(&[Target::default()], &Turn::ANY).is_err());
    running.add_targets(&[], &Turn::ANY).unwrap();
    assert_eq!(machine.writes(), writes);
}

#[test]
fn a_kernel_without_the_operations_says_which_it_has() {
    let machine = machine((6, 18));
    machine.fake.with(|kernel| kernel.operations = vec!["paddr".into()]).unwrap();
    let text = machine.refused(&processes(&[11]));
    for word in ["no vaddr, only paddr", "--physical", "doctor"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn when_the_kernel_refuses_to_start_the_cause_is_looked_for() {
    // Gone between our look and the kernel's.
    let at = |errno: Errno| Fault::Write { ends: "0/state".into(), errno: errno as i32, times: 1 };
    let machine = machine((6, 12));
    let start = |errno, prepare: &dyn Fn()| {
        machine.fake.with(|kernel| kernel.faults.push(at(errno))).unwrap();
        prepare();
        machine.refused(&processes(&[11]))
    };
    let text = start(Errno::EINVAL, &|| {});
    for word in ["cannot write on to", "0/state", "Invalid argument", "dmesg", "--dry-run"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let text = start(Errno::EPERM, &|| {});
    assert!(text.contains("lockdown") && text.contains("0/state"), "{text}");

    machine.fake.with(|kernel| kernel.exclusive = true).unwrap();
    let text = machine.refused(&processes(&[11]));
    assert!(text.contains("busy") && text.contains("0/state"), "{text}");

    machine.fake.with(|kernel| (kernel.exclusive, kernel.stops_at_once) = (false, true)).unwrap();
    let text = machine.refused(&processes(&[11]));
    assert!(text.contains("stopped as soon as it was started"), "{text}");
}

#[test]
fn a_foreign_kdamond_gets_no_write_whatever_is_asked_for() {
    let machine = machine((6, 12));
    machine
        .fake
        .with(|kernel| {
            for (path, value) in [
                ("nr_kdamonds", "1"),
                ("0/contexts/nr_contexts", "1"),
                ("0/contexts/0/targets/nr_targets", "1"),
                ("0/contexts/0/targets/0/pid_target", "12"),
                ("0/state", "on"),
            ] {
                kernel.elsewhere(&format!("kdamonds/{path}"), value).unwrap();
            }
        })
        .unwrap();
    let before = machine.listing();
    for use_spare in [false, true] {
        let place = OwnPlace { use_spare, ..machine.place.clone() };
        let error = Running::start(machine.fake.tree(), &place, &processes(&[11])).unwrap_err();
        assert!(error.to_string().contains("process 12"), "{error}");
    }
    assert_eq!((machine.writes(), machine.listing()), (0, before));
}

#[test]
fn statistics_of_schemes_are_those_of_the_last_moment() {
    let schemes = vec![Scheme::new(Action::Stat), Scheme::new(Action::Pageout)];
    for (release, passed, effective) in [((6, 8), None, None), ((6, 14), Some(7), Some(5))] {
        let machine = machine(release);
        let running =
            machine.start(&Wanted { schemes: schemes.clone(), ..processes(&[11]) }).unwrap();
        assert_eq!(machine.copy().schemes, ["stat", "pageout"]);
        machine
            .fake
            .with(|kernel| {
                for (name, value) in [
                    ("stats/nr_tried", 3),
                    ("stats/sz_ops_filter_passed", 7),
                    ("quotas/effective_bytes", 5),
                ] {
                    kernel.stats.insert(name.into(), value);
                }
            })
            .unwrap();
        let stats = running.scheme_stats().unwrap();
        let expected =
            SchemeStats { nr_tried: 3, sz_ops_filter_passed: passed, ..SchemeStats::default() };
        assert_eq!(stats, [expected; 2]);
        assert_eq!(running.effective_bytes().unwrap(), [effective; 2]);
        // The last words of one that has ended stay readable.
        machine.fake.with(|kernel| kernel.stop(0)).unwrap();
        assert_eq!(running.scheme_stats().unwrap(), [expected; 2]);
    }
    let machine = machine((6, 12));
    let running = machine.start(&processes(&[11])).unwrap();
    assert!(running.scheme_stats().unwrap().is_empty());
}

/// The last one lists every region for us.
#[test]
fn a_scheme_more_needs_a_new_start_and_the_others_stay() {
    let machine = machine((6, 12));
    let before = machine.listing();
    let mut pageout = Scheme::new(Action::Pageout);
    pageout.quota.bytes = 4096;
    let wanted = Wanted { schemes: vec![pageout], ..processes(&[11]) };
    let mut running = machine.start(&wanted).unwrap();
    let first = running.tid();
    running.restart_with_scheme(Scheme::new(Action::Stat)).unwrap();
    assert_ne!(running.tid(), first);
    assert_eq!(
        (machine.copy().schemes, pids(&machine.copy())),
        (vec!["pageout".into(), "stat".into()], vec![11])
    );
    let listing = machine.listing();
    let of = |name: &str| listing[&format!("kdamonds/0/contexts/0/schemes/{name}")].clone();
    assert_eq!(of("0/quotas/bytes"), "4096");
    assert_eq!(of("1/access_pattern/sz/max"), u64::MAX.to_string());
    assert_eq!(of("1/access_pattern/age/max"), u32::MAX.to_string());
    assert_eq!(running.wanted().schemes.len(), 2);
    drop(running);
    assert_eq!(machine.listing(), before);
}

#[test]
fn tuned_intervals_are_read_and_survive_a_change() {
    let goal =
        IntervalsGoal { access_bp: 400, aggrs: 3, min_sample_us: 1000, max_sample_us: 1_000_000 };
    let machine = machine((6, 15));
    let wanted = Wanted { goal: Some(goal), ..processes(&[11]) };
    let mut running = machine.start(&wanted).unwrap();
    assert_eq!(running.tuned_intervals().unwrap(), Some((5000, 100_000)));
    machine.fake.with(|kernel| kernel.tuned = Some((9000, 180_000))).unwrap();
    assert_eq!(running.tuned_intervals().unwrap(), Some((9000, 180_000)));
    machine.fake.with(|kernel| kernel.tuned = Some((12_000, 240_000))).unwrap();
    running.add_targets(&[Target::process(12)], &Turn::ANY).unwrap();
    assert_eq!(machine.copy().attrs[..2], [12_000, 240_000]);

    let plain = self::machine((6, 15));
    assert_eq!(plain.start(&processes(&[11])).unwrap().tuned_intervals().unwrap(), None);
}

#[test]
fn targets_are_not_added_from_another_pid_namespace() {
    let machine = machine((6, 12));
    let mut running = machine.start(&processes(&[11])).unwrap();
    let link = machine.dir.path().join("self/ns/pid");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("pid:[4026532001]", &link).unwrap();
    let writes = machine.writes();
    let error = running.add_targets(&[Target::process(12)], &Turn::ANY).unwrap_err();
    assert!(matches!(error, ChangeError::PidNamespace), "{error}");
    let error = running.set_attrs(&ATTRS).unwrap_err();
    assert!(matches!(error, ChangeError::PidNamespace), "{error}");
    assert_eq!(machine.writes(), writes);
}
