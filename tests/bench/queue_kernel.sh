#!/bin/bash
# Brokers beside each other over a veth: Millrace on AF_XDP, Debian's rabbitmq-server on the kernel's stack, one at a time on core 0, the
# same load (queue_client) on core 1. Publishing with confirms, and from publisher to consumer, for each size and durability; rates and
# latencies, the CPU of the broker a message, the disk's own sync beside; memory of an idle queue and connection. Prints; asserts nothing.
# See README.md for what it measures and what not.
#
#   queue_kernel.sh MILLRACE CLIENT [--rounds 2] [--seconds 1] [--window 100] [--bytes "16 1024 65536"] [--folder /var/tmp]
set -euo pipefail
millrace=$(realpath "$1") client=$(realpath "$2"); shift 2
rounds=2 seconds=1 window=100 sizes='16 1024 65536' disk=/var/tmp
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --window) window=$2; shift 2 ;;
    --bytes) sizes=$2; shift 2 ;;
    --folder) disk=$2; shift 2 ;;
    *) echo "queue_kernel: unknown option $1" >&2; exit 2 ;;
    esac
done

name=queue_kernel
. "$(dirname "$0")/veth.sh"
logs=$(mktemp -d "$disk/mr-bench-$$-XXXX") # of both brokers: the same disk
trap 'clean; rm -rf "$logs"' EXIT

# -- the brokers ---------------------------------------------------------------------------------------------------------------

load() { far taskset -c 1 "$client" --address "$address" --window "$window" "$@"; }
listens() { far taskset -c 1 "$client" --address "$address" --bytes 16 --seconds 0.01 --durability memory >/dev/null 2>&1; }
rabbitmq_run() { # in the namespace `near`, on core 0, all its folders ours
    local home=$logs/rabbitmq
    rm -rf "$home"
    mkdir -p "$home/mnesia" "$home/log"
    printf 'listeners.tcp.1 = 198.18.0.3:5672\nloopback_users = none\nlog.file.level = error\ndisk_free_limit.absolute = 1MB\n' >"$home/rabbitmq.conf"
    echo '[].' >"$home/plugins"
    ip -n "$near" link set lo up
    exec env -i PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" LANG=C.UTF-8 RABBITMQ_NODENAME=x@localhost \
        ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_MNESIA_BASE="$home/mnesia" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$home/plugins" RABBITMQ_PID_FILE="$home/pid" RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 1:1' \
        ip netns exec "$near" taskset -c 0 /usr/lib/rabbitmq/bin/rabbitmq-server
}
start() { # SERVER: sets server_pid, process, address
    case $1 in
    millrace*)
        local poll=always
        [ "$1" = millrace ] || poll=adaptive
        rm -rf "$logs/millrace"
        millrace_yaml $poll "queue: {listen: \":5672\", folder: $logs/millrace, memory_max: 512MiB}" >"$folder/millrace.yaml"
        ip netns exec "$near" "$millrace" run "$folder/millrace.yaml" >"$folder/$1.log" 2>&1 &
        server_pid=$! address=198.18.0.2
        offloads off
        ;;
    rabbitmq)
        offloads on
        (rabbitmq_run) >"$folder/rabbitmq.log" 2>&1 &
        server_pid=$! address=198.18.0.3
        ;;
    esac
    wait_for 60 listens || fail "$1 does not serve"
    process=$server_pid
    [ "$1" != rabbitmq ] || process=$(cat "$logs/rabbitmq/pid")
}
stop() { # SERVER; the Erlang machine is a child of its script, and epmd a daemon of the namespace
    [ "$1" != rabbitmq ] || { kill -TERM "$process"; wait_for 20 gone "$process" || kill -KILL "$process"; }
    [ "$1" = rabbitmq ] || kill -TERM "$server_pid"
    wait_for 20 gone "$server_pid" || fail "$1 does not stop"
    wait "$server_pid" 2>/dev/null || true
    server_pid=
    ip netns pids "$near" | xargs -r kill -KILL 2>/dev/null || true
    ip -n "$near" link set v1 xdp off
}

# -- what is measured ----------------------------------------------------------------------------------------------------------

