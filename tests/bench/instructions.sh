#!/bin/sh
# Instructions per keep-alive HTTP request, frames in and frames out, counted by callgrind: they repeat exactly where
# cycles do not. usage: instructions.sh PATH/TO/bench_stack [CONNECTIONS...]
set -eu
bench=$1
shift
[ $# -gt 0 ] || set -- 1 100 10000
requests=2048 # a multiple of the burst of 32; one round warms up, one is a run
for connections in "$@"; do
  out=$(mktemp)
  trap 'rm -f "$out"' EXIT
  valgrind --tool=callgrind --toggle-collect=measured_turn --callgrind-out-file=/dev/null \
    "$bench" --connections "$connections" --requests "$requests" --runs 1 >/dev/null 2>"$out"
  collected=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out")
  [ -n "$collected" ] || { cat "$out" >&2; exit 1; }
  echo "keep-alive request, $connections connections: $((collected / (2 * requests))) instructions"
  rm -f "$out"
done
