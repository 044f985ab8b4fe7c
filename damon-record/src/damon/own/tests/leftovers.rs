//! What a recorder and its guard leave when both are killed, and what is made of it.

use super::{Machine, SET_UP, fill_in};
use crate::damon::own::lock::{Attempt, Lock, NAME};
use crate::damon::own::*;

#[test]
fn what_cannot_be_removed_now_stays_on_record() {
    let machine = Machine::new();
    let before = machine.listing();
    let owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    machine.fake.with(|kernel| kernel.busy = u32::MAX).unwrap();
    let error = owned.release().unwrap_err();
    assert!(matches!(&error, NotRestored::Tree(_)), "{error}");
    assert!(machine.lock_exists());
    machine.fake.with(|kernel| kernel.busy = 0).unwrap();
    // One that lives may still need it, though it has lost its lock.
    let parent = std::os::unix::process::parent_id();
    let start_ticks = machine.place().proc.stat(parent).unwrap().start_ticks;
    let ours = machine.leave_record_again(|record| {
        (record.pid, record.start_ticks) = (parent, start_ticks);
    });
    let asked = available(&machine.admin(), &machine.place()).unwrap_err().to_string();
    for text in [asked, machine.refused(&machine.place())] {
        assert!(text.contains(&format!("process {parent}")), "{text}");
    }
    machine.leave_record_again(|record| *record = ours);
    let owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    drop(owned);
    assert_eq!(machine.listing(), before);
}

impl Machine {
    /// Another process's record in the lock file, with nobody holding the lock.
    fn leave_record(&self, change: impl FnOnce(&mut Record)) {
        let mut record = Record {
            // Above any pid_max.
            pid: u32::MAX / 2,
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .unwrap()
                .trim()
                .into(),
            root: self.fake.tree().root().display().to_string(),
            ..record::tests::record()
        };
        change(&mut record);
        let Ok(Attempt::Taken(lock, _)) = Lock::attempt(&self.place().lock_dirs) else {
            panic!("no lock");
        };
        lock.write(&record).unwrap();
    }

    /// Changes what the lock file says; returns what it has said.
    fn leave_record_again(&self, change: impl FnOnce(&mut Record)) -> Record {
        let Ok(Attempt::Taken(lock, _)) = Lock::attempt(&self.place().lock_dirs) else {
            panic!("no lock");
        };
        let before = lock.read().unwrap().unwrap();
        let mut record = before.clone();
        change(&mut record);
        lock.write(&record).unwrap();
        before
    }

    /// Lets `act` own a kdamond, and goes back to how everything was then, as if we had been killed
    /// together with our guard.
    fn killed_after(&self, act: impl FnOnce(&mut Owned)) -> Record {
        let mut owned = Owned::acquire(&self.admin(), &self.place()).unwrap();
        act(&mut owned);
        let record = owned.record().clone();
        let then = self.fake.with(|kernel| kernel.clone()).unwrap();
        drop(owned);
        self.fake.with(|kernel| *kernel = then).unwrap();
        self.leave_record(|left| {
            let ours = left.clone();
            *left = Record { pid: ours.pid, ..record.clone() };
        });
        record
    }
}

#[test]
fn what_a_killed_recorder_has_left_is_removed() {
    for stage in 0..4 {
        let machine = Machine::new();
        let before = machine.listing();
        machine.killed_after(|owned| {
            if stage > 0 {
                fill_in(owned);
            }
            if stage > 1 {
                owned.start().unwrap();
            }
        });
        if stage == 3 {
            machine.fake.with(|kernel| kernel.stop(0)).unwrap();
        }
        assert_ne!(machine.listing(), before);
        let writes = machine.writes();
        assert!(available(&machine.admin(), &machine.place()).is_ok(), "stage {stage}");
        assert_eq!(machine.writes(), writes, "asking changes nothing");
        let owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
        assert_eq!(owned.context().nr_targets().unwrap(), 0, "a new one");
        drop(owned);
        assert_eq!(machine.listing(), before, "stage {stage}");
    }
}

#[test]
fn what_others_have_made_of_it_meanwhile_is_theirs() {
    let changes: [&[(&str, &str)]; 4] = [
        // The same thread number cannot come again, so another one runs.
        &[("0/state", "off"), ("0/state", "on")],
        &[("0/state", "off"), ("nr_kdamonds", "1")],
        &[("0/state", "off"), ("0/contexts/nr_contexts", "1")],
        &[("0/state", "off"), ("nr_kdamonds", "2")],
    ];
    for change in changes {
        let machine = Machine::new();
        machine.killed_after(|owned| {
            fill_in(owned);
            owned.start().unwrap();
        });
        machine.others(change);
        let text = available(&machine.admin(), &machine.place()).unwrap_err().to_string();
        assert!(text.contains("in use by kdamond 0"), "{change:?}: {text}");
        let text = machine.refused(&machine.place());
        assert!(text.contains("in use by kdamond 0"), "{change:?}: {text}");
        assert!(!machine.lock_exists(), "the record means nothing any more");
    }
}

/// Killed between creating a directory and learning its number, and found long after.
#[test]
fn a_directory_of_unknown_origin_is_not_touched_later() {
    let machine = Machine::new();
    machine.others(&SET_UP[..1]);
    machine.leave_record(|record| record.phase = Phase::Kdamond);
    let asked = available(&machine.admin(), &machine.place()).unwrap_err().to_string();
    for text in [asked, machine.refused(&machine.place())] {
        assert!(text.contains("kdamond 0 (off, without a context)"), "{text}");
    }
}

#[test]
fn records_of_another_boot_or_of_nothing_mean_nothing() {
    let changes: [fn(&mut Record); 2] =
        [|record| record.boot_id = "another".into(), |record| record.phase = Phase::Nothing];
    for change in changes {
        let machine = Machine::new();
        let before = machine.listing();
        machine.leave_record(|record| {
            record.phase = Phase::Running;
            change(record);
        });
        drop(Owned::acquire(&machine.admin(), &machine.place()).unwrap());
        assert_eq!(machine.listing(), before);
    }
}

#[test]
fn records_of_another_tree_or_tool_are_not_thrown_away() {
    let machine = Machine::new();
    machine.leave_record(|record| {
        record.phase = Phase::Running;
        record.root = "/elsewhere".into();
    });
    let text = machine.refused(&machine.place());
    assert!(text.contains("/elsewhere") && text.contains(NAME), "{text}");
    std::fs::write(machine.dir.path().join(NAME), "by hand").unwrap();
    let text = machine.refused(&machine.place());
    assert!(text.contains("by hand") && machine.lock_exists(), "{text}");
}
