//! The kernel's own DAMON on the kernel that people run: what it finds, what it leaves behind, whom it leaves alone.

use crate::machine::{Machine, Section};
use crate::verdict::{Recording, judge};
use crate::{company, ways};
use damon_format::{Granularity, PartChain, Record, Snapshot, TargetKind};
use std::borrow::Borrow;
use std::ffi::OsString;
use std::path::Path;

/// Regions are merged up to all memory / `--min-regions`: where the smallest area of the workload is to be found, and soon,
/// that must be more than 10.
pub(crate) static DAMON: Machine = Machine::new(
    &["--clock", "virtual", "--timeout", "900", "--memory", "512M", "--add", "/usr/bin/strace:/bin/", "--add", "/usr/bin/setpriv:/root/"],
    &[
        (
            "vaddr",
            "before=$(tree)
            started
            status=0
            damon-record --backend damon -o recording.damon -d 8s --sample 20ms --aggr 200ms --update 2s --min-regions 40 \"$workload\" || status=$?
            ended
            restored
            exit $status",
        ),
        ("fvaddr", "before=$(tree); recorded 6s --backend damon --sample 20ms --aggr 200ms; restored"),
        (
            "paddr",
            "before=$(tree)
            started
            frames 1 2048 1024 written.frames
            frames 2 0 512 read.frames
            frames 3 0 8192 cold.frames
            status=0
            damon-record --physical -o recording.damon -d 10s --sample 20ms --aggr 200ms --min-regions 200 || status=$?
            ended
            restored
            exit $status",
        ),
        (
            "parts",
            "before=$(tree)
            started
            status=0
            damon-record --backend damon -o recording.damon -d 60s --sample 20ms --aggr 200ms --rotate-time 5s \"$workload\" || status=$?
            ended
            restored
            exit $status",
        ),
        ways::PERF_FORBIDDEN,
        company::CHILDREN,
        company::NEWCOMERS,
        company::CHURN,
        ("doctor", "damon-record doctor"),
        (
            "somebodys",
            r#"started
            somebodys_kdamond vaddr "$workload"
            before=$(tree)
            for _ in 1 2 3; do
                damon-record -q -d 1s --backend damon "$workload" 2>>refused || echo "refused with $?"
                damon-record -q -d 1s --physical 2>>refused || echo "refused with $?"
            done
            cat refused
            damon-record -d 1s --force -o auto.damon "$workload"
            strace -f -qq -e trace=openat,open,creat,write,mkdir,mkdirat,rename,unlink,unlinkat -o calls \
                damon-record -d 3s -o recording.damon --backend attach
            [ "$(tree)" = "$before" ] && echo "untouched"
            damon-record doctor >doctor
            ended"#,
        ),
    ],
);

/// Nothing is judged by time here, so it may be the host's, which is cheaper.
static ENDINGS: Machine = Machine::new(
    &["--timeout", "600"],
    &[(
        "endings",
        r#"before=$(tree)
            printf 'area some 4M\nphase steady 1s\nread some 0..1M every 10ms\n' >/root/small.txt
            failures=0
            for how in end error INT TERM HUP KILL ABRT ILL; do
                damon-workload /root/small.txt --duration 5m >/dev/null &
                workload=$!
                for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
                    case $how in
                    end) damon-record -q -d 100ms --force -o x.damon --backend damon "$workload" || failures=$((failures + 1)) ;;
                    error) ! damon-record -q -d 100ms -o /dev/full --backend damon "$workload" 2>/dev/null || failures=$((failures + 1)) ;;
                    *)
                        damon-record -q --force -o x.damon --backend damon "$workload" 2>/dev/null &
                        recorder=$!
                        sleep 0.0$((i % 10))$((i / 2))
                        kill -$how $recorder
                        # Shells without job control have SIGINT ignored in the background, until the recorder waits for it.
                        while [ $how = INT ] && kill -INT $recorder 2>/dev/null; do
                            sleep 0.05
                        done
                        wait $recorder || true
                        ;;
                    esac
                    restored || failures=$((failures + 1))
                done
                kill $workload
                echo "$how done"
            done
            exit $failures"#,
    )],
);

