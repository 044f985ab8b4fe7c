//! What a simulation foretells, against what comes of it on a real kernel: the smallest of the comparisons that
//! `scripts/back-test` makes.

use crate::machine::{Machine, Section};
use damon_format::damos::Schemes;
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Plan, Simulation};
use damon_report::analysis::view::View;

macro_rules! scheme {
    () => {
        r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "1 s"}}}]"#
    };
}

/// The same workload twice, without and with the scheme. What was paged out is fetched back by short sweeps, of which a
/// monitor sees a part only.
static MACHINE: Machine = Machine::new(
    &["--clock", "virtual", "--timeout", "600", "--module", "zram"],
    &[
        (
            "plain",
            r#"echo 128M >/sys/block/zram0/disksize
            mkswap /dev/zram0 >/dev/null
            swapon /dev/zram0
            echo 0 >/proc/sys/vm/page-cluster
            cat >/root/sweeps.txt <<'WORKLOAD'
# A part in use all the time, one that is read through every 3 s, and one that nobody uses
area hot 2M
area tail 16M
area never 8M
phase work 2600ms
write hot every 20ms
phase sweep 400ms
write hot every 20ms
read tail every 400ms
WORKLOAD
            cat >/root/observed.sh <<'OBSERVED'
started /root/sweeps.txt
# Fewer than ten samples: the kernel then merges regions of the same count only, and rounds nothing away.
damon-record -q --backend damon -o recording.damon -d 10s --sample 25ms --aggr 200ms --min-regions 50 --regions "$areas" "$@" \
    "$workload" &
recorder=$!
while kill -0 $recorder 2>/dev/null; do
    grep -hE '^(VmRSS|pswpin)|^[0-9.]+ [0-9.]+$' /proc/uptime "/proc/$workload/status" /proc/vmstat
    sleep 0.2
done >samples
wait $recorder
ended
OBSERVED
            set --
            . /root/observed.sh"#,
        ),
        (
            "pageout",
            concat!(
                "echo '",
                scheme!(),
                "' >pageout.json
                set -- --schemes pageout.json
                . /root/observed.sh"
            ),
        ),
    ],
);

/// Mean resident bytes over time, and bytes fetched from swap.
fn consequences(section: &Section) -> (f64, f64) {
    let (mut samples, mut sum) = (Vec::new(), 0.0);
    let (mut time, mut resident) = (0.0, 0.0);
    for line in std::fs::read_to_string(section.path("samples")).unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<f64>().unwrap();
        match words[0] {
            "VmRSS:" => resident = number(1) * 1024.0,
            "pswpin" => samples.push((time, resident, number(1) * 4096.0)),
            _ => time = number(0),
        }
    }
    for pair in samples.windows(2) {
        sum += (pair[1].0 - pair[0].0) * pair[0].1;
    }
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    (sum / (last.0 - first.0), last.2 - first.2)
}

fn foretold(section: &Section) -> Simulation {
    let trace = Trace::open(&section.path("recording.damon")).unwrap();
    let view = View::new(&trace, &Query::default()).unwrap();
    let schemes = Schemes::from_json(scheme!()).unwrap();
    Plan::new(&trace, &view, &schemes, Options::default()).unwrap().run(&trace).unwrap()
}

#[test]
fn a_simulation_foretells_what_paging_out_saves_and_costs() {
    let Some(plain) = MACHINE.section("plain").map(Section::ok) else { return };
    let with = MACHINE.section("pageout").unwrap().ok();
    let (before, none) = consequences(&plain);
    let (after, refaulted) = consequences(&with);
    let simulation = foretold(&plain);
    let (saved, told) = (before - after, simulation.away.mean.expected);
    let told_back = simulation.refaulted.expected;
    println!(
        "saved {saved:.0}, foretold {told:.0}; refaulted {refaulted:.0}, foretold {told_back:.0}"
    );
    assert!(none == 0.0 && saved > 0.1 * before, "{none} {saved} of {before}");
    assert!((told / saved - 1.0).abs() < 0.15, "{told} {saved}");
    assert!((told_back / refaulted - 1.0).abs() < 0.25, "{told_back} {refaulted}");
}
