#!/usr/bin/env bash
# What the backend pte finds and costs on 1 GiB at DAMON's default intervals: memory that is read as fast as it goes, in
# two areas by turns, with 100 and with 1,000 regions. Rates are those of 20 samples, means over all bytes of the
# area and all windows inside a phase; a region across the border of an area has a rate in between, which is why those that
# lie inside are shown as well. The speed compares phases of the same area with and without the recorder in one run.
# Takes about two minutes, and wants root and an otherwise idle machine.
#
#   scripts/bench-pte.sh [HOT]      size of the hot areas in MiB, default 256: a sweep must fit into 5 ms
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
hot=${1:-256}
cargo build --release --quiet -p damon-record -p damon-report
programs=$(realpath "${CARGO_TARGET_DIR:-target}/release")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

{
    printf 'area one 512M\narea two 512M\n'
    for turn in alone alone with with with after; do
        printf 'phase %s 2s\nread one ..%sM max\nphase %s 2s\nread two ..%sM max\n' "$turn" "$hot" "$turn" "$hot"
    done
} >spec.txt

for regions in 100 1000; do
    "$programs/damon-workload" spec.txt --truth truth.jsonl &
    target=$!
    until grep -q '"ready"' truth.jsonl 2>/dev/null; do sleep 0.1; done
    sleep 8
    "$programs/damon-record" -q --backend pte --budget 100% --min-regions "$regions" --max-regions "$regions" \
        --sample 5ms --aggr 100ms -d 12s --force -o trace.damon "$target"
    wait "$target"
    "$programs/damon-report" raw trace.damon --format json >raw.jsonl
    printf '%s regions: %s\n' "$regions" "$("$programs/damon-report" info trace.damon | grep 'recorder CPU')"
    "$programs/damon-report" info trace.damon | grep '^aggregation'
    python3 - <<'PYTHON'
import json

truth = [json.loads(line) for line in open("truth.jsonl")]
phases = [event for event in truth if event["event"] == "phase" and event["round"] > 0]
sums = {"hot": [0, 0], "cold": [0, 0], "hot, in regions that lie inside": [0, 0]}
for line in open("raw.jsonl"):
    snapshot = json.loads(line).get("snapshot")
    if snapshot is None:
        continue
    inside = [p for p in phases if p["start_ns"] <= snapshot["start_ns"] and snapshot["end_ns"] <= p["end_ns"]]
    if not inside:
        continue
    access = inside[0]["accesses"][0]
    scale = 20 / snapshot["sampling"]["max_nr_accesses"]
    for region in snapshot["regions"]:
        for area in truth[0]["areas"]:
            for name, start, end in (("hot", access["start"], access["end"]), ("cold", area["start"], area["end"])):
                if name == "cold" and access["area"] == area["name"]:
                    start = max(start, access["end"])
                if name == "hot" and access["area"] != area["name"]:
                    continue
                size = min(end, region["end"]) - max(start, region["start"])
                if size > 0:
                    sums[name][0] += size * region["nr_accesses"] * scale
                    sums[name][1] += size
                    if name == "hot" and start <= region["start"] and region["end"] <= end:
                        sums["hot, in regions that lie inside"][0] += size * region["nr_accesses"] * scale
                        sums["hot, in regions that lie inside"][1] += size
speed = {"alone": [], "with": [], "after": []}
for phase in phases:
    access = phase["accesses"][0]
    speed[phase["name"]].append(access["sweeps"] / (phase["end_ns"] - phase["start_ns"]))
mean = lambda values: sum(values) / len(values)
for name, (accesses, size) in sums.items():
    print(f"  {name}: {accesses / size:.2f} of 20")
print(f"  speed of the target: {100 * mean(speed['with']) / mean(speed['alone'] + speed['after']):.1f} %")
PYTHON
done
