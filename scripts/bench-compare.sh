#!/usr/bin/env bash
# Times comparisons of long recordings: median wall time, CPU time and peak memory.
#
#   scripts/bench-compare.sh [TIMES [RUNS [ROWS [REGIONS]]]]     default: 7 times, 5 runs a side of 1,200,000 rows of 200 regions
#
# Recordings are made by the monitor engine over a made-up process, each with a seed of its own
# (damon-report/examples/make-trace.rs), and kept in target/. Results go to standard output, as a Markdown table. The
# first time is not counted: it reads the program and the recordings from disk.
set -euo pipefail
cd "$(dirname "$0")/.."

times=${1:-7}
runs=${2:-5}
rows=${3:-1200000}
regions=${4:-200}
target=${CARGO_TARGET_DIR:-target}
report=$target/release/damon-report
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo build --quiet --release -p damon-report --bin damon-report --example make-trace
traces=()
for ((seed = 1; seed <= 2 * runs; seed++)); do
    trace=$target/bench-$rows-$regions-seed-$seed.damon
    if [[ ! -e $trace ]]; then
        "$target/release/examples/make-trace" "$scratch/trace" "$rows" "$regions" "$seed"
        mv "$scratch/trace" "$trace"
    fi
    traces+=("$trace")
done

# Prints wall time, CPU time (both in seconds) and peak memory (KiB) of a command, whatever its verdict.
cat >"$scratch/time.py" <<'EOT'
import resource, subprocess, sys, time
start = time.monotonic()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
wall = time.monotonic() - start
if status not in (0, 1, 6):
    sys.exit(f"exit status {status}")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{wall:.3f} {used.ru_utime + used.ru_stime:.3f} {used.ru_maxrss}")
EOT

median() {
    sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

measure() {
    local name=$1
    shift
    python3 "$scratch/time.py" "$@" >"$scratch/first"
    for ((time = 0; time < times; time++)); do
        python3 "$scratch/time.py" "$@"
    done >"$scratch/times"
    for column in 1 2 3; do
        cut -d ' ' -f "$column" "$scratch/times" | median
    done | tr '\n' ' ' | awk -v name="$name" '{ printf "| %s | %.3f s | %.3f s | %.1f MiB |\n", name, $1, $2, $3 / 1024 }'
}

base=("${traces[@]:0:runs}") new=("${traces[@]:runs}")
echo "$runs against $runs recordings of $rows rows, $regions regions a snapshot; $(nproc) CPUs; median of $times"
echo
echo "| command | time | CPU | peak memory |"
echo "|---|---|---|---|"
measure "compare" "$report" compare "${base[@]}" --new "${new[@]}"
measure "compare --format json" "$report" compare "${base[@]}" --new "${new[@]}" --format json
measure "compare, 1 against 1" "$report" compare "${base[0]}" --new "${new[0]}"
