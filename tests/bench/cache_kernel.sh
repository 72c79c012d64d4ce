#!/bin/bash
# Caches beside each other over a veth: Millrace on AF_XDP, Debian's redis-server and memcached on the kernel's stack, one at a
# time on core 0, the same load generator (cache_client) on core 1, in turns. Prints medians and ratios; asserts nothing. See
# README.md for what it measures and what not.
#
#   cache_kernel.sh MILLRACE CACHE_CLIENT [--rounds 2] [--seconds 1] [--connections 50] [--keys 100000] [--snapshot-keys 500000]
set -euo pipefail
millrace=$(realpath "$1") client=$(realpath "$2"); shift 2
rounds=2 seconds=1 connections=50 keys=100000 snapshot_keys=500000
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --keys) keys=$2; shift 2 ;;
    --snapshot-keys) snapshot_keys=$2; shift 2 ;;
    *) echo "cache_kernel: unknown option $1" >&2; exit 2 ;;
    esac
done
name=cache_kernel
. "$(dirname "$0")/veth.sh"

# -- the servers: each starts with an empty keyspace, 1 GiB of memory, no log; sets address, port and protocol ---------------

millrace_start() { # POLL: always spins; interrupt sleeps when there is nothing to do, so that CPU time means work
    address=198.18.0.2 port=6379 protocol=resp
    mkdir -p "$folder/millrace"
    rm -f "$folder"/millrace/*
    millrace_yaml "$1" "cache: {listen: \":6379\", memcached: \":11211\", memory_max: 1GiB, durability: snapshot, folder: $folder/millrace}" >"$folder/millrace.yaml"
    ip netns exec "$near" taskset -c 0 "$millrace" run "$folder/millrace.yaml" >"$folder/millrace.log" 2>&1 &
    server_pid=$!
    wait_for 30 grep -q '^ready' "$folder/millrace.log" || fail "millrace does not start"
}
start_millrace() { millrace_start always; }
start_millrace-interrupt() { millrace_start interrupt; }
start_millrace-memcached() { millrace_start always; port=11211 protocol=memcached; }
start_redis() {
    address=198.18.0.3 port=6379 protocol=resp
    mkdir -p "$folder/redis"
    ip netns exec "$near" taskset -c 0 redis-server --bind 198.18.0.3 --port 6379 --protected-mode no --save '' --appendonly no \
        --maxmemory 1gb --maxmemory-policy allkeys-lru --dir "$folder/redis" >"$folder/redis.log" 2>&1 &
    server_pid=$!
}
start_memcached() {
    address=198.18.0.3 port=11211 protocol=memcached
    ip netns exec "$near" taskset -c 0 memcached -u root -l 198.18.0.3 -p 11211 -t 1 -m 1024 -c 4096 >"$folder/memcached.log" 2>&1 &
    server_pid=$!
}
answers() { far timeout 1 bash -c "exec 3<>/dev/tcp/$address/$port" 2>/dev/null; }
start() {
    start_"$1"
    wait_for 10 answers || fail "$1 does not answer"
}

load() { far taskset -c 1 "$client" --address $address --port $port --protocol $protocol --connections "$connections" --keys "$keys" "$@"; }

# -- rounds ------------------------------------------------------------------------------------------------------------------

# measure SERVER COMMAND PIPELINE BYTES: adds `server command pipeline bytes rate p50 p99 p99.9 cpu-us-per-command core0% core1%`
measure() {
    local hertz a0 a1 as b0 b1 bs out
    hertz=$(getconf CLK_TCK)
    load --command "$2" --pipeline "$3" --value "$4" --seconds 0.2 >/dev/null || fail "$1: no warm-up"
    a0=$(core_ticks 0) a1=$(core_ticks 1) as=$(process_ticks $server_pid)
    out=$(load --command "$2" --pipeline "$3" --value "$4" --seconds "$seconds") || fail "$1: the load ends early"
    b0=$(core_ticks 0) b1=$(core_ticks 1) bs=$(process_ticks $server_pid)
    awk -v head="$1 $2 $3 $4" -v s=$((bs - as)) -v c0=$((b0 - a0)) -v c1=$((b1 - a1)) -v hz="$hertz" '{
        printf "%s %.0f %s %s %s %.2f %.0f %.0f\n", head, $1 / $2, $3, $4, $5, s / hz / $1 * 1e6, c0 / hz / $2 * 100, c1 / hz / $2 * 100
    }' <<<"$out" >>"$folder/results"
    say "$(tail -n 1 "$folder/results")"
}
round() { # SERVER
    local bytes pipeline command
    start "$1"
    for bytes in 64 4096; do
        load --fill --pipeline 16 --value $bytes >/dev/null || fail "$1: cannot be filled"
        for pipeline in 1 16; do
            for command in get set; do measure "$1" $command $pipeline $bytes; done
        done
    done
    server_stop "$1"
}

# snapshot SERVER: GETs and SETs by turns while a snapshot is written
saving() { [ "$(far redis-cli -h $address -p $port info persistence | tr -d '\r' | awk -F: '$1 == "rdb_bgsave_in_progress" {print $2}')" != 0 ]; }
snapshot() {
    local command out
    start "$1"
    keys=$snapshot_keys load --fill --pipeline 16 --value 64 >/dev/null || fail "$1: cannot be filled"
    for command in get set; do
        for when in before during; do
            [ $when = before ] || far redis-cli -h $address -p $port bgsave >/dev/null
            out=$(keys=$snapshot_keys load --command $command --value 64 --seconds 2) || fail "$1: the load ends early"
            awk -v head="$1 $command $when" '{printf "%s %.0f %s %s %s %s\n", head, $1 / $2, $3, $4, $5, $6}' <<<"$out" >>"$folder/snapshots"
            say "snapshot: $(tail -n 1 "$folder/snapshots")"
            [ $when = before ] || wait_for 60 eval '! saving' || fail "$1: the snapshot does not end"
        done
    done
    server_stop "$1"
}

# -- what is printed -----------------------------------------------------------------------------------------------------------

servers='millrace millrace-interrupt redis millrace-memcached memcached'
median() { # SERVER COMMAND PIPELINE BYTES COLUMN
    awk -v a="$1" -v b="$2" -v c="$3" -v d="$4" -v k="$5" '$1 == a && $2 == b && $3 == c && $4 == d {print $k}' "$folder/results" |
        sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
ratio() { # COMMAND PIPELINE BYTES OURS THEIRS
    awk -v a="$(median "$4" "$1" "$2" "$3" 5)" -v b="$(median "$5" "$1" "$2" "$3" 5)" 'BEGIN {printf "%.2f", a / b}'
}
summary() {
    local bytes pipeline command s
    printf '\n%-20s %7s %8s %5s %10s %8s %8s %9s %8s %7s %7s\n' server command pipeline bytes commands/s 'p50 us' 'p99 us' 'p99.9 us' 'CPU us' 'core 0' 'core 1'
    for bytes in 64 4096; do
        for pipeline in 1 16; do
            for command in get set; do
                for s in $servers; do
                    printf '%-20s %7s %8d %5d %10.0f %8.1f %8.1f %9.1f %8.2f %7.0f %7.0f\n' $s $command $pipeline $bytes \
                        $(for k in 5 6 7 8 9 10 11; do median $s $command $pipeline $bytes $k; done)
                done
                printf '%-20s %7s %8d %5d   commands/s: millrace / redis %s, over memcached'"'"'s protocol %s\n' ratio $command $pipeline $bytes \
                    "$(ratio $command $pipeline $bytes millrace redis)" "$(ratio $command $pipeline $bytes millrace-memcached memcached)"
            done
        done
    done
    printf '\n%-10s %7s %-16s %10s %8s %8s %9s %9s\n' server command snapshot commands/s 'p50 us' 'p99 us' 'p99.9 us' 'max us'
    awk '{printf "%-10s %7s %-16s %10.0f %8.1f %8.1f %9.1f %9.1f\n", $1, $2, $3, $4, $5, $6, $7, $8}' "$folder/snapshots"
}

veth_make
offloads off
say "$(redis-server --version | awk '{print "redis-server", $3}'), $(memcached -V), $connections connections, $keys keys," \
    "$rounds rounds of $seconds s; $snapshot_keys keys in a snapshot"
for ((r = 0; r < rounds; r++)); do
    for s in $servers; do round $s; done
done
for s in millrace redis; do snapshot $s; done
summary
