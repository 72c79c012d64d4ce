#!/bin/sh
# Instructions per request, frames in and frames out, counted by callgrind: they repeat exactly where cycles do not.
#
#   instructions.sh WHAT REQUESTS BENCH ARGUMENTS...    a program and arguments with which it measures so many requests, once
#   profile=30 instructions.sh ...                      also the functions in which most of them are spent
set -eu
what=$1 requests=$2
shift 2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
valgrind --tool=callgrind --toggle-collect=measured_turn --callgrind-out-file="$out/callgrind" "$@" >/dev/null 2>"$out/log" ||
    { cat "$out/log" >&2; exit 1; }
collected=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out/log")
[ -n "$collected" ] || { cat "$out/log" >&2; exit 1; }
echo "$what: $((collected / requests)) instructions"
[ -z "${profile:-}" ] || callgrind_annotate --threshold=100 "$out/callgrind" |
    sed -n 's/^ *\([0-9,]*\) *( *[0-9.]*%) *[^ ]*:\([^ ]*\) .*/\1 \2/p' |
    awk -v n="$requests" '{gsub(",", "", $1); printf "  %6.1f %s\n", $1 / n, $2}' |
    head -n "$profile"
