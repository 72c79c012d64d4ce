#!/bin/bash
# A file that the capture wrapper wrote is what capinfos and tshark take for a sound pcapng file.
# usage: capture_tools.sh PROGRAM-THAT-WRITES-A-SAMPLE
set -eu
command -v capinfos >/dev/null && command -v tshark >/dev/null || exit 77
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
file=$folder/sample.pcapng
"$1" "$file"

fail() { echo "capture_tools: $1" >&2; exit 1; }
info=$(capinfos -M "$file")
grep -Eq 'File type: +(Wireshark/... - )?pcapng' <<<"$info" || fail "not taken for pcapng: $info"
grep -Eq 'Number of packets: +20$' <<<"$info" || fail "not 20 packets: $info"
grep -Eq 'Name = left' <<<"$info" || fail "no interface name: $info"
grep -Eq 'Time precision = nanoseconds' <<<"$info" || fail "not in nanoseconds: $info"
directions=$(tshark -r "$file" -T fields -e frame.packet_flags_direction | sort | uniq -c | awk '{print $1}' | xargs)
[ "$directions" = "10 10" ] || fail "directions: $directions"
[ "$(tshark -r "$file" -Y 'udp.dstport == 9 && ip.checksum.status != "Bad"' -o ip.check_checksum:TRUE | wc -l)" = 20 ] || fail "not dissected as UDP"
[ "$(tshark -r "$file" -Y _ws.malformed | wc -l)" = 0 ] || fail "malformed frames"
delta=$(tshark -r "$file" -T fields -e frame.time_delta | sed -n 2p)
[ "$delta" = 0.001000001 ] || fail "time between frames is $delta"
