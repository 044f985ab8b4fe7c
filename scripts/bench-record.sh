#!/usr/bin/env bash
# What recording costs: the recorder's CPU and memory, and the target's speed in pairs of runs without and with
# the recorder. The target sweeps one half of 1 GiB as fast as it can. Takes about 2 minutes per pair and wants
# an otherwise idle machine.
#
#   scripts/bench-record.sh [PAIRS]      default 3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pairs=${1:-3}
cargo build --release --quiet -p damon-record -p damon-report
programs=$(realpath "${CARGO_TARGET_DIR:-target}/release")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

for kind in write read; do
    printf 'area half 512M\narea rest 512M\nphase sweep 8s\n%s half max\n' "$kind" >"$kind.txt"
done
printf 'area all 1G\nphase idle 8s\nwrite all 0..4K every 1s\n' >idle.txt

# Millions of pages touched per second of the sweep, from the workload's own account.
speed() {
    awk -F'"sweeps":' '/"name":"sweep"/ {
        split($2, n, /[,:]/)
        match($0, /"start_ns":[0-9]+/); start = substr($0, RSTART + 11, RLENGTH - 11)
        match($0, /"end_ns":[0-9]+/); end = substr($0, RSTART + 9, RLENGTH - 9)
        printf "%.3f\n", n[1] * 131072 / ((end - start) / 1e9) / 1e6
    }' truth.jsonl
}

median() {
    sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# Runs the workload, records its process for 7 s with the given options; leaves truth.jsonl, trace.damon, peak.
recorded() {
    local spec=$1
    shift
    "$programs/damon-workload" "$spec.txt" --truth truth.jsonl --delay 300ms &
    local target=$!
    until grep -q '"ready"' truth.jsonl 2>/dev/null; do sleep 0.05; done
    "$programs/damon-record" -q --force -o trace.damon -d 7s "$@" "$target" &
    local recorder=$!
    echo 0 >peak
    while kill -0 "$recorder" 2>/dev/null; do
        sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$recorder/status" >peak.new 2>/dev/null || true
        [ -s peak.new ] && mv peak.new peak
        sleep 0.2
    done
    wait "$recorder"
    wait "$target"
}

alone() {
    "$programs/damon-workload" "$1.txt" --truth truth.jsonl --delay 300ms
}

# The recorder's share of one core in per cent, from the recording.
cpu() {
    "$programs/damon-report" info --format json trace.damon |
        sed -n 's/.*"recorder_cpu_share": *\([0-9.e-]*\).*/\1/p' | awk '{printf "%.2f\n", 100 * $1}'
}

# The sampling interval at the end of the recording, milliseconds.
interval() {
    "$programs/damon-report" info --format json trace.damon |
        sed -n 's/.*"sample_us": *\([0-9]*\).*/\1/p' | tail -n 1 | awk '{printf "%g\n", $1 / 1000}'
}

printf '%-7s %-36s %10s %10s %12s %14s\n' target options "CPU, %" "peak, KiB" "sampling, ms" "speed, %"
row() {
    local spec=$1
    shift
    rm -f speeds cpus peaks intervals
    for _ in $(seq "$pairs"); do
        rm -f truth.jsonl
        if [ "$spec" != idle ]; then
            alone "$spec"
            speed >before
            rm -f truth.jsonl
        fi
        recorded "$spec" "$@"
        if [ "$spec" != idle ]; then
            speed | paste - before | awk '{printf "%.1f\n", 100 * $1 / $2}' >>speeds
        fi
        cpu >>cpus
        interval >>intervals
        cat peak >>peaks
    done
    printf '%-7s %-36s %10.2f %10d %12s %14s\n' "$spec" "$*" "$(median <cpus)" "$(median <peaks)" \
        "$(median <intervals)" "$([ -s speeds ] && median <speeds || echo -)"
}

for spec in idle write read; do
    row "$spec" --backend pte
    row "$spec" --backend writes
done
for spec in write read; do
    row "$spec" --backend pte --budget 100%
    row "$spec" --backend pte --budget 100% --sample 1s --aggr 1s
    row "$spec" --backend writes --budget 100%
    row "$spec" --backend writes --sample 1s --aggr 1s
    row "$spec" --backend referenced
done
