# Sourced by the link_*.sh tests: namespaces of their own, a responder in the background, measures with deadlines.
set -eu
responder=$1
test_name=$(basename "$0" .sh)
folder=$(mktemp -d "/tmp/mr-$$-XXXX")
near=mr-$$-near # where the responder's interface is
far=mr-$$-far   # the kernel that talks to it
responder_pid=

fail() { echo "$test_name: $1" >&2; for f in "$folder"/*.log; do [ -f "$f" ] && sed "s|^|  ${f##*/}: |" "$f" >&2; done; exit 1; }
skip() { echo "$test_name: skipped: $1"; exit 77; }

clean_up() {
    for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
    ip netns del "$near" 2>/dev/null || true
    ip netns del "$far" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT
[ "$(id -u)" = 0 ] || skip "needs root"

# wait_for SECONDS COMMAND...: true as soon as the command is
wait_for() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; read -rt 0.05 <> <(:) || true; done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# responder_start LOG [ip netns exec NAME] -- ARGUMENTS...: returns when it serves; its process in responder_pid
responder_start() {
    local log=$folder/$1.log prefix=(); shift
    while [ "$1" != -- ]; do prefix+=("$1"); shift; done; shift
    "${prefix[@]}" "$responder" "$@" >"$log" 2>&1 &
    responder_pid=$!
    wait_for 20 grep -q ^ready "$log" || fail "no responder: $*"
}

# responder_stop LOG PID: ends it and expects success
responder_stop() {
    kill -TERM "$2"
    wait_for 20 gone "$2" || fail "the responder of $1 does not stop"
    wait "$2" || fail "the responder of $1 exits with $?"
    grep -q ^done "$folder/$1.log" || fail "$1: no report at its end"
}

# value LOG KEY: of the report
value() { sed -n "s/^done .*\b$2=\([0-9.]*\).*/\1/p" "$folder/$1.log"; }

expect_value() { [ "$(value "$1" "$2")" "$3" "$4" ] || fail "$1: $2=$(value "$1" "$2"), expected $3 $4"; }

# idle_check PID PERCENT: CPU over two seconds without traffic
idle_check() {
    local a b
    a=$(awk '{print $14 + $15}' "/proc/$1/stat"); sleep 2; b=$(awk '{print $14 + $15}' "/proc/$1/stat")
    local percent=$(((b - a) * 100 / (2 * $(getconf CLK_TCK))))
    echo "$test_name: idle CPU $percent %"
    [ $percent -lt "$2" ] || fail "idle CPU $percent %, expected below $2 %"
}

# ping_check NAMESPACE: five answers of five, and no unanswered one
ping_check() {
    ip netns exec "$1" ping -q -c 5 -i 0.05 -W 2 198.18.0.2 >"$folder/ping.log" 2>&1 || fail "ping: no answer"
    grep -q ' 5 received' "$folder/ping.log" || fail "ping: answers are missing"
    echo "$test_name: $(tail -1 "$folder/ping.log")"
}

# veth_make: v0 in the far namespace is the kernel's (198.18.0.1/24), v1 in the near one is ours
veth_make() {
    ip netns add "$near"; ip netns add "$far"
    ip -n "$near" link add v1 type veth peer name v0 netns "$far" || skip "the kernel has no veth"
    for end in "$near v1" "$far v0"; do
        set -- $end
        ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 2>/dev/null || true
        ip netns exec "$1" ethtool -K "$2" tx off rx off tso off gso off gro off >/dev/null 2>&1 || true
        ip -n "$1" link set "$2" up
    done
    ip -n "$far" addr add 198.18.0.1/24 dev v0
}
