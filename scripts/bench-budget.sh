#!/usr/bin/env bash
# Whether the default budget is kept: targets of three sizes, idle, read-heavy and write-heavy, each recorded by every
# backend that works here. CPU time is what the kernel accounts to the recorder's threads (schedstat, nanoseconds) and
# the recorder's own estimate of the time it costs the target (-v says it once a second), per window of one second, or
# of five sampling intervals where that is longer (a second catches two looks or none when they are 0.9 s apart). The first three seconds do not count. Takes about 15 s per line.
#
#   scripts/bench-budget.sh [BACKEND…]      default: pte writes referenced, as far as they work
#
# SIZES="16M 256M" KINDS="idle write" SECONDS_EACH=12 BUDGET=1 choose less or other; PROGRAMS is a folder of built programs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sizes=${SIZES:-16M 256M 4G}
kinds=${KINDS:-idle read write}
length=${SECONDS_EACH:-12}
budget=${BUDGET:-1}
settle=3
if [ -z "${PROGRAMS:-}" ]; then
    cargo build --release --quiet -p damon-record -p damon-report
    PROGRAMS=${CARGO_TARGET_DIR:-target}/release
fi
programs=$(realpath "$PROGRAMS")
work=$(mktemp -d)
target='' recorder=''
# Only what was started here, by its number.
clean_up() {
    for started in $recorder $target; do kill "$started" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

works() {
    "$programs/damon-record" -q -o probe.damon --force -d 100ms --backend "$1" $$ 2>/dev/null
}

spec() { # SIZE KIND
    local mib
    mib=$(($(numfmt --from=iec "$1") >> 21))
    case $2 in
    idle) printf 'area all %sM\nphase idle %ss\nwrite all 0..4K every 1s\n' $((mib * 2)) $((length + 8)) ;;
    *) printf 'area half %sM\narea rest %sM\nphase sweep %ss\n%s half max\n' "$mib" "$mib" $((length + 8)) "$2" ;;
    esac
}

# CPU time of a process and of its children, nanoseconds.
used() {
    local pid sum=0 child
    for pid in "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        for child in "/proc/$pid/task/"*/schedstat; do
            read -r ns _ 2>/dev/null <"$child" && sum=$((sum + ns))
        done
    done
    echo "$sum"
}

printf '%-11s %-5s %-6s %-8s %8s %8s %8s %8s  %s\n' backend size kind looks "CPU, %" "target,%" "worst,%" "x budget" "intervals at the end"
bench() { # BACKEND SIZE KIND
    rm -f truth.jsonl said out.damon windows
    spec "$2" "$3" >spec.txt
    "$programs/damon-workload" spec.txt --truth truth.jsonl --delay 300ms &
    target=$!
    until grep -q '"ready"' truth.jsonl 2>/dev/null; do sleep 0.1; done
    sleep 0.5
    "$programs/damon-record" -v --force -o out.damon -d "${length}s" --budget "$budget%" --backend "$1" "$target" 2>said &
    recorder=$!
    local before now cpu_before cpu
    before=$(date +%s%N) cpu_before=$(used "$recorder")
    while sleep 1 && kill -0 "$recorder" 2>/dev/null; do
        now=$(date +%s%N) cpu=$(used "$recorder")
        [ "$cpu" -ge "$cpu_before" ] || break
        echo "$((now - before)) $((cpu - cpu_before))" >>windows
        before=$now cpu_before=$cpu
    done
    wait "$recorder"
    recorder=''
    kill "$target"
    wait "$target" 2>/dev/null || true
    target=''
    "$programs/damon-report" info --format json out.damon >info.json
    local sample looks
    sample=$(sed -n 's/.*"sample_us": *\([0-9]*\).*/\1/p' info.json | tail -n 1)
    looks=$(grep -q '"exact": *true' info.json && echo exact || echo sampled)
    # What the recorder says of the target, cumulative, is interpolated at the ends of the windows.
    sed -n 's/^until \([0-9.]*\) s: .*about \([0-9.]*\) ms in the target.*/\1 \2/p' said >tolls
    awk -v settle=$settle -v sample="$sample" -v budget="$budget" -v name="$1" -v size="$2" -v kind="$3" -v looks="$looks" '
        function toll(at,    i, part) {
            for (i = 1; i <= said && until[i] < at; i++);
            if (i > said) return said ? total[said] : 0
            part = (at - until[i - 1]) / (until[i] - until[i - 1])
            return total[i - 1] + part * (total[i] - total[i - 1])
        }
        FILENAME == "tolls" { said++; until[said] = $1; total[said] = $2; next }
        {
            clock += $1 / 1e9
            if (++second <= settle) { last_toll = toll(clock); next }
            time += $1; cpu += $2
            if (time < 0.97e9 || time < sample * 5 * 970) next
            now = toll(clock); there = (now - last_toll) * 1e6; last_toll = now
            share = (cpu + there) / time * 100
            if (share > worst) worst = share
            shown = shown sprintf(" %.2f", share)
            all_time += time; all_cpu += cpu; all_toll += there
            time = cpu = 0
        }
        END {
            if (all_time == 0) { printf "%-11s %-5s %-6s %-8s no window of %gms after the third second\n", name, size, kind, looks, sample / 1000; exit }
            printf "%-11s %-5s %-6s %-8s %8.2f %8.2f %8.2f %8.2f  %gms, windows:%s\n", name, size, kind, looks,
                all_cpu / all_time * 100, all_toll / all_time * 100, worst, worst / budget, sample / 1000, shown
        }' tolls windows
    [ -z "${VERBOSE:-}" ] || grep -E 'budget|from here' said || true
}

for backend in ${*:-pte writes referenced}; do
    works "$backend" || continue
    for size in $sizes; do
        for kind in $kinds; do
            bench "$backend" "$size" "$kind"
        done
    done
done
