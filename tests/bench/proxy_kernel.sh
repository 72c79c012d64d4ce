#!/bin/bash
# Proxies beside each other over a veth: Millrace on AF_XDP, Debian's HAProxy and nginx on the kernel's stack, one at a time on
# core 0, with the same backends (nginx) and the same load (wrk) on core 1, in turns. Prints medians and ratios; asserts nothing. See
# README.md for what it measures and what not.
#
#   proxy_kernel.sh MILLRACE [--rounds 3] [--seconds 2] [--connections 64] [--cases "small three large splice connect cached"]
set -euo pipefail
millrace=$(realpath "$1"); shift
rounds=3 seconds=2 connections=64 cases='small three large splice connect cached'
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --cases) cases=$2; shift 2 ;;
    *) echo "proxy_kernel: unknown option $1" >&2; exit 2 ;;
    esac
done

name=proxy_kernel
. "$(dirname "$0")/veth.sh"

# Ports of each proxy, the same of all: one backend, three, layer 4, with a cache.
declare -A port_of=([small]=8001 [three]=8003 [large]=8001 [splice]=8004 [connect]=8001 [cached]=8005)
declare -A path_of=([small]=/small [three]=/small [large]=/large [splice]=/large [connect]=/small [cached]=/small)
backends=(9001 9002 9003) # of nginx on 198.18.0.1, the load's side

# -- the backends ------------------------------------------------------------------------------------------------------------

