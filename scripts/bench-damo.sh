#!/usr/bin/env bash
# The same recording read by damo, the Python tool around DAMON, for comparison: wall time and peak memory of its
# working set and heatmap. Needs `damo` on the PATH (pip install damo) and GNU time. Run bench-report.sh first.
#
#   scripts/bench-damo.sh [TRACE]     default: the trace that bench-report.sh keeps
set -euo pipefail
cd "$(dirname "$0")/.."
trace=${1:-${CARGO_TARGET_DIR:-target}/bench-1200000-200.damon}
report=${CARGO_TARGET_DIR:-target}/release/damon-report
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The text that `perf script` prints of DAMON's tracepoint, one line a region.
"$report" raw --format csv "$trace" | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    {
        moment = $column["end_ns"]
        if (moment != last) { flush_rows(); last = moment }
        rows[++count] = $column["start"] "-" $column["end"] ": " $column["nr_accesses"] " " $column["age"]
    }
    END { flush_rows() }
    function flush_rows(    i) {
        for (i = 1; i <= count; i++)
            printf "kdamond.0 1 [000] %.6f: damon:damon_aggregated: target_id=0 nr_regions=%d %s\n",
                last / 1e9, count, rows[i]
        count = 0
    }' >"$scratch/perf.txt"

echo "$(wc -l <"$scratch/perf.txt") region rows, $(stat -c %s "$scratch/perf.txt") bytes of text, $(stat -c %s "$trace") bytes of trace"
for command in "report wss" "report heatmap --output raw"; do
    # shellcheck disable=SC2086 # words on purpose
    env time -f "damo $command: %e s, %M KiB" damo $command --input "$scratch/perf.txt" >/dev/null ||
        env time -f "damo $command: %e s, %M KiB" damo $command "$scratch/perf.txt" >/dev/null
done
