#!/bin/bash
# A port on a veth answers the kernel behind the other end, rests when idle, and leaves nothing on the interface.
# usage: link_veth.sh RESPONDER KIND
. "$(dirname "$0")/link_common.sh"
kind=$2
test_name=link_$kind
veth_make
responder_start "$kind" ip netns exec "$near" -- "$kind,interface=v1" --address 198.18.0.2
grep -q 'interrupt=yes' "$folder/$kind.log" || fail "its sockets were not found"
ping_check "$far"
idle_check $responder_pid 20
ping_check "$far"
responder_stop "$kind" $responder_pid
expect_value "$kind" answered -ge 11
expect_value "$kind" tx_packets -ge 11
expect_value "$kind" refused -eq 0
! ip -n "$near" link show v1 | grep -q 'prog/xdp' || fail "an XDP program stays on v1"

# killed, it leaves the interface in a state that the next one copes with
responder_start killed ip netns exec "$near" -- "$kind,interface=v1" --address 198.18.0.2
kill -KILL $responder_pid; wait $responder_pid 2>/dev/null || true
responder_start again ip netns exec "$near" -- "$kind,interface=v1" --address 198.18.0.2
ping_check "$far"
responder_stop again $responder_pid
! ip -n "$near" link show v1 | grep -q 'prog/xdp' || fail "an XDP program stays on v1"
