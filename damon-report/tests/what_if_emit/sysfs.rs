//! The shell script for the kernel's files: what it writes, in which order, and what it leaves alone.

use super::Bench;
use super::common::{MIB, info};
use damon_format::TargetId;
use damon_format::damos::Schemes;
use damon_record::damon::fake::Fake;
use damon_record::damon::sysfs::{Admin, Operations, Target, Wanted, When};
use damon_record::monitor::AddressRange;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Something of everything that a kernel of 7.2 knows.
const RICH: &str = r#"[{"action": "pageout",
    "access_pattern": {"sz_bytes": {"min": "4 K", "max": "1 G"}, "nr_accesses": {"max": "0 %"}, "age": {"min": "2 s"}},
    "apply_interval_us": "1 s",
    "quotas": {"sz_bytes": "3 M", "time_ms": 100, "reset_interval_ms": "500 ms", "weights": {"age_permil": 1},
        "goals": [{"metric": "node_memcg_used_bp", "nid": 0, "memcg_path": "/it's $(here); a b", "target_value": "50 %"}]},
    "watermarks": {"metric": "free_mem_rate", "interval_us": "5 s", "high_permil": 500, "mid_permil": 400, "low_permil": 200},
    "filters": [{"filter_type": "addr", "matching": true, "allow": false, "address_range": {"start": 4096, "end": 8192}},
        {"filter_type": "memcg", "matching": true, "allow": true, "memcg_path": "/`x`"}]},
  {"action": "migrate_cold", "target_nid": 1, "access_pattern": {"age": {"min": "3 s"}}}]"#;

/// What kernels know that have one directory of filters.
const OLD: &str = r#"[{"action": "stat", "filters": [{"filter_type": "memcg", "memcg_path": "/x y"}, {"filter_type": "target",
    "damon_target_idx": 0, "matching": false}]}]"#;

/// DAMON's directory of that release on a disk, with all files that setting up `wanted` would make appear, as plain
/// files; what they hold is what they hold before.
fn tree(at: &Path, release: (u32, u32), wanted: &Wanted) -> BTreeMap<String, String> {
    let fake = Fake::new(release);
    let shape = |path: &str, count: usize| {
        fake.with(|kernel| kernel.elsewhere(path, &count.to_string())).unwrap().unwrap();
    };
    let context = "kdamonds/0/contexts/0";
    shape("kdamonds/nr_kdamonds", 1);
    shape("kdamonds/0/contexts/nr_contexts", 1);
    let all = wanted.plan();
    let counts = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("nr_"));
    for step in all.steps().iter().filter(|step| counts(&step.path)) {
        let exists = |path: &str| fake.tree().exists(&format!("{context}/{path}"));
        let applies = match &step.when {
            When::Always => true,
            When::Has(path) => exists(path),
            When::Lacks(path) => !exists(path),
        };
        if applies {
            shape(&format!("{context}/{}", step.path), step.value.parse().unwrap());
        }
    }
    let mut files = fake.with(|kernel| kernel.listing()).unwrap();
    files.insert("kdamonds/nr_kdamonds".into(), "0".into());
    files.insert("kdamonds/0/pid".into(), "7000".into());
    for (path, value) in &files {
        let file = at.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, value).unwrap();
    }
    files
}

fn files(at: &Path, of: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    of.keys().map(|path| (path.clone(), fs::read_to_string(at.join(path)).unwrap())).collect()
}

/// What the recorder sets up for these schemes and the test's own process, or the whole machine.
fn wanted(json: &str, physical: bool) -> Wanted {
    wanted_in(json, physical, false)
}

/// The same in fixed ranges of a process.
fn wanted_in(json: &str, physical: bool, fixed: bool) -> Wanted {
    let attrs = damon_format::Attrs { min_nr_regions: 11, ..info().attrs };
    let range = |start: u64, end: u64| AddressRange { start: start * MIB, end: end * MIB };
    let regions = if physical || fixed { vec![range(1, 3), range(5, 9)] } else { Vec::new() };
    let of_process = if fixed { Operations::Fvaddr } else { Operations::Vaddr };
    Wanted {
        operations: if physical { Operations::Paddr } else { of_process },
        attrs,
        goal: None,
        targets: vec![Target { pid: (!physical).then(std::process::id), regions }],
        schemes: Schemes::from_json(json).unwrap().to_kernel(&attrs).unwrap(),
    }
}

