#!/bin/bash
# Requests per second of wrk over a veth: Millrace on AF_XDP beside nginx on the kernel's stack, one server at a time on core 0, the
# same wrk on core 1, the same file, in turns. Prints medians and their ratio; asserts nothing. See README.md for what it
# measures and what not.
#
#   kernel.sh MILLRACE [--rounds 3] [--seconds 5] [--connections "1 64 256"] [--bytes 1024] [--nginx-offloads]
#
#   --nginx-offloads   nginx's rounds with the veth's own offloads on at both ends: no checksum is computed at all
set -euo pipefail
millrace=$(realpath "$1"); shift
rounds=3 seconds=5 connections='1 64 256' bytes=1024 nginx_offloads=no
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --bytes) bytes=$2; shift 2 ;;
    --nginx-offloads) nginx_offloads=yes; shift ;;
    *) echo "kernel: unknown option $1" >&2; exit 2 ;;
    esac
done

name=kernel
. "$(dirname "$0")/veth.sh"
answers() { far curl -sf -o /dev/null -m 1 "http://$1/file"; }

# -- the servers ---------------------------------------------------------------------------------------------------------

files_make() {
    mkdir "$folder/www" "$folder/nginx"
    head -c "$bytes" /dev/zero | tr '\0' x >"$folder/www/file"
    chmod -R a+rX "$folder"
    millrace_yaml always "http: {listen: \":80\", root: $folder/www}" >"$folder/millrace.yaml"
    cat >"$folder/nginx.conf" <<END
user root;
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/nginx-error.log;
events { worker_connections 4096; use epoll; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 3600;
    keepalive_requests 4000000000;
    open_file_cache max=64 inactive=3600s;
    open_file_cache_valid 3600s;
    client_body_temp_path $folder/nginx/body; proxy_temp_path $folder/nginx/proxy; fastcgi_temp_path $folder/nginx/fastcgi;
    uwsgi_temp_path $folder/nginx/uwsgi; scgi_temp_path $folder/nginx/scgi;
    server { listen 198.18.0.3:80 backlog=4096; root $folder/www; }
}
END
}

# start NAME: returns when it answers; its address in `address`, the process that serves in `serving`
start_millrace() {
    address=198.18.0.2
    offloads off
    ip netns exec "$near" taskset -c 0 "$millrace" run "$folder/millrace.yaml" >"$folder/millrace.log" 2>&1 &
    server_pid=$!
    wait_for 30 grep -q '^ready' "$folder/millrace.log" || fail "millrace does not start"
    wait_for 10 answers $address || fail "millrace does not answer"
    serving=$server_pid
}
start_nginx() {
    address=198.18.0.3
    offloads $([ $nginx_offloads = yes ] && echo on || echo off)
    ip netns exec "$near" taskset -c 0 nginx -e "$folder/nginx-error.log" -c "$folder/nginx.conf" -g 'daemon off;' \
        >"$folder/nginx.log" 2>&1 &
    server_pid=$!
    wait_for 10 answers $address || fail "nginx does not answer"
    serving=$(children $server_pid)
    serving=${serving%% *}
}
# -- one round ---------------------------------------------------------------------------------------------------------

# round NAME CONNECTIONS: adds `NAME CONNECTIONS requests/s p50 p99 errors server% core0% core1%` to the results
round() {
    local out=$folder/wrk.log hertz a0 a1 as b0 b1 bs rate p50 p99 errors
    hertz=$(getconf CLK_TCK)
    start_"$1"
    # Warm: caches, ARP, congestion windows of nothing; not counted.
    far taskset -c 1 wrk -t1 -c"$2" -d1s "http://$address/file" >"$out" 2>&1 || fail "wrk fails"
    a0=$(core_ticks 0) a1=$(core_ticks 1) as=$(process_ticks "$serving")
    far taskset -c 1 wrk -t1 -c"$2" -d"${seconds}s" --latency "http://$address/file" >"$out" 2>&1 || fail "wrk fails"
    b0=$(core_ticks 0) b1=$(core_ticks 1) bs=$(process_ticks "$serving")
    server_stop "$1"
    read -r rate p50 p99 errors < <(wrk_result "$out")
    percent() { echo $((($2 - $1) * 100 / (seconds * hertz))); }
    echo "$1 $2 $rate $p50 $p99 $errors $(percent "$as" "$bs") $(percent "$a0" "$b0") $(percent "$a1" "$b1")" >>"$folder/results"
    say "$(tail -n 1 "$folder/results" | awk '{printf "%-8s %4d connections: %s requests/s, p50 %s us, p99 %s us, %s errors", $1, $2, $3, $4, $5, $6}')"
}

median() { # NAME CONNECTIONS COLUMN
    awk -v s="$1" -v c="$2" -v k="$3" '$1 == s && $2 == c {print $k}' "$folder/results" | sort -g |
        awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
summary() {
    local c s
    printf '\n%-9s %11s %12s %8s %8s %7s %9s %7s %7s\n' server connections requests/s 'p50 us' 'p99 us' errors 'server %' 'core 0' 'core 1'
    for c in $connections; do
        for s in millrace nginx; do
            printf '%-9s %11d %12.0f %8.0f %8.0f %7.0f %9.0f %7.0f %7.0f\n' $s "$c" \
                $(for k in 3 4 5; do median $s "$c" $k; done) \
                "$(awk -v s=$s -v c="$c" '$1 == s && $2 == c {n += $6} END {print n}' "$folder/results")" \
                $(for k in 7 8 9; do median $s "$c" $k; done)
        done
        printf '%-9s %11d %11.2fx\n' ratio "$c" "$(awk -v a="$(median millrace "$c" 3)" -v b="$(median nginx "$c" 3)" 'BEGIN {print a / b}')"
    done
}

veth_make
touch "$folder/millrace.log"
files_make
say "$(nginx -v 2>&1 | sed 's/.*: //'), $(wrk -v 2>&1 | awk 'NR == 1 {print $1, $3}'), file of $bytes bytes, $rounds rounds of $seconds s, nginx's offloads $nginx_offloads"
for c in $connections; do
    for ((r = 0; r < rounds; r++)); do
        round millrace "$c"
        round nginx "$c"
    done
done
summary
