#!/bin/bash
# usage: millrace_run.sh MILLRACE SOURCE_FOLDER
# The binary as a user meets it: run, the ready line, every asking subcommand, privileges, the end by signal and drain.
set -eu
millrace=$1
source_folder=$2
test_name=millrace_run
[ "$(id -u)" = 0 ] || { echo "$test_name: skipped: needs root"; exit 77; }
[ -c /dev/net/tun ] || { echo "$test_name: skipped: no /dev/net/tun"; exit 77; }
command -v curl >/dev/null || { echo "$test_name: skipped: no curl"; exit 77; }
folder=$(mktemp -d "/tmp/mr-$$-XXXX")
space=mr-$$-run
pid=
inside="ip netns exec $space"

fail() { echo "$test_name: $1" >&2; sed 's/^/  log: /' "$folder/log" >&2 || true; exit 1; }
clean_up() {
    for p in $(jobs -p); do kill -KILL "$p" 2>/dev/null || true; done
    ip netns del "$space" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT
wait_for() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; read -rt 0.05 <> <(:) || true; done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
ask() { "$millrace" "$@" --socket "$folder/control.sock"; }
expect_code() { # CODE COMMAND...
    local wanted=$1 code=0; shift
    "$@" >"$folder/out" 2>"$folder/err" || code=$?
    [ $code = "$wanted" ] || fail "'$*' exits with $code, expected $wanted: $(cat "$folder/err")"
}
start() { # in the background, until it is ready
    rm -f "$folder/ready"
    $inside "$millrace" run "$folder/config.yaml" >"$folder/ready" 2>"$folder/log" &
    pid=$!
    wait_for 30 grep -qs ^ready "$folder/ready" || fail "it is not ready"
}
expect_end() { # CODE SECONDS
    wait_for "$2" gone $pid || fail "it does not end within $2 s"
    local code=0
    wait $pid || code=$?
    [ $code = "$1" ] || fail "it exits with $code, expected $1"
    $inside ip link show mr0 >/dev/null 2>&1 && fail "the TAP device is still there"
    [ ! -e "$folder/control.sock" ] || fail "the control socket is still there"
}

ip netns add "$space"
$inside ip link set lo up
mkdir "$folder/www"
echo "served by millrace" >"$folder/www/index.html"
cat >"$folder/config.yaml" <<YAML
interfaces:
  - {name: mr0, address: 198.18.0.2/24, host_address: 198.18.0.1/24}
services:
  - http: {listen: ":80", root: www}
  - echo
control: {path: control.sock}
YAML

# Without a process, and with configurations that cannot work.
expect_code 0 "$millrace" check "$folder/config.yaml"
expect_code 4 ask stat
expect_code 2 "$millrace" stat --nonsense
expect_code 2 "$millrace" nonsense
echo 'interfaces: [{name: mr0, adress: 198.18.0.2/24}]' >"$folder/bad.yaml"
expect_code 3 "$millrace" run "$folder/bad.yaml"
grep -q "bad.yaml:1:26: interfaces\[0\]: unknown key 'adress', did you mean 'address'?" "$folder/err" || fail "no message"
expect_code 1 $inside setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$millrace" run "$folder/config.yaml"
grep -q "CAP_NET_ADMIN is missing" "$folder/err" || fail "the missing privilege is not named: $(cat "$folder/err")"
expect_code 0 $inside "$millrace" doctor "$folder/config.yaml"
for command in run check doctor status stat conns capture set drain reference version; do
    expect_code 0 "$millrace" $command --help
done
"$millrace" check "$source_folder/tools/millrace/dev.yaml" >/dev/null || fail "the shipped configuration is wrong"

# Serving, and asked about it.
start
[ "$(cat "$folder/ready")" = "ready http://198.18.0.2/ echo 198.18.0.2:7 control $folder/control.sock" ] ||
    fail "the ready line is: $(cat "$folder/ready")"
[ "$($inside curl -sS -m 10 http://198.18.0.2/)" = "served by millrace" ] || fail "curl got something else"
for task in /proc/"$(pgrep -P $pid || echo $pid)"/task/*; do
    grep -q '^CapEff:.0000000000000000$' "$task/status" || fail "$(cat "$task/comm") keeps capabilities"
    grep -q '^CapPrm:.0000000000000000$' "$task/status" || fail "$(cat "$task/comm") could take capabilities again"
    grep -q '^NoNewPrivs:.1$' "$task/status" || fail "$(cat "$task/comm") may gain privileges"
done
expect_code 0 ask status
expect_code 0 ask stat http
grep -q '^http\[0\].requests  *1 ' "$folder/out" || fail "the request is not counted: $(cat "$folder/out")"
expect_code 0 ask stat --prometheus
grep -q '^millrace_link_rx_packets_total{worker="0",interface="mr0"} [1-9]' "$folder/out" || fail "no link counter"
expect_code 0 ask set log debug
expect_code 1 ask set log loud
expect_code 1 ask set congestion nonsense
expect_code 1 "$millrace" run "$folder/config.yaml"
grep -q 'another process answers there\|interface mr0' "$folder/err" || fail "a second process is not told: $(cat "$folder/err")"
expect_code 1 $inside "$millrace" doctor "$folder/config.yaml"

# A connection that stays, in conns; a capture meanwhile.
$inside "$millrace" capture "$folder/c.pcapng" --seconds 20 --filter "tcp port 80" --socket "$folder/control.sock" 2>"$folder/err" &
capture=$!
wait_for 10 grep -q capturing "$folder/err" || fail "no capture: $(cat "$folder/err")"
$inside bash -c 'exec 3<>/dev/tcp/198.18.0.2/7; echo x >&3; read -r -u 3; read -r -u 3; exit 0' &
client=$!
has_connection() { ask conns >"$folder/out" && grep -q '^ESTAB .*198.18.0.2:7 ' "$folder/out"; }
wait_for 10 has_connection || fail "conns does not show it: $(cat "$folder/out")"
grep -q 'reno.* mss:1448 cwnd:' "$folder/out" || fail "conns lacks details: $(cat "$folder/out")"
$inside curl -sS -m 10 -o /dev/null http://198.18.0.2/
$inside curl -sS -m 10 -o /dev/null http://198.18.0.2/
kill -INT $capture
wait $capture || fail "capture exits with $?"
grep -q '[1-9][0-9]* packets' "$folder/err" || fail "the capture is empty: $(cat "$folder/err")"
if command -v tshark >/dev/null; then
    [ "$(tshark -r "$folder/c.pcapng" -Y 'http.response.code == 200' 2>/dev/null | wc -l)" = 2 ] || fail "tshark sees no answers"
    [ "$(tshark -r "$folder/c.pcapng" -Y 'not tcp.port == 80' 2>/dev/null | wc -l)" = 0 ] || fail "the filter lets others pass"
fi

# The end: the open connection gets its FIN (the client's read returns) and the device goes.
kill -TERM $pid
expect_end 0 10
wait_for 5 gone $client || fail "the client was not told of the end"

start
ask drain --seconds 1 || fail "drain is refused"
expect_end 0 10

# A second signal does not wait for connections.
start
$inside bash -c 'exec 3<>/dev/tcp/198.18.0.2/7; echo x >&3; read -r -u 3; kill -STOP $$' &
wait_for 10 has_connection || fail "no connection"
ask drain --seconds 600
ending() { ask status 2>/dev/null | grep -q ': ending'; }
wait_for 5 ending || fail "it is not ending"
kill -TERM $pid
expect_end 0 5
echo "$test_name: good"
