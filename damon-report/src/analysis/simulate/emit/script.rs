//! The shell script that writes DAMON's sysfs files.

use super::{Place, arguments, plain, quote, recorded};
use damon_format::Attrs;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Scheme;
use damon_format::damos::sysfs::{Step, When, steps};
use std::ops::Range;

/// What comes before all else; DAMON's own words are in the files.
const HEAD: &str = r#"set -eu
DAMON_SYSFS=${DAMON_SYSFS:-/sys/kernel/mm/damon/admin}
kdamonds=$DAMON_SYSFS/kdamonds
kdamond=$kdamonds/0
context=$kdamond/contexts/0

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Writes VALUE into FILE of the context: put FILE VALUE [WHAT SINCE].
put() {
    [ -e "$context/$1" ] || die "$context/$1 is missing: this kernel has no ${3:-such file}${4:+ (it needs $4)}"
    printf '%s' "$2" > "$context/$1" || die "$context/$1: '$2' is refused${3:+: $3${4:+ needs $4}}"
}

[ -e "$kdamonds/nr_kdamonds" ] || die "$kdamonds: this kernel is built without DAMON's sysfs interface, or you are not root"

# What is looked at here is still so when it is changed: one such script at a time, until it ends.
[ -r "$kdamonds/nr_kdamonds" ] || die "$kdamonds/nr_kdamonds may not be read: you are not root"
command -v flock > /dev/null || die "flock is missing (util-linux and busybox have it): two such scripts could destroy each other's work"
exec 9< "$kdamonds/nr_kdamonds"
flock -n 9 || die "another such script is setting DAMON up, or taking it back: nothing is changed; try again when it has ended"
"#;

/// Taking it back. The kernel's interface knows no owners, so that what is removed is compared with what was set up.
const UNDO: &str = r#"# Stops the kdamond that this script has started, and removes it; nobody else's.
undo() {
    [ "$(cat "$kdamonds/nr_kdamonds")" = 1 ] || die "there is not exactly one kdamond: nothing of this script is left to take back"
    if [ "$(cat "$kdamond/state")" = on ]; then
        [ "$(cat "$kdamond/pid")" = "$1" ] || die "the kdamond that runs is not $1: it is somebody else's, and left alone"
        printf off > "$kdamond/state"
    else
        is_ours || die "the kdamond there is somebody else's, and left alone"
    fi
    printf 0 > "$kdamonds/nr_kdamonds"
    echo "taken back"
}

if [ "${1:-}" = undo ]; then
    undo "${2:?which kdamond? its number was told when it was started}"
    exit
fi
"#;

/// What is checked before anything is written, and undone if it fails half-way.
const BEGIN: &str = r#"# Whoever writes nr_kdamonds destroys what others have set up: only where there is nothing.
found=$(cat "$kdamonds/nr_kdamonds")
[ "$found" = 0 ] || die "somebody else uses DAMON ($found kdamonds in $kdamonds): nothing is changed"
finished=no began=no switched_on=no
clean_up() {
    [ "$finished" = yes ] && return
    [ "$began" = yes ] || return 0
    [ "$switched_on" = no ] || printf off > "$kdamond/state"
    printf 0 > "$kdamonds/nr_kdamonds"
}

# One kdamond with one context; from here on a mistake, or Ctrl-C, removes it again.
trap clean_up EXIT
began=yes
printf 1 > "$kdamonds/nr_kdamonds"
trap 'exit 1' HUP INT TERM
printf 1 > "$kdamond/contexts/nr_contexts"
"#;

/// Switching on. A thread may end at once: its processes may be gone.
const START: &str = r#"
# From here on it acts.
printf on > "$kdamond/state" || die "DAMON does not start: is one of the kernel's modules at work (/sys/module/damon_*/parameters/enabled)?"
switched_on=yes
[ "$(cat "$kdamond/state")" = on ] || die "DAMON has ended at once: is the process still there?"
finished=yes
started=$(cat "$kdamond/pid")
echo "kdamond $started applies the schemes; to take it back: sh THIS_FILE undo $started"
"#;

/// The script for schemes, which are the same in people's and in the kernel's units.
pub(super) fn script(
    kernel: &[Scheme],
    schemes: &Schemes,
    place: &Place,
    after: &[String],
) -> String {
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        format!(
            "# Has the kernel's DAMON apply schemes that were simulated on {}.",
            plain(&place.name)
        ),
        "#".to_owned(),
        format!("# apply:      sh THIS_FILE{}", arguments(place)),
        "# take back:  sh THIS_FILE undo KDAMOND    (its number is told when it starts)".to_owned(),
    ];
    lines.extend(after.iter().map(|line| format!("#             {}", plain(line))));
    lines.extend(schemes.describe().iter().map(|text| format!("# {}", plain(text))));
    lines.push(HEAD.to_owned());
    lines.push(is_ours(&steps(kernel)));
    lines.push(UNDO.to_owned());
    if place.physical.is_none() {
        let usage = format!("usage: sh THIS_FILE PID...{}", recorded(place));
        lines.push(format!("[ $# -gt 0 ] || die {}", quote(&usage)));
        lines.push(
            "for pid in \"$@\"; do\n    [ -d \"/proc/$pid/task\" ] || die \"$pid: there is no such process\"\ndone"
                .to_owned(),
        );
    }
    lines.push(BEGIN.to_owned());
    monitoring(&mut lines, place);
    put_all(&mut lines, &steps(kernel));
    lines.push(START.trim_end().to_owned());
    lines.join("\n") + "\n"
}

