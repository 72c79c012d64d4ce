#!/bin/bash
# A TAP port answers the kernel, rests when idle, wakes at once, and takes its interface with it.
. "$(dirname "$0")/link_common.sh"
[ -c /dev/net/tun ] || skip "needs /dev/net/tun"
ip netns add "$near"
for queues in 1 2; do
    responder_start tap$queues ip netns exec "$near" -- "tap,interface=mr0,queues=$queues" --host 198.18.0.1/24 --address 198.18.0.2
    grep -q 'interrupt=yes' "$folder/tap$queues.log" || fail "no receive interrupt"
    ping_check "$near"
    kernel_mac=$(ip netns exec "$near" cat /sys/class/net/mr0/address)
    stack_mac=$(ip -n "$near" neigh show 198.18.0.2 | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p')
    [ -n "$stack_mac" ] && [ "$stack_mac" != "$kernel_mac" ] || fail "addresses of the two ends: '$kernel_mac' and '$stack_mac'"
    ip netns exec "$near" ethtool -k mr0 | grep -q 'tx-checksumming: off' || fail "the kernel would send partial checksums"
    idle_check $responder_pid 20
    ping_check "$near" # it wakes from a long rest
    responder_stop tap$queues $responder_pid
    expect_value tap$queues answered -ge 11
    expect_value tap$queues tx_packets -ge 11
    expect_value tap$queues refused -eq 0
    ! ip -n "$near" link show mr0 >/dev/null 2>&1 || fail "mr0 is still there"
done
