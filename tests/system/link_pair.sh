#!/bin/bash
# Two processes joined by a socket: every frame that one sends comes back from the other, in order and once; both rest.
# usage: link_pair.sh RESPONDER memif|virtio [huge]
. "$(dirname "$0")/link_common.sh"
pair=$2
test_name=link_$pair${3:+_huge}
case $pair in
memif) server="memif,socket=$folder/s,role=server" client="memif,socket=$folder/s,role=client" ;;
virtio) server="vhost,path=$folder/s" client="virtio_user,path=$folder/s" ;;
esac

pages=/proc/sys/vm/nr_hugepages
if [ "${3:-}" = huge ]; then
    before=$(cat $pages)
    trap 'clean_up; echo "$before" >$pages' EXIT
    echo 300 2>/dev/null >$pages || skip "hugepages cannot be set"
    free=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null || echo 0)
    [ "$free" -ge 260 ] || skip "260 hugepages of 2 MiB are needed, $free can be had"
fi

responder_start server -- "$server"
server_pid=$responder_pid
[ -z "${3:-}" ] || grep -q 'hugepages=yes' "$folder/server.log" || fail "hugepages were not used"
frames=100000
timeout 60 "$responder" "$client" --generate $frames --for 40 >"$folder/generator.log" 2>&1 || fail "frames are missing"
expect_value generator returned -eq $frames
expect_value generator wrong -eq 0
expect_value generator rx_packets -eq $frames
echo "$test_name: busy: round trip p50 $(value generator rtt_p50_us) us, p99 $(value generator rtt_p99_us) us"

# a second client of the same server, one frame at a time: what a rest adds
timeout 60 "$responder" "$client" --generate 200 --interval 5000 --for 20 >"$folder/slow.log" 2>&1 || fail "frames are missing"
expect_value slow returned -eq 200
echo "$test_name: idle: round trip p50 $(value slow rtt_p50_us) us, p99 $(value slow rtt_p99_us) us"

responder_start idle -- "$client"
idle_check $responder_pid 20
idle_check $server_pid 20
responder_stop idle $responder_pid # clients first
responder_stop server $server_pid
expect_value server answered -eq $((frames + 200))
