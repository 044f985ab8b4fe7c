# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source this
# What the programs of this folder share; sourced, not run. Expects `set -euo pipefail`.

readonly series=6.12 # the kernel series whose newest Debian version is used

# The exit statuses of our own; everything else is the script's.
readonly cannot_run=77 timed_out=124 failed=125

readonly cache=${DAMON_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/damon-vm}

say() {
    printf 'vm: %s\n' "$*" >&2
}

# die STATUS SENTENCE…: ends the program.
die() {
    local status=$1
    shift
    say "$@"
    exit "$status"
}

# help PROGRAM: prints the comment at the program's head, and ends.
help() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$1"
    exit
}

# missing PROGRAM=PACKAGE…: prints the Debian packages of those programs that are not there.
missing() {
    local pair
    for pair; do
        command -v "${pair%%=*}" >/dev/null || printf '%s\n' "${pair#*=}"
    done | sort -u
}

missing_to_run() {
    missing qemu-system-x86_64=qemu-system-x86 busybox=busybox-static xz=xz-utils tar=tar
}

missing_to_test() {
    missing strace=strace
}

missing_to_build() {
    missing gcc=gcc make=make flex=flex bison=bison bc=bc perl=perl pahole=dwarves xz=xz-utils
    [ -e /usr/include/gelf.h ] || echo libelf-dev
}

# own_folder NAME: makes a folder of this process below the cache, gone when the process ends, and removes those of
# processes that were killed before they could. Sets `folder`.
own_folder() {
    local old
    mkdir -p "$cache/tmp"
    for old in "$cache"/tmp/*; do
        if [ -d "$old" ] && [ ! -d "/proc/${old##*.}" ]; then
            rm -rf "$old"
        fi
    done
    folder=$cache/tmp/$1.$$
    rm -rf "$folder"
    mkdir -m 0700 "$folder"
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# newest KIND FILE: the path of FILE in the kernel with the highest version of that kind in the cache, or nothing.
newest() {
    local path
    for path in "$cache/$1"/*/"$2"; do
        if [ -e "$path" ]; then
            printf '%s\n' "$path"
        fi
    done | sort -V | tail -n 1
}