fn script(json: &str, physical: bool) -> String {
    script_in(json, physical, false)
}

fn script_in(json: &str, physical: bool, fixed: bool) -> String {
    use damon_report::analysis::simulate::emit::{Form, Place, Process, emit};
    let attrs = damon_format::Attrs { min_nr_regions: 11, ..info().attrs };
    let place = Place {
        name: "work\n.damon".into(),
        attrs,
        kernel: "7.2.0".into(),
        physical: physical.then(|| vec![MIB..3 * MIB, 5 * MIB..9 * MIB]),
        regions: if fixed { vec![MIB..3 * MIB, 5 * MIB..9 * MIB] } else { vec![] },
        processes: vec![Process { target: TargetId(0), name: "wo\nrk'".into(), pid: 4711 }],
        limits: vec!["it\nrests".into()],
    };
    emit(Form::Sysfs, &Schemes::from_json(json).unwrap(), &place).unwrap().text
}

#[test]
fn the_script_writes_what_the_recorder_would_write() {
    let me = std::process::id().to_string();
    let cases = [
        ((7, 2), false, false, RICH),
        ((7, 2), true, false, RICH),
        ((6, 12), false, false, OLD),
        ((7, 2), false, true, RICH),
    ];
    for (release, physical, fixed, json) in cases {
        let bench = Bench::new();
        let wanted = wanted_in(json, physical, fixed);
        let script = script_in(json, physical, fixed);
        let admin = bench.path("admin");
        let before = tree(&admin, release, &wanted);
        let args: &[&str] = if physical { &[] } else { &[me.as_str()] };
        let ran = bench.sh(&script, "admin", args);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.out.contains("undo 7000"), "{}", ran.out);
        // The same by the recorder, on the fake that makes directories as the kernel does.
        let fake = Fake::new(release);
        fake.with(|kernel| kernel.elsewhere("kdamonds/nr_kdamonds", "1")).unwrap().unwrap();
        fake.with(|kernel| kernel.elsewhere("kdamonds/0/contexts/nr_contexts", "1"))
            .unwrap()
            .unwrap();
        let context = Admin::new(fake.tree()).kdamond(0).unwrap().context().unwrap().unwrap();
        wanted.plan().execute(context.tree()).unwrap();
        let mut right = fake.with(|kernel| kernel.listing()).unwrap();
        right.insert("kdamonds/0/state".into(), "on".into());
        right.insert("kdamonds/0/pid".into(), "7000".into());
        let found = files(&admin, &before);
        assert_eq!(found.len(), right.len());
        let same = |a: &str, b: &str| a.trim_end() == b.trim_end();
        let differ: Vec<_> =
            found.iter().filter(|(path, value)| !same(value, &right[*path])).collect();
        assert!(differ.is_empty(), "{release:?} {physical}: {differ:?}");
        let hard = if json == RICH { "it's $(here); a b" } else { "/x y" };
        assert!(right.values().any(|value| value.contains(hard)));
        // And back.
        let foreign = bench.sh(&script, "admin", &["undo", "6999"]);
        assert!(foreign.status == 1 && foreign.err.contains("somebody else's"), "{}", foreign.err);
        assert_eq!(files(&admin, &before), found, "nothing was touched");
        let back = bench.sh(&script, "admin", &["undo", "7000"]);
        assert_eq!((back.status, back.out.as_str()), (0, "taken back\n"), "{}", back.err);
        let found = files(&admin, &before);
        assert_eq!(
            (found["kdamonds/0/state"].as_str(), found["kdamonds/nr_kdamonds"].as_str()),
            ("off", "0")
        );
    }
}

