#!/usr/bin/env bash
# Builds the tools, records the bundled "stairs" workload for about 10 s with the best backend that works here,
# prints its working set and draws demo.png. Needs cargo and a C compiler; no root.
#
#   scripts/demo.sh [FOLDER]     results go to FOLDER (default: the current one)
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-.}
mkdir -p "$folder"
if [ ! -w "$folder" ]; then
    echo "demo: cannot write to $folder; name another folder: scripts/demo.sh FOLDER" >&2
    exit 5
fi

cargo build --release --quiet --manifest-path "$repository/Cargo.toml" \
    -p damon-record -p damon-report
programs=${CARGO_TARGET_DIR:-$repository/target}/release

"$programs/damon-record" --budget 10% --force -o "$folder/demo.damon" -- "$programs/damon-workload" stairs
echo
"$programs/damon-report" wss "$folder/demo.damon"
"$programs/damon-report" heatmap "$folder/demo.damon" -o "$folder/demo.png"
echo
echo "The picture: $folder/demo.png (time runs to the right, addresses upwards)"
