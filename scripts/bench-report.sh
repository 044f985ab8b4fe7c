#!/usr/bin/env bash
# Times the analyser over a long recording: median wall time and peak memory of heatmap and wss.
#
#   scripts/bench-report.sh [RUNS [ROWS [REGIONS]]]     default: 11 runs, 1,200,000 rows of 200 regions
#   scripts/bench-report.sh 3 172800000                 a day of 200 regions at 100 ms
#
# The trace is made by the monitor engine over a made-up process (damon-report/examples/make-trace.rs) and kept
# in target/, so that a second call measures only. Results go to standard output, as a Markdown table.
# The first run of each command is not counted: it reads the program and the trace from disk.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-11}
rows=${2:-1200000}
regions=${3:-200}
target=${CARGO_TARGET_DIR:-target}
trace=$target/bench-$rows-$regions.damon
report=$target/release/damon-report
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo build --quiet --release -p damon-report --bin damon-report --example make-trace
if [[ ! -e $trace ]]; then
    "$target/release/examples/make-trace" "$scratch/trace" "$rows" "$regions"
    mv "$scratch/trace" "$trace"
fi

# Peak resident size in KiB: the kernel's own high-water mark, asked for as the program ends.
peak() {
    if [[ -x /usr/bin/time ]]; then
        /usr/bin/time -f %M -o "$scratch/peak" "$@" >"$scratch/out"
        cat "$scratch/peak"
    else
        python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
    fi
}

median() {
    sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

measure() {
    local name=$1 start end
    shift
    "$@" >"$scratch/out"
    for ((run = 0; run < runs; run++)); do
        start=${EPOCHREALTIME/[.,]/}
        "$@" >"$scratch/out"
        end=${EPOCHREALTIME/[.,]/}
        echo $((end - start))
    done >"$scratch/times"
    for ((run = 0; run < 3; run++)); do
        peak "$@"
    done >"$scratch/peaks"
    awk -v name="$name" -v us="$(median <"$scratch/times")" -v kib="$(median <"$scratch/peaks")" \
        'BEGIN { printf "| %s | %.3f s | %.1f MiB |\n", name, us / 1e6, kib / 1024 }'
}

echo "trace: $rows region rows, $regions regions a snapshot, $(stat -c %s "$trace") bytes; $(nproc) CPUs; median of $runs runs"
echo
echo "| command | time | peak memory |"
echo "|---|---|---|"
measure "info" "$report" info "$trace"
measure "summary" "$report" summary "$trace"
measure "summary -o DIR" "$report" summary "$trace" -o "$scratch/summary"
measure "wss" "$report" wss "$trace"
measure "wss --format json" "$report" wss "$trace" --format json
measure "idle" "$report" idle "$trace"
measure "mappings" "$report" mappings "$trace"
measure "heatmap -o x.png" "$report" heatmap "$trace" -o "$scratch/x.png"
measure "heatmap -o x.svg" "$report" heatmap "$trace" -o "$scratch/x.svg"
measure "heatmap --format json" "$report" heatmap "$trace" --format json
measure "verify" "$report" verify "$trace"
# A hundredth out of the middle: what lies elsewhere is not decoded.
for command in wss raw histogram nr-regions bandwidth; do
    measure "$command --time 50%..51%" "$report" "$command" "$trace" --time 50%..51%
done
measure "heatmap --format csv --time 50%..51%" "$report" heatmap "$trace" --format csv --time 50%..51%
measure "regions --at 50%" "$report" regions "$trace" --at 50%