backend_pid=
backends_stop() { [ -z "$backend_pid" ] || kill -KILL "$backend_pid" $(children "$backend_pid") 2>/dev/null || true; }
trap 'backends_stop; clean' EXIT
nginx_common() { # NAME: what every nginx here has; the rest of the http block follows
    mkdir -p "$folder/$1"
    cat <<END
user root;
worker_processes 1;
pid $folder/$1/pid;
events { worker_connections 8192; use epoll; }
http {
    access_log off;
    keepalive_timeout 3600;
    keepalive_requests 4000000000;
    client_body_temp_path $folder/$1/body; proxy_temp_path $folder/$1/proxy; fastcgi_temp_path $folder/$1/fastcgi;
    uwsgi_temp_path $folder/$1/uwsgi; scgi_temp_path $folder/$1/scgi;
END
}
backends_start() {
    ip -n "$far" link set lo up
    mkdir "$folder/www"
    head -c 64 /dev/zero | tr '\0' x >"$folder/www/small"
    head -c 65536 /dev/zero | tr '\0' x >"$folder/www/large"
    chmod -R a+rX "$folder"
    {
        nginx_common backend
        echo "sendfile on; open_file_cache max=64 inactive=3600s; open_file_cache_valid 3600s;"
        echo "add_header Cache-Control max-age=3600;"
        for p in "${backends[@]}"; do echo "server { listen 198.18.0.1:$p backlog=4096; root $folder/www; }"; done
        echo '}'
    } >"$folder/backend.conf"
    far taskset -c 1 nginx -e "$folder/backend-error.log" -c "$folder/backend.conf" -g 'daemon off;' >"$folder/backend.log" 2>&1 &
    backend_pid=$!
    wait_for 10 far curl -sf -o /dev/null -m 1 "http://198.18.0.1:${backends[0]}/small" || fail "the backends do not answer"
}

# -- the proxies -------------------------------------------------------------------------------------------------------------

millrace_make() {
    local one="{address: 198.18.0.1:9001}" all p
    all=$(for p in "${backends[@]}"; do printf '{address: 198.18.0.1:%s}, ' $p; done)
    millrace_yaml "$1" "proxy: {cache: {bytes: 64MiB}, x_forwarded: false, forwarded: false,
      listeners: [{name: one, listen: \":8001\", upstream: one}, {name: three, listen: \":8003\", upstream: three},
        {name: splice, listen: \":8004\", mode: tcp, upstream: one}, {name: cached, listen: \":8005\", upstream: one}],
      routes: [{name: cached, listener: cached, upstream: one, cache: true}],
      upstreams: [{name: one, idle_max: 1024, backends: [$one]}, {name: three, idle_max: 1024, backends: [${all%, }]}]}" \
        >"$folder/millrace-$1.yaml"
}
haproxy_make() {
    {
        cat <<END
global
    maxconn 4096
    nbthread 1
    log /dev/null local0
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
    option http-keep-alive
cache small
    total-max-size 64
    max-age 3600
frontend one
    bind 198.18.0.3:8001
    default_backend one
frontend three
    bind 198.18.0.3:8003
    default_backend three
frontend splice
    mode tcp
    option splice-auto
    bind 198.18.0.3:8004
    default_backend splice
frontend cached
    bind 198.18.0.3:8005
    http-request cache-use small
    http-response cache-store small
    default_backend one
backend one
    server s1 198.18.0.1:9001
backend splice
    mode tcp
    option splice-auto
    server s1 198.18.0.1:9001
backend three
    balance roundrobin
END
        for p in "${backends[@]}"; do echo "    server s$p 198.18.0.1:$p"; done
    } >"$folder/haproxy.cfg"
}
nginx_make() {
    {
        nginx_common nginx
        cat <<END
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache_path $folder/nginx/cache keys_zone=small:8m;
    upstream one { server 198.18.0.1:9001; keepalive 1024; }
    upstream three {
        $(for p in "${backends[@]}"; do echo "server 198.18.0.1:$p;"; done)
        keepalive 1024;
    }
    server { listen 198.18.0.3:8001 backlog=4096; location / { proxy_pass http://one; } }
    server { listen 198.18.0.3:8003 backlog=4096; location / { proxy_pass http://three; } }
    server { listen 198.18.0.3:8005 backlog=4096; location / { proxy_pass http://one; proxy_cache small; } }
}
END
    } >"$folder/nginx.conf"
}

answers() { far curl -sf -o /dev/null -m 1 "http://$address:8001/small"; }
millrace_start() { # POLL: always spins, interrupt sleeps when there is nothing to do, so that CPU time means work
    address=198.18.0.2
    ip netns exec "$near" taskset -c 0 "$millrace" run "$folder/millrace-$1.yaml" >"$folder/millrace.log" 2>&1 &
    server_pid=$!
    wait_for 30 grep -q '^ready' "$folder/millrace.log" || fail "millrace does not start"
    serving=$server_pid
}
start_millrace() { millrace_start always; }
start_millrace-interrupt() { millrace_start interrupt; }
start_haproxy() {
    address=198.18.0.3
    ip netns exec "$near" taskset -c 0 haproxy -db -f "$folder/haproxy.cfg" >"$folder/haproxy.log" 2>&1 &
    server_pid=$! serving=$!
}
start_nginx() {
    address=198.18.0.3
    ip netns exec "$near" taskset -c 0 nginx -e "$folder/nginx-error.log" -c "$folder/nginx.conf" -g 'daemon off;' \
        >"$folder/nginx.log" 2>&1 &
    server_pid=$!
    wait_for 10 answers || fail "nginx does not answer"
    serving=$(children $server_pid) serving=${serving%% *}
}

# -- rounds ------------------------------------------------------------------------------------------------------------------

load() { # CASE SECONDS
    local close=()
    [ "$1" != connect ] || close=(-H 'Connection: close')
    far taskset -c 1 wrk -t1 -c"$connections" -d"$2s" --latency "${close[@]}" "http://$address:${port_of[$1]}${path_of[$1]}"
}
# measure SERVER CASE: adds `server case rate p50 p99 errors cpu-us core0-us core0% core1%`
measure() {
    local out=$folder/wrk.log hertz a0 a1 as b0 b1 bs rate p50 p99 errors
    hertz=$(getconf CLK_TCK)
    load "$2" 1 >"$out" 2>&1 || fail "wrk fails"
    a0=$(core_ticks 0) a1=$(core_ticks 1) as=$(process_ticks "$serving")
    load "$2" "$seconds" >"$out" 2>&1 || fail "wrk fails"
    b0=$(core_ticks 0) b1=$(core_ticks 1) bs=$(process_ticks "$serving")
    read -r rate p50 p99 errors < <(wrk_result "$out")
    awk -v head="$1 $2 $rate $p50 $p99 $errors" -v n="$rate" -v s="$seconds" -v hz="$hertz" -v c=$((bs - as)) -v c0=$((b0 - a0)) -v c1=$((b1 - a1)) \
        'BEGIN {n *= s; printf "%s %.2f %.2f %.0f %.0f\n", head, n ? c / hz / n * 1e6 : 0, n ? c0 / hz / n * 1e6 : 0, c0 / hz / s * 100, c1 / hz / s * 100}' >>"$folder/results"
    say "$(tail -n 1 "$folder/results")"
}
servers='millrace millrace-interrupt haproxy nginx'
skips() { [ "$1 $2" = 'nginx splice' ]; } # its stream module is a package of its own
round() { # SERVER
    local c
    start_"$1"
    wait_for 10 answers || fail "$1 does not answer"
    for c in $cases; do skips "$1" "$c" || measure "$1" "$c"; done
    server_stop "$1"
}
median() { # SERVER CASE COLUMN
    awk -v a="$1" -v b="$2" -v k="$3" '$1 == a && $2 == b {print $k}' "$folder/results" | sort -g |
        awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
summary() {
    local c s
    printf '\n%-8s %-19s %11s %8s %8s %7s %9s %9s %7s %7s\n' case proxy requests/s 'p50 us' 'p99 us' errors 'CPU us' 'core us' 'core 0' 'core 1'
    for c in $cases; do
        for s in $servers; do
            skips $s "$c" || printf '%-8s %-19s %11.0f %8.0f %8.0f %7.0f %9.2f %9.2f %7.0f %7.0f\n' "$c" $s \
                $(for k in 3 4 5 6 7 8 9 10; do median $s "$c" $k; done)
        done
        printf '%-8s requests/s: millrace / haproxy %.2f' "$c" "$(awk -v a="$(median millrace "$c" 3)" -v b="$(median haproxy "$c" 3)" 'BEGIN {print a / b}')"
        skips nginx "$c" || printf ', / nginx %.2f' "$(awk -v a="$(median millrace "$c" 3)" -v b="$(median nginx "$c" 3)" 'BEGIN {print a / b}')"
        printf '; core 0 us: haproxy / millrace-interrupt %.2f\n' "$(awk -v a="$(median haproxy "$c" 8)" -v b="$(median millrace-interrupt "$c" 8)" 'BEGIN {print a / b}')"
    done
}

veth_make
offloads off
backends_start
millrace_make always
millrace_make interrupt
haproxy_make
nginx_make
say "$(haproxy -v | awk 'NR == 1 {print $1, $3}'), $(nginx -v 2>&1 | sed 's/.*: //'), $(wrk -v 2>&1 | awk 'NR == 1 {print $1, $3}')," \
    "$connections connections, $rounds rounds of $seconds s"
for ((r = 0; r < rounds; r++)); do
    for s in $servers; do round $s; done
done
summary
