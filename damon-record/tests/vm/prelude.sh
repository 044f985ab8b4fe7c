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

# started: starts the workload and waits until it is populated; sets workload (its PID) and areas (START-END,…).
started() {
    damon-workload /root/workload.txt --truth truth.jsonl --duration 2m >/dev/null &
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
