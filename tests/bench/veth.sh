# Sourced by kernel.sh, cache_kernel.sh and proxy_kernel.sh: two namespaces with a veth between them, one server at a time on core 0. v0 is the load
# generator's kernel, v1 the server's. Millrace answers on .2, which no kernel owns; the others on .3.
# Expects `name` (of the script); sets `folder`, `near`, `far`.

folder=$(mktemp -d "/tmp/mr-bench-$$-XXXX")
near=mr-bench-$$-near far=mr-bench-$$-far # the server's namespace and the load's
server_pid=
say() { echo "$name: $*" >&2; }
fail() { say "$*"; for f in "$folder"/*.log; do [ -s "$f" ] && sed "s|^|  ${f##*/}: |" "$f" >&2; done; exit 1; }
children() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }
clean() {
    [ -z "$server_pid" ] || kill -KILL "$server_pid" $(children "$server_pid") 2>/dev/null || true
    ip netns del "$near" 2>/dev/null || true
    ip netns del "$far" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean EXIT
trap 'exit 130' INT TERM
[ "$(id -u)" = 0 ] || fail "needs root: namespaces and AF_XDP"
[ "$(nproc)" -ge 2 ] || fail "needs two cores: one for the server, one for the load"

# wait_for SECONDS COMMAND...: true as soon as the command is
wait_for() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; read -rt 0.05 <> <(:) || true; done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
near() { ip netns exec "$near" "$@"; }
far() { ip netns exec "$far" "$@"; }

offloads() { # on|off: of the kernel's ends. Off for AF_XDP, or partial checksums and super-frames arrive there
    local end
    for end in "$far v0" "$near v1"; do
        ip netns exec ${end% *} ethtool -K ${end#* } tx "$1" tso "$1" gso "$1" gro "$1" >/dev/null 2>&1 ||
            fail "ethtool -K ${end#* } $1"
    done
}
veth_make() {
    local end
    ip netns add "$near"
    ip netns add "$far"
    ip -n "$near" link add v1 type veth peer name v0 netns "$far" || fail "the kernel has no veth"
    for end in "$near v1" "$far v0"; do
        ip netns exec ${end% *} sysctl -qw net.ipv6.conf.all.disable_ipv6=1 2>/dev/null || true
        ip -n ${end% *} link set ${end#* } up
    done
    ip -n "$far" addr add 198.18.0.1/24 dev v0
    ip -n "$near" addr add 198.18.0.3/24 dev v1
}
server_stop() { # NAME
    kill -TERM "$server_pid"
    wait_for 15 gone "$server_pid" || fail "$1 does not stop"
    wait "$server_pid" || true
    server_pid=
    # Without the capability it started with, Millrace cannot take its program off again, and the next would pay for it.
    ip -n "$near" link set v1 xdp off
}

process_ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
core_ticks() { awk -v cpu="cpu$1" '$1 == cpu {print $2 + $3 + $4 + $7 + $8 + $9}' /proc/stat; } # without idle and iowait

# millrace_yaml POLL SERVICE...: the configuration on the standard output; each SERVICE is a line of the list
millrace_yaml() {
    cat <<END
workers:
  cores: [0]
  poll: $1
interfaces:
  - name: xdp0
    driver: af_xdp
    parameters: {interface: v1}
    address: 198.18.0.2/24
control: {enabled: false}
log: {level: warning}
services:
END
    shift
    printf '  - %s\n' "$@"
}

microseconds() { # of wrk's 1.23ms, 45.00us, 1.02s
    awk -v t="$1" 'BEGIN {u = t; sub(/[0-9.]+/, "", u); printf "%.0f", t * (u == "s" ? 1e6 : u == "ms" ? 1e3 : 1)}'
}
wrk_result() { # FILE: requests/s, p50 and p99 in microseconds, errors
    echo "$(awk '/Requests\/sec/ {print $2}' "$1")" \
        "$(microseconds "$(awk '$1 == "50%" {print $2}' "$1")")" "$(microseconds "$(awk '$1 == "99%" {print $2}' "$1")")" \
        "$(awk '/Socket errors/ {gsub(",", ""); n += $4 + $6 + $8 + $10} /Non-2xx/ {n += $NF} END {print n + 0}' "$1")"
}