/// A recording by the kernel, with everything that belongs to it.
pub(crate) fn recording(section: &Section) -> Recording {
    let recording = Recording::read(&section.path("recording.damon"));
    assert_eq!(recording.info.backend.name, "damon");
    assert_eq!(recording.info.backend.granularity, Granularity::Region);
    let has = |what: &str, is: fn(&Record) -> bool| {
        assert!(recording.records.iter().any(is), "no record of {what}");
    };
    has("the machine's memory", |r| matches!(r, Record::SystemMemory(_)));
    has("the kdamond's CPU time", |r| matches!(r, Record::KdamondCpu(_)));
    has("mappings", |r| matches!(r, Record::MappingsChanged(m) if !m.added.is_empty()));
    has("the end", |r| matches!(r, Record::Finished(_)));
    let lost = recording.records.iter().filter(|r| matches!(r, Record::Lost(_)));
    assert_eq!(lost.count(), 0, "{:?}", recording.records);
    recording
}

/// No aggregation is missing between two snapshots of a target.
pub(crate) fn assert_gapless(snapshots: &[impl Borrow<Snapshot>]) {
    for pair in snapshots.windows(2) {
        assert_eq!(pair[0].borrow().end_ns, pair[1].borrow().start_ns, "a gap");
    }
}

#[test]
fn vaddr_tells_hot_from_cold() {
    let Some(section) = DAMON.section("vaddr").map(Section::ok) else {
        return;
    };
    let found = judge(&section, 15);
    assert!(found.written >= 0.75 && found.read >= 0.75 && found.cold <= 0.15, "{found:?}");
    let recording = recording(&section);
    assert_gapless(&recording.snapshots);
    assert!(recording.records.iter().any(|r| matches!(r, Record::Memory(_))));
    assert!(recording.records.iter().any(|r| matches!(r, Record::TargetStarted(_))));
}

#[test]
fn fvaddr_stays_with_the_ranges_it_is_given() {
    let Some(section) = DAMON.section("fvaddr").map(Section::ok) else {
        return;
    };
    let found = judge(&section, 10);
    assert!(found.written >= 0.75 && found.read >= 0.75 && found.cold <= 0.15, "{found:?}");
    recording(&section);
}

#[test]
fn a_recording_of_many_parts_has_every_snapshot() {
    let Some(section) = DAMON.section("parts").map(Section::ok) else {
        return;
    };
    let paths: Vec<_> = (1..=99)
        .map(|number| section.path(&format!("recording.{number:06}.damon")))
        .take_while(|path| path.exists())
        .collect();
    assert!((12..=14).contains(&paths.len()), "{paths:?}");
    let (mut chain, mut all) = (PartChain::default(), Vec::new());
    for path in &paths {
        let part = Recording::read(path);
        let head = part.records.iter().find_map(|record| match record {
            Record::Part(part) => Some(part),
            _ => None,
        });
        chain
            .follow(head.expect("each file says which it is"), part.snapshots.len() as u64)
            .unwrap();
        let has = |is: fn(&Record) -> bool| part.records.iter().any(is);
        assert!(has(|r| matches!(r, Record::TargetStarted(_))), "complete by itself");
        assert!(
            has(|r| matches!(r, Record::MappingsChanged(_)))
                && has(|r| matches!(r, Record::Finished(_)))
        );
        all.extend(part.snapshots);
    }
    assert!(all.len() >= 250, "{} snapshots in a minute", all.len());
    assert_gapless(&all);
}

#[test]
fn what_the_kernel_saw_becomes_a_picture_with_names() {
    let Some(section) = DAMON.section("vaddr").map(Section::ok) else {
        return;
    };
    let (recording, picture) = (section.path("recording.damon"), section.path("heat.svg"));
    let words =
        ["damon-report", "heatmap", recording.to_str().unwrap(), "-o", picture.to_str().unwrap()];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = damon_report::commands::run(words.map(OsString::from), &mut out, &mut err);
    assert_eq!(exit, damon_report::exit::Exit::Success, "{}", String::from_utf8_lossy(&err));
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.contains("[heap]") || picture.contains("damon-workload"), "names of mappings");
    assert!(picture.contains("damon"), "the backend");
}