measure() { # SERVER KIND DURABILITY BYTES
    local hertz as bs out options=()
    hertz=$(getconf CLK_TCK)
    [ "$2" = confirm ] || options=(--through)
    load --bytes "$4" --durability "$3" --seconds 0.3 "${options[@]}" >/dev/null || fail "$1 $2 $3 $4: no warm-up"
    as=$(process_ticks "$process")
    out=$(load --bytes "$4" --durability "$3" --seconds "$seconds" "${options[@]}") || fail "$1 $2 $3 $4: the load ends early"
    bs=$(process_ticks "$process")
    awk -v head="$1 $2 $3 $4" -v s=$((bs - as)) -v hz="$hertz" \
        '{printf "%s %.0f %s %s %s %.2f\n", head, $1 / $2, $3, $4, $5, s / hz / $1 * 1e6}' <<<"$out" >>"$folder/results"
    say "$(tail -n 1 "$folder/results")"
}
resident() { awk '$1 == "VmRSS:" {print $2 * 1024}' "/proc/$process/status"; }
memory() { # SERVER: with 500 idle connections, a channel and a durable queue each
    local before after
    before=$(resident)
    coproc { far taskset -c 1 "$client" --address "$address" --open 500; }
    read -r _ <&"${COPROC[0]}" || fail "$1: 500 connections cannot be opened"
    after=$(resident)
    echo "$1 $(((after - before) / 500))" >>"$folder/memory"
    kill "$COPROC_PID" 2>/dev/null || true
    wait "$COPROC_PID" 2>/dev/null || true
}
durabilities() { [ "$1" = rabbitmq ] && echo 'memory fsync' || echo 'memory written fsync'; }
round() { # SERVER NUMBER
    local kind durability bytes
    start "$1"
    for kind in confirm through; do
        for durability in $(durabilities "$1"); do
            for bytes in $sizes; do measure "$1" $kind $durability $bytes; done
        done
    done
    [ "$2" != 0 ] || memory "$1"
    stop "$1"
}

# The disk alone: 4 KiB and a sync, one after the other.
disk_sync() {
    python3 - "$logs/sync" <<'END'
import os, sys, time
fd, times = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), []
for i in range(200):
    begin = time.monotonic()
    os.pwrite(fd, bytes(4096), i * 4096)
    os.fdatasync(fd)
    times.append((time.monotonic() - begin) * 1e6)
times.sort()
print(f"disk: write of 4 KiB and fdatasync: p50 {times[100]:.0f} us, p99 {times[197]:.0f} us")
END
}

servers='millrace millrace-interrupt rabbitmq'
median() { # SERVER KIND DURABILITY BYTES COLUMN
    awk -v a="$1" -v b="$2" -v c="$3" -v d="$4" -v k="$5" '$1 == a && $2 == b && $3 == c && $4 == d {print $k}' "$folder/results" |
        sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
ratio() { # KIND DURABILITY BYTES SERVER COLUMN
    awk -v a="$(median "$4" "$1" "$2" "$3" "$5")" -v b="$(median rabbitmq "$1" "$2" "$3" "$5")" 'BEGIN {printf "%.2f", a / b}'
}
summary() {
    local kind durability bytes s
    printf '\n%-20s %8s %8s %6s %11s %9s %9s %10s %9s\n' server kind durable bytes messages/s 'p50 us' 'p99 us' 'p99.9 us' 'CPU us'
    for kind in confirm through; do
        for durability in memory written fsync; do
            for bytes in $sizes; do
                for s in $servers; do
                    [[ " $(durabilities $s) " = *" $durability "* ]] || continue
                    printf '%-20s %8s %8s %6d %11.0f %9.1f %9.1f %10.1f %9.2f\n' $s $kind $durability $bytes \
                        $(for k in 5 6 7 8 9; do median $s $kind $durability $bytes $k; done)
                done
                [ $durability = written ] || printf '%-20s %8s %8s %6d   messages/s %s, CPU of rabbitmq over ours (adaptive) %s\n' ratio $kind $durability \
                    $bytes "$(ratio $kind $durability $bytes millrace 5)" \
                    "$(awk -v r="$(ratio $kind $durability $bytes millrace-interrupt 9)" 'BEGIN {printf "%.2f", r ? 1 / r : 0}')"
            done
        done
    done
    awk '{printf "%s: %d bytes of resident memory an idle connection with one channel and one durable queue\n", $1, $2}' "$folder/memory"
}

veth_make
say "rabbitmq-server $(dpkg-query -W -f '${Version}' rabbitmq-server), one scheduler; $window messages under way, $rounds rounds of $seconds s"
disk_sync
for ((r = 0; r < rounds; r++)); do
    for s in $servers; do round $s $r; done
done
summary
