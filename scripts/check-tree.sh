#!/usr/bin/env bash
# Rules of this repository that neither rustfmt nor clippy know.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

complain() {
    echo "check-tree: $1" >&2
    failed=1
}

# One idea a file: beyond this a file has more than one.
while read -r lines file; do
    [ "$lines" -le 520 ] || complain "$file has $lines lines; split it (limit 520)"
done < <(git ls-files '*.rs' | xargs wc -l | awk '$2 != "total"')

# unsafe code lives in one folder.
while read -r file; do
    complain "$file: unsafe code belongs into damon-record/src/sys"
done < <(git grep -lE '\bunsafe (\{|fn|impl|extern)' -- '*.rs' ':!damon-record/src/sys' || true)

# The only file that names bincode's API.
while read -r file; do
    complain "$file: bincode is confined to damon-format/src/wire.rs"
done < <(git grep -lE '\bbincode::' -- '*.rs' ':!damon-format/src/wire.rs' || true)

# analysis computes, render draws, commands glue: dependencies point one way only.
while read -r line; do
    complain "analysis must not know the screen or the command line: $line"
done < <(git grep -nE '\b(clap|plotters)::|crate::(render|commands|cli)\b' -- 'damon-report/src/analysis' || true)
while read -r line; do
    complain "render must not know the command line: $line"
done < <(git grep -nE '\bclap::|crate::(commands|cli)\b' -- 'damon-report/src/render' || true)
while read -r line; do
    complain "monitor must not know backends, sessions or the system: $line"
done < <(git grep -nE 'crate::(backend|session|sys|proc|target|cli)\b|\bnix::' -- 'damon-record/src/monitor' || true)

# The tables that large folders begin with name all of their modules.
for folder in damon-report/src/analysis damon-report/src/render; do
    while read -r module; do
        grep -q "^//! |.*\`$module\`" "$folder/mod.rs" || complain "$folder/mod.rs: its table does not name $module"
    done < <(sed -nE 's/^(pub |pub\(crate\) )?mod ([a-z_]+);/\2/p' "$folder/mod.rs" | grep -vx testing)
done

for member in damon-record damon-report; do
    other=damon-report
    [ "$member" = damon-report ] && other=damon-record
    if sed -n '/^\[dependencies\]/,/^\[/p' "$member/Cargo.toml" | grep -q "^$other"; then
        complain "$member must not depend on $other"
    fi
done

exit "$failed"
