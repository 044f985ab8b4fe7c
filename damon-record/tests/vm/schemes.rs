//! DAMOS schemes on a real kernel: applied by its DAMON, and by us where that is not used.

use crate::machine::{Machine, Section};
use crate::verdict::Recording;
use damon_format::{Record, SchemeStats};

static SCHEMES: Machine = Machine::new(
    &["--clock", "virtual", "--timeout", "600", "--module", "zram"],
    &[
        (
            "kernel",
            r#"echo 192M >/sys/block/zram0/disksize
            mkswap /dev/zram0 >/dev/null
            swapon /dev/zram0
            cat >/root/pageout.json <<'JSON'
[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "1 s"}}}]
JSON
            before=$(tree)
            started
            grep -E 'VmRSS|VmSwap' "/proc/$workload/status" >memory.before
            damon-record --dry-run --backend damon --schemes /root/pageout.json "$workload"
            restored
            # Statistics count a region once it is done, which takes the emulated kernel seconds for a large one.
            damon-record --backend damon --schemes /root/pageout.json -o recording.damon -d 15s \
                --sample 20ms --aggr 200ms "$workload"
            grep -E 'VmRSS|VmSwap' "/proc/$workload/status" >memory.after
            restored
            ended"#,
        ),
        (
            "user-space",
            r#"started
            grep -E 'VmRSS|VmSwap' "/proc/$workload/status" >memory.before
            # As many regions as tell the areas apart from the first second on.
            damon-record --backend pte --schemes /root/pageout.json -o recording.damon -d 10s \
                --sample 20ms --aggr 200ms --min-regions 200 --budget 100% "$workload"
            grep -E 'VmRSS|VmSwap' "/proc/$workload/status" >memory.after
            ended"#,
        ),
        (
            "refused",
            r#"started
            echo '[{"action": "lru_prio"}]' >prio.json
            damon-record -q --backend pte --schemes prio.json "$workload" || echo "status $?"
            echo '[{"action": "pageout", "quotas": {"goals": [{"metric": "active_mem_bp", "target_value": 5}], "reset_interval_ms": "1 s"}}]' >goal.json
            before=$(tree)
            damon-record -q --backend damon --schemes goal.json "$workload" || echo "status $?"
            restored
            damon-record -q --backend damon --intervals-goal 4% "$workload" || echo "status $?"
            restored
            ended"#,
        ),
    ],
);

/// Resident and swapped memory in KiB, before and after.
fn memory(section: &Section) -> [(u64, u64); 2] {
    ["memory.before", "memory.after"].map(|file| {
        let text = std::fs::read_to_string(section.path(file)).unwrap();
        let number = |name: &str| -> u64 {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (number("VmRSS"), number("VmSwap"))
    })
}

/// What is written is cold (32 MiB of desert, most of the sea): the scheme must have put most of it away, and say so.
fn assert_paged_out(section: &Section, by: &str) {
    let [(before, _), (after, swapped)] = memory(section);
    println!("resident {before} KiB before, {after} KiB after; {swapped} KiB swapped out");
    assert!(after < before / 3 && swapped > 40 << 10, "{before} {after} {swapped}");
    let recording = Recording::read(&section.path("recording.damon"));
    let installed = recording.records.iter().find_map(|record| match record {
        Record::SchemeInstalled(installed) => Some(installed),
        _ => None,
    });
    let installed = installed.expect("the scheme is recorded");
    assert!(installed.by == by && installed.json.contains("pageout"), "{installed:?}");
    let stats: Vec<&SchemeStats> = recording
        .records
        .iter()
        .filter_map(|record| match record {
            Record::SchemeStats(stats) => Some(stats),
            _ => None,
        })
        .collect();
    let last = stats.last().expect("its statistics are recorded");
    assert!(last.nr_applied > 0 && last.sz_applied > 40 << 20, "{last:?}");
    assert!(last.sz_applied <= last.sz_tried && last.nr_applied <= last.nr_tried, "{last:?}");
    let tried: u64 = recording
        .records
        .iter()
        .filter_map(|record| match record {
            Record::SchemeApplied(applied) => Some(&applied.regions),
            _ => None,
        })
        .flatten()
        .map(damon_format::Region::size)
        .sum();
    // The events tell every attempt, the statistics are read once a second.
    assert!(tried >= last.sz_tried, "{tried} {last:?}");
}

#[test]
fn the_kernel_pages_cold_memory_out_and_is_restored() {
    let Some(section) = SCHEMES.section("kernel").map(Section::ok) else {
        return;
    };
    assert_paged_out(&section, "kernel");
    for line in ["echo 'pageout' > ", "schemes/0/access_pattern/age/min", "nothing was done"] {
        assert!(section.stdout.contains(line), "{line} in {}", section.stdout);
    }
}

#[test]
fn we_page_cold_memory_out_where_the_kernel_does_not() {
    let Some(section) = SCHEMES.section("user-space").map(Section::ok) else {
        return;
    };
    assert_paged_out(&section, "damon-record");
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let Some(section) = SCHEMES.section("refused").map(Section::ok) else {
        return;
    };
    assert_eq!(section.stdout.lines().collect::<Vec<_>>(), ["status 2", "status 3", "status 3"]);
    for words in ["lru_prio", "active_mem_bp", "Linux 6.15"] {
        assert!(section.stderr.contains(words), "{words} in {}", section.stderr);
    }
}
