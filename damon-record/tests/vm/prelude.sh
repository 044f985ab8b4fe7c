# shellcheck shell=sh
# What the sections that run in a virtual machine use; sourced by busybox sh.

# section NAME <TEXT: runs the text in a directory of its own; keeps what it prints and its status there.
section() {
    mkdir -p "/root/sections/$1"
    cat >/root/section.sh
    # shellcheck source=/dev/null
    (set -eu; cd "/root/sections/$1"; . /root/section.sh) >"/root/sections/$1/stdout" 2>"/root/sections/$1/stderr"
    echo $? >"/root/sections/$1/status"
}

cat >/root/workload.txt <<'WORKLOAD'
# Written and read areas, one inside a larger one, and a cold one
area sea 32M
area lake 4M
area desert 32M
phase steady 1s
write sea 8M..12M every 10ms
read lake 0..2M every 10ms
WORKLOAD

# started [WORKLOAD]: starts the one above, or another one, and waits until it is populated; sets workload (its PID) and areas
# (START-END,…).
started() {
    damon-workload "${1:-/root/workload.txt}" --truth truth.jsonl --duration 2m >/dev/null &
    workload=$!
    until grep -q ready truth.jsonl; do
        sleep 0.1
    done 2>/dev/null
    areas=$(sed -n 1p truth.jsonl | grep -o '"start":[0-9]*,"end":[0-9]*' |
        sed 's/"start":\([0-9]*\),"end":\([0-9]*\)/\1-\2/' | tr '\n' ',')
    areas=${areas%,}
}

# ended: ends the workload, which then completes its account.
ended() {
    kill -TERM "$workload"
    wait "$workload" || true
}

# recorded DURATION OPTION…: records the workload into recording.damon, with the truth in truth.jsonl.
recorded() {
    started
    status=0
    damon-record --budget 100% --regions "$areas" -o recording.damon -d "$@" "$workload" || status=$?
    ended
    return "$status"
}

# tree: everything below the kernel's DAMON interface with its content, one file a line.
tree() {
    find /sys/kernel/mm/damon/admin -type f | sort | while read -r file; do
        echo "$file: $(cat "$file" 2>/dev/null)"
    done
}

# restored: waits up to a second until the tree is as it was when `before` was set; says when it is not.
restored() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(tree)" != "$before" ] || return 0
        sleep 0.1
    done
    echo "not restored: $(tree)"
    return 1
}

# damon OPERATIONS PID: starts a kdamond as somebody else would.
somebodys_kdamond() {
    admin=/sys/kernel/mm/damon/admin/kdamonds
    echo 1 >$admin/nr_kdamonds
    echo 1 >$admin/0/contexts/nr_contexts
    echo "$1" >$admin/0/contexts/0/operations
    echo 20000 >$admin/0/contexts/0/monitoring_attrs/intervals/sample_us
    echo 200000 >$admin/0/contexts/0/monitoring_attrs/intervals/aggr_us
    echo 1 >$admin/0/contexts/0/targets/nr_targets
    echo "$2" >$admin/0/contexts/0/targets/0/pid_target
    echo on >$admin/0/state
}

# frames AREA FIRST COUNT FILE: the pagemap entries of COUNT pages of an area (1 is the first) from page FIRST on.
frames() {
    start=$(echo "$areas" | cut -d, -f"$1" | cut -d- -f1)
    dd if="/proc/$workload/pagemap" of="$4" bs=8 skip=$((start / 4096 + $2)) count="$3" 2>/dev/null
}
