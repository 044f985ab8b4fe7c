//! Ownership against the fake: what is ours is restored, what is not is never written to.

use super::lock::NAME;
use super::*;
use crate::damon::fake::{Fake, Fault};
use crate::damon::sysfs::{Admin, State};
use crate::proc::{ProcRoot, fake as proc_fake};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

mod leftovers;

/// Relative to `kdamonds`.
type Writes<'a> = &'a [(&'a str, &'a str)];

struct Machine {
    fake: Fake,
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { fake: Fake::new((6, 12)), dir: tempfile::tempdir().unwrap() }
    }

    fn admin(&self) -> Admin {
        Admin::new(self.fake.tree())
    }

    fn place(&self) -> OwnPlace {
        OwnPlace {
            lock_dirs: vec![self.dir.path().to_owned()],
            modules: self.dir.path().join("module"),
            proc: ProcRoot::default(),
            guard: None,
            use_spare: false,
        }
    }

    /// As the administrator or another tool.
    fn others(&self, writes: Writes<'_>) {
        self.fake
            .with(|kernel| {
                for (path, value) in writes {
                    kernel.elsewhere(&format!("kdamonds/{path}"), value).unwrap();
                }
            })
            .unwrap();
    }

    fn listing(&self) -> BTreeMap<String, String> {
        self.fake.with(|kernel| kernel.listing()).unwrap()
    }

    fn writes(&self) -> usize {
        self.fake.with(|kernel| kernel.log.len()).unwrap()
    }

    fn enable(&self, module: &str) {
        let name = format!("module/{module}/parameters/enabled");
        proc_fake::put(self.dir.path(), &name, "Y\n");
    }

    fn lock_exists(&self) -> bool {
        self.dir.path().join(NAME).exists()
    }

    fn refused(&self, place: &OwnPlace) -> String {
        let before = (self.listing(), self.writes());
        let text = Owned::acquire(&self.admin(), place).unwrap_err().to_string();
        assert_eq!((self.listing(), self.writes()), before, "{text}");
        text
    }
}

/// One kdamond with one process.
const SET_UP: [(&str, &str); 4] = [
    ("nr_kdamonds", "1"),
    ("0/contexts/nr_contexts", "1"),
    ("0/contexts/0/targets/nr_targets", "1"),
    ("0/contexts/0/targets/0/pid_target", "77"),
];

fn fill_in(owned: &Owned) {
    owned.context().tree().set("targets/nr_targets", "1").unwrap();
    owned.context().tree().set("targets/0/pid_target", "5").unwrap();
}

#[test]
fn what_was_created_is_gone_afterwards() {
    for by_drop in [false, true] {
        let machine = Machine::new();
        let before = machine.listing();
        let mut owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
        assert_eq!(owned.kdamond().nr_contexts().unwrap(), 1);
        fill_in(&owned);
        let tid = owned.start().unwrap();
        assert_eq!(owned.state().unwrap(), State::On);
        assert_eq!(owned.record().tid, Some(tid));
        assert!(machine.lock_exists());
        if by_drop {
            drop(owned);
        } else {
            assert_eq!(owned.release(), Ok(Restored::Undone));
        }
        assert_eq!(machine.listing(), before);
        assert!(machine.fake.with(|kernel| kernel.running.is_empty()).unwrap());
        assert!(!machine.lock_exists());
    }
}

#[test]
fn one_that_has_stopped_by_itself_is_removed_as_well() {
    let machine = Machine::new();
    let before = machine.listing();
    let mut owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    fill_in(&owned);
    owned.start().unwrap();
    machine.fake.with(|kernel| kernel.stop(0)).unwrap();
    assert_eq!(owned.state().unwrap(), State::Off);
    assert_eq!(owned.release(), Ok(Restored::Undone));
    assert_eq!(machine.listing(), before);
}

#[test]
fn a_kdamond_that_stops_at_once_is_noticed() {
    let machine = Machine::new();
    let before = machine.listing();
    machine.fake.with(|kernel| kernel.stops_at_once = true).unwrap();
    let mut owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    fill_in(&owned);
    let error = owned.start().unwrap_err();
    assert!(matches!(error, OwnError::StoppedAtOnce), "{error}");
    drop(owned);
    assert_eq!(machine.listing(), before);
}