/// Whether a kdamond that does not run any more looks like the one that was set up.
fn is_ours(steps: &[Step]) -> String {
    let everywhere = steps.iter().filter(|step| step.when == When::Always);
    let tests: Vec<String> = everywhere
        .map(|step| format!("holds {} {}", quote(&step.path), quote(&step.value)))
        .collect();
    let holds = "holds() {\n    [ \"$(cat \"$context/$1\" 2>/dev/null)\" = \"$2\" ]\n}\n";
    format!("{holds}is_ours() {{\n    {}\n}}\n", tests.join(" &&\n        "))
}

/// What is monitored, and how.
fn monitoring(lines: &mut Vec<String>, place: &Place) {
    let Attrs { sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions } = place.attrs;
    let operations = match (&place.physical, place.regions.as_slice()) {
        (Some(_), _) => "paddr",
        (None, []) => "vaddr",
        // Ranges stay as they are.
        (None, _) => "fvaddr",
    };
    lines.push("# All of the processes' mappings, or the ranges below; as often as it was recorded (microseconds).".to_owned());
    for (file, value) in [
        ("operations", operations.to_owned()),
        ("monitoring_attrs/intervals/sample_us", sample_us.to_string()),
        ("monitoring_attrs/intervals/aggr_us", aggr_us.to_string()),
        ("monitoring_attrs/intervals/update_us", update_us.to_string()),
        ("monitoring_attrs/nr_regions/min", min_nr_regions.to_string()),
        ("monitoring_attrs/nr_regions/max", max_nr_regions.to_string()),
    ] {
        lines.push(format!("put {file} {value}"));
    }
    let Some(ranges) = &place.physical else {
        lines.push(
            "put targets/nr_targets $#\ntarget=0\nfor pid in \"$@\"; do\n    \
             put \"targets/$target/pid_target\" \"$pid\""
                .to_owned(),
        );
        if !place.regions.is_empty() {
            put_ranges(lines, "    ", "targets/$target/regions", &place.regions);
        }
        lines.push("    target=$((target + 1))\ndone".to_owned());
        return;
    };
    lines.push("put targets/nr_targets 1".to_owned());
    lines.push(
        "# The ranges that were recorded; on another machine look into /proc/iomem.".to_owned(),
    );
    put_ranges(lines, "", "targets/0/regions", ranges);
}

/// The ranges of a target; its directory may hold variables of the shell.
fn put_ranges(lines: &mut Vec<String>, indent: &str, at: &str, ranges: &[Range<u64>]) {
    let mut put = |file: &str, value: u64| {
        let path = format!("{at}/{file}");
        let path = if path.contains('$') { format!("\"{path}\"") } else { path };
        lines.push(format!("{indent}put {path} {value}"));
    };
    put("nr_regions", u64::try_from(ranges.len()).unwrap_or(u64::MAX));
    for (index, range) in ranges.iter().enumerate() {
        put(&format!("{index}/start"), range.start);
        put(&format!("{index}/end"), range.end);
    }
}

/// All steps, with a comment wherever another part of a scheme begins.
fn put_all(lines: &mut Vec<String>, steps: &[Step]) {
    let mut about = String::new();
    let mut when = &When::Always;
    for step in steps {
        if step.when != *when {
            if *when != When::Always {
                lines.push("fi".to_owned());
            }
            match &step.when {
                When::Always => {}
                When::Has(path) => lines.push(format!("if [ -e \"$context/{path}\" ]; then")),
                When::Lacks(path) => lines.push(format!("if [ ! -e \"$context/{path}\" ]; then")),
            }
            when = &step.when;
        }
        let indent = if *when == When::Always { "" } else { "    " };
        let text = comment(&step.path);
        if text != about {
            lines.push(format!("{indent}# {text}"));
            about = text;
        }
        let needs = step.needs.as_ref().map_or_else(String::new, |feature| {
            format!(" {} {}", quote(&feature.what), quote(feature.since))
        });
        lines.push(format!("{indent}put {} {}{needs}", step.path, quote(&step.value)));
    }
    if *when != When::Always {
        lines.push("fi".to_owned());
    }
}

/// What the files around `path` are about.
fn comment(path: &str) -> String {
    let mut parts = path.split('/').skip(1);
    let (index, part) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let what = match part {
        "" => return "The schemes, in the order in which they are applied.".to_owned(),
        "action" => "what is done",
        "access_pattern" => {
            "to memory of which size (bytes), accesses (samples per aggregation) and age (aggregations)"
        }
        "apply_interval_us" => "how often, microseconds",
        "quotas" => {
            "how much of it in a window (0: no limit), who goes first, and what is aimed at"
        }
        "watermarks" => "at which share of free memory (per mille)",
        "filters" | "core_filters" | "ops_filters" => "and not to what",
        "target_nid" | "dests" => "where it goes, NUMA nodes",
        _ => "when it ends",
    };
    format!("Scheme {index}: {what}.")
}