/// Mean access rate of the page frames whose pagemap entries are in `file`.
fn rate_of_frames(section: &Section, file: &str, snapshots: &[Snapshot]) -> f64 {
    let frames: Vec<u64> = std::fs::read(section.path(file))
        .unwrap()
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .filter(|word| word >> 63 == 1)
        .map(|word| (word & ((1 << 55) - 1)) << 12)
        .collect();
    assert!(frames.len() > 100, "{file}: only {} pages are present", frames.len());
    let (mut sum, mut count) = (0.0, 0.0);
    for snapshot in snapshots {
        let max = f64::from(snapshot.sampling.max_nr_accesses);
        for frame in &frames {
            let index = snapshot.regions.partition_point(|region| region.end <= *frame);
            let region = &snapshot.regions[index];
            assert!(region.start <= *frame, "memory outside of the monitored regions");
            sum += f64::from(region.nr_accesses) / max;
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn paddr_tells_hot_from_cold() {
    let Some(section) = DAMON.section("paddr").map(Section::ok) else {
        return;
    };
    let recording = recording(&section);
    assert!(recording.records.iter().any(
        |r| matches!(r, Record::TargetStarted(t) if t.kind == TargetKind::Physical && t.pid == 0)
    ));
    assert_gapless(&recording.snapshots);
    let judged = &recording.snapshots[recording.snapshots.len() / 2..];
    let [written, read, cold] = ["written.frames", "read.frames", "cold.frames"]
        .map(|file| rate_of_frames(&section, file, judged));
    println!("paddr: written {written:.3}, read {read:.3}, cold {cold:.3}");
    let hot = written.min(read);
    assert!(hot >= 0.35 && cold <= 0.2 && hot >= 4.0 * cold);
}

#[test]
fn however_a_recording_ends_the_tree_is_as_it_was_found() {
    let Some(section) = ENDINGS.section("endings").map(Section::ok) else {
        return;
    };
    assert_eq!(section.stdout.matches(" done\n").count(), 8, "{}", section.stdout);
    assert!(!section.stdout.contains("not restored"), "{}", section.stdout);
}

/// System calls that would have changed something below `path`.
fn writes_below(calls: &Path, path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(calls).unwrap();
    assert!(text.contains(path), "the recorder did not even look there");
    text.lines()
        .filter(|line| line.contains(path))
        .filter(|line| {
            ["O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "rename", "unlink"]
                .iter()
                .any(|word| line.contains(word))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn somebody_elses_kdamond_is_watched_and_never_touched() {
    let Some(section) = DAMON.section("somebodys").map(Section::ok) else {
        return;
    };
    assert_eq!(section.stdout.matches("refused with 3").count(), 6, "{}", section.stdout);
    assert!(section.stdout.contains("untouched"), "{}", section.stdout);
    assert!(section.stdout.contains("--backend attach"), "what to do instead is said");
    assert_ne!(Recording::read(&section.path("auto.damon")).info.backend.name, "damon");
    let attached = Recording::read(&section.path("recording.damon"));
    assert_eq!(attached.info.backend.name, "attach");
    assert_eq!(attached.info.attrs.aggr_us, 200_000, "read from the kdamond");
    assert!(attached.snapshots.len() >= 8, "{} snapshots", attached.snapshots.len());
    assert_gapless(&attached.snapshots);
    let below = writes_below(&section.path("calls"), "/sys/kernel/mm/damon");
    assert!(below.is_empty(), "{below:?}");
}

#[test]
fn doctor_tells_whether_damon_can_be_had() {
    let (Some(free), Some(used)) = (DAMON.section("doctor"), DAMON.section("somebodys")) else {
        return;
    };
    let verdicts = |text: &str| {
        let line =
            |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        [line("damon "), line("attach ")].map(|line| line.contains(" works "))
    };
    assert_eq!(verdicts(&free.ok().stdout), [true, false]);
    let used = std::fs::read_to_string(used.ok().path("doctor")).unwrap();
    assert_eq!(verdicts(&used), [false, true], "{used}");
}