#[test]
fn each_file_is_there_when_it_is_written() {
    // The order of the lines, tried on a kernel whose directories appear as they are asked for.
    for physical in [false, true] {
        let fake = Fake::new((7, 2));
        let put = |path: &str, value: &str| {
            fake.with(|kernel| kernel.elsewhere(path, value))
                .unwrap()
                .map_err(|e| format!("{path}: {e}"))
        };
        put("kdamonds/nr_kdamonds", "1").unwrap();
        put("kdamonds/0/contexts/nr_contexts", "1").unwrap();
        let script = script(RICH, physical);
        let lines = script.lines().filter_map(|line| line.trim_start().strip_prefix("put "));
        let mut written = 0;
        for line in lines.filter(|line| !line.contains("$target")) {
            let (path, value) = line.split_once(' ').unwrap();
            let value =
                value.strip_prefix('\'').map_or(value, |quoted| quoted.split_once('\'').unwrap().0);
            let value = value.split(' ').next().unwrap().replace("$#", "1");
            if !path.starts_with("schemes/0/filters") {
                put(&format!("kdamonds/0/contexts/0/{path}"), &value).unwrap();
                written += 1;
            }
        }
        assert!(written > 50, "{written}");
    }
}

#[test]
fn the_script_leaves_others_alone_and_nothing_behind() {
    let me = std::process::id().to_string();
    let bench = Bench::new();
    let admin = bench.path("admin");
    let before = tree(&admin, (7, 2), &wanted(RICH, false));
    let script = script(RICH, false);
    // Somebody else's.
    fs::write(admin.join("kdamonds/nr_kdamonds"), "2\n").unwrap();
    let ran = bench.sh(&script, "admin", &[&me]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("somebody else uses DAMON (2 kdamonds"), "{}", ran.err);
    let mut now = files(&admin, &before);
    assert_eq!(now.insert("kdamonds/nr_kdamonds".into(), "0".into()).as_deref(), Some("2\n"));
    assert_eq!(now, before, "nothing else was written");
    // No process, and none that exists.
    fs::write(admin.join("kdamonds/nr_kdamonds"), "0").unwrap();
    assert!(bench.sh(&script, "admin", &[]).err.contains("wo?rk' (pid 4711 then)"));
    assert!(bench.sh(&script, "admin", &["0"]).err.contains("no such process"));
    assert_eq!(files(&admin, &before), before);
    // A kernel that lacks something: what was begun is undone.
    fs::remove_file(admin.join("kdamonds/0/contexts/0/schemes/0/apply_interval_us")).unwrap();
    let ran = bench.sh(&script, "admin", &[&me]);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("no apply intervals of schemes (it needs Linux 6.7)"), "{}", ran.err);
    let nr = fs::read_to_string(admin.join("kdamonds/nr_kdamonds")).unwrap();
    assert_eq!(nr, "0");
    assert!(!admin.join("kdamonds/0/contexts/0/schemes/0/apply_interval_us").exists());
    // A kernel without.
    let none = bench.sh(&script, "nowhere", &[&me]);
    assert!(none.status == 1 && none.err.contains("without DAMON"), "{}", none.err);
}

/// Somebody who holds the lock until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(file: &Path) -> Self {
        let mut holder = Command::new("flock")
            .arg(file)
            .args(["sh", "-c", "echo held; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = [0; 5];
        holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
        Self(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn two_scripts_do_not_work_at_the_same_time() {
    let me = std::process::id().to_string();
    let bench = Bench::new();
    let admin = bench.path("admin");
    let before = tree(&admin, (7, 2), &wanted(RICH, false));
    let script = script(RICH, false);
    let other = Holder::of(&admin.join("kdamonds/nr_kdamonds"));
    for args in [&[me.as_str()][..], &["undo", "7000"]] {
        let ran = bench.sh(&script, "admin", args);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""));
        assert!(ran.err.contains("another such script"), "{}", ran.err);
        assert_eq!(files(&admin, &before), before, "nothing was touched");
    }
    drop(other);
    let ran = bench.sh(&script, "admin", &[&me]);
    assert_eq!(ran.status, 0, "{}", ran.err);
}