#[test]
fn what_others_have_is_refused_and_named_without_a_write() {
    let on: Vec<_> = SET_UP.into_iter().chain([("0/state", "on")]).collect();
    let physical: Vec<_> = SET_UP[..3]
        .iter()
        .copied()
        .chain([("0/contexts/0/operations", "paddr"), ("0/state", "on")])
        .collect();
    let cases: [(Writes<'_>, &[&str]); 5] = [
        (&on, &["kdamond 0 (on, vaddr, process 77, thread 7001)", "--backend attach"]),
        (&physical, &["kdamond 0 (on, paddr, the machine's memory, thread"]),
        (&SET_UP, &["kdamond 0 (off, vaddr, process 77)"]),
        (&SET_UP[..1], &["kdamond 0 (off, without a context)", "none of it runs", "echo 0 >"]),
        (&[("nr_kdamonds", "300")], &["44 more"]),
    ];
    for (writes, words) in cases {
        let machine = Machine::new();
        machine.others(writes);
        let text = machine.refused(&machine.place());
        for word in words.iter().chain(&["doctor"]) {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert!(!machine.lock_exists());
    }
}

#[test]
fn a_module_that_monitors_excludes_everybody() {
    for use_spare in [false, true] {
        let machine = Machine::new();
        machine.others(&SET_UP[..usize::from(use_spare)]);
        machine.enable("damon_stat");
        let text = machine.refused(&OwnPlace { use_spare, ..machine.place() });
        for word in ["damon_stat", "--backend attach", "/sys/module/damon_stat/parameters/enabled"]
        {
            assert!(text.contains(word), "{word} in {text}");
        }
    }
}

#[test]
fn a_spare_kdamond_is_used_by_consent_and_left_as_it_was() {
    let machine = Machine::new();
    machine.others(&[
        ("nr_kdamonds", "3"),
        ("0/contexts/nr_contexts", "1"),
        ("0/contexts/0/targets/nr_targets", "1"),
        ("0/contexts/0/targets/0/pid_target", "77"),
        ("0/state", "on"),
        ("1/contexts/nr_contexts", "1"),
    ]);
    let before = machine.listing();
    let place = OwnPlace { use_spare: true, ..machine.place() };
    let mut owned = Owned::acquire(&machine.admin(), &place).unwrap();
    assert_eq!(owned.record().claim, Claim::Spare { index: 2, count: 3 });
    fill_in(&owned);
    owned.start().unwrap();
    assert_eq!(owned.release(), Ok(Restored::Undone));
    assert_eq!(machine.listing(), before);
    let log = machine.fake.with(|kernel| kernel.log.clone()).unwrap();
    assert!(log.iter().all(|write| write.path.starts_with("kdamonds/2/")), "{log:?}");
}

#[test]
fn configured_kdamonds_are_not_spare() {
    let machine = Machine::new();
    machine.others(&SET_UP);
    machine.refused(&OwnPlace { use_spare: true, ..machine.place() });
}

/// Somebody else takes over at any moment: removes what is ours, and runs something of their own under the
/// same names.
#[test]
fn a_takeover_at_any_moment_is_left_alone() {
    let mut takeover = vec![("0/state", "off"), ("nr_kdamonds", "2")];
    takeover.extend(&SET_UP[1..]);
    takeover.extend([("0/state", "on"), ("1/contexts/nr_contexts", "1")]);
    let writes: Vec<(String, String)> = takeover
        .iter()
        .map(|(path, value)| (format!("kdamonds/{path}"), (*value).to_owned()))
        .collect();
    let theirs = Machine::new();
    theirs.others(&takeover[1..]);
    let (theirs, mut moments, mut survived) = (theirs.listing(), 0, 0);
    loop {
        let machine = Machine::new();
        moments += 1;
        machine.fake.with(|kernel| kernel.others = vec![(moments, writes.clone())]).unwrap();
        let before = |owned: &Owned| owned.context().tree().set("targets/nr_targets", "1");
        let result = Owned::acquire(&machine.admin(), &machine.place()).and_then(|mut owned| {
            before(&owned)?;
            owned.context().tree().set("targets/0/pid_target", "5")?;
            owned.start().ok();
            Ok(owned.release())
        });
        if !machine.fake.with(|kernel| kernel.others.is_empty()).unwrap() {
            assert!(result.is_ok(), "nobody came in between");
            break;
        }
        survived += usize::from(result.is_err());
        let now = machine.listing();
        let thread = now["kdamonds/0/pid"].clone();
        let mut theirs = theirs.clone();
        theirs.insert("kdamonds/0/pid".into(), thread);
        assert_eq!(now, theirs, "moment {moments}: {result:?}");
    }
    assert!(moments > 30 && survived > 10, "{moments} moments, {survived} errors");
}

#[test]
fn a_thread_that_is_not_ours_is_somebody_elses() {
    let machine = Machine::new();
    let mut owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    fill_in(&owned);
    owned.start().unwrap();
    machine.others(&[("0/state", "off"), ("0/state", "on")]);
    let (before, writes) = (machine.listing(), machine.writes());
    let error = owned.state().unwrap_err().to_string();
    assert!(error.contains("thread 7002"), "{error}");
    let lost = owned.release().unwrap_err();
    assert!(matches!(&lost, NotRestored::Lost(lost) if lost.index == 0), "{lost}");
    assert!(lost.to_string().contains("no longer ours"), "{lost}");
    assert_eq!((machine.listing(), machine.writes()), (before, writes));
    assert!(!machine.lock_exists(), "nothing is left to be undone");
}

#[test]
fn removed_by_the_administrator_is_nothing_to_do() {
    let machine = Machine::new();
    let before = machine.listing();
    let mut owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    fill_in(&owned);
    owned.start().unwrap();
    machine.others(&[("0/state", "off"), ("nr_kdamonds", "0")]);
    assert!(matches!(owned.state(), Err(OwnError::Lost(_))));
    assert_eq!(owned.release(), Ok(Restored::NothingToDo));
    assert_eq!(machine.listing(), before);
}

#[test]
fn without_damon_or_privileges_the_reason_is_said() {
    let machine = Machine::new();
    let missing = Admin::new(crate::damon::sysfs::Tree::at("/nonexistent"));
    let text = Owned::acquire(&missing, &machine.place()).unwrap_err().to_string();
    for word in ["CONFIG_DAMON_SYSFS", "/nonexistent/kdamonds/nr_kdamonds", "doctor"] {
        assert!(text.contains(word), "{word} in {text}");
    }

    let denied = Fault::Read { ends: "nr_kdamonds".into(), errno: Errno::EACCES as i32, times: 1 };
    machine.fake.with(|kernel| kernel.faults.push(denied)).unwrap();
    let text = machine.refused(&machine.place());
    assert!(text.contains("nr_kdamonds") && text.contains("only root"), "{text}");

    // Lockdown, a security module, a read-only mount: reading works and writing does not.
    for (errno, word) in [(Errno::EPERM, "lockdown"), (Errno::EROFS, "read-only")] {
        let before = machine.listing();
        let fault = Fault::Write { ends: "nr_kdamonds".into(), errno: errno as i32, times: 1 };
        machine.fake.with(|kernel| kernel.faults.push(fault)).unwrap();
        let refusal = Owned::acquire(&machine.admin(), &machine.place()).unwrap_err();
        assert!(matches!(refusal, Refusal::Denied(_)), "{refusal}");
        let text = refusal.to_string();
        assert!(text.contains("write 1 to ") && text.contains(word), "{text}");
        assert_eq!(machine.listing(), before);
        assert!(!machine.lock_exists());
    }
}

#[test]
fn two_recorders_do_not_share() {
    let machine = Machine::new();
    let owned = Owned::acquire(&machine.admin(), &machine.place()).unwrap();
    let text = machine.refused(&machine.place());
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(owned);
    drop(Owned::acquire(&machine.admin(), &machine.place()).unwrap());
}

#[test]
fn a_missing_guard_program_prevents_everything() {
    let machine = Machine::new();
    for program in ["/nonexistent", "/bin/true"] {
        let guard = Some(GuardProgram::program(program, ["x"]));
        let text = machine.refused(&OwnPlace { guard, ..machine.place() });
        assert!(text.contains(program) && text.contains("nothing is changed"), "{text}");
        assert!(!machine.lock_exists());
    }
}

#[test]
fn a_survey_reads_only() {
    let machine = Machine::new();
    let none = survey(&machine.admin(), &machine.place().modules).unwrap();
    assert!(none.is_free());
    assert_eq!(none.to_string(), "nobody");
    machine.others(&[
        ("nr_kdamonds", "2"),
        ("1/contexts/nr_contexts", "1"),
        ("1/contexts/0/targets/nr_targets", "4"),
        ("1/contexts/0/targets/0/pid_target", "1"),
        ("1/contexts/0/targets/1/pid_target", "2"),
        ("1/contexts/0/targets/2/pid_target", "3"),
        ("1/contexts/0/targets/3/pid_target", "4"),
        ("1/state", "on"),
    ]);
    machine.enable("damon_lru_sort");
    let seen = survey(&machine.admin(), &machine.place().modules).unwrap();
    assert_eq!(
        seen.to_string(),
        "kdamond 0 (off, without a context), kdamond 1 (on, vaddr, processes 1, 2 and 2 others, thread 7001) \
         and the module damon_lru_sort"
    );
    assert_eq!((seen.spare().unwrap().index, seen.modules), (0, vec![Module::LruSort]));
    assert_eq!(machine.writes(), 0);

    // What cannot be read may be anything.
    let hidden = Fault::Read { ends: "0/state".into(), errno: Errno::EIO as i32, times: 9 };
    machine.fake.with(|kernel| kernel.faults.push(hidden)).unwrap();
    let seen = survey(&machine.admin(), Path::new("/nonexistent")).unwrap();
    assert!(seen.spare().is_none());
    assert!(seen.to_string().starts_with("kdamond 0 (state unknown"), "{seen}");
}
