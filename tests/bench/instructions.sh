#!/bin/sh
# Instructions per keep-alive request, frames in and frames out, counted by callgrind: they repeat exactly where cycles do
# not.
#
#   instructions.sh BENCH_STACK SERVICE CONNECTIONS...
#   profile=30 instructions.sh ...    also the functions in which most of them are spent
set -eu
bench=$1 service=$2
shift 2
requests=2048 # a multiple of the burst of 32
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for connections in "$@"; do
    valgrind --tool=callgrind --toggle-collect=measured_turn --callgrind-out-file="$out/callgrind" \
        "$bench" --service "$service" --connections "$connections" --requests "$requests" --runs 1 >/dev/null 2>"$out/log" ||
        { cat "$out/log" >&2; exit 1; }
    collected=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out/log")
    [ -n "$collected" ] || { cat "$out/log" >&2; exit 1; }
    echo "keep-alive request, $service, $connections connections: $((collected / requests)) instructions"
    [ -z "${profile:-}" ] || callgrind_annotate --threshold=100 "$out/callgrind" |
        sed -n 's/^ *\([0-9,]*\) *( *[0-9.]*%) *[^ ]*:\([^ ]*\) .*/\1 \2/p' |
        awk -v n=$requests '{gsub(",", "", $1); printf "  %6.1f %s\n", $1 / n, $2}' |
        head -n "$profile"
done
