#!/bin/bash
# Frames of a file come in once each, and what is sent in answer is in the other file.
. "$(dirname "$0")/link_common.sh"
frames=1000
python3 - "$folder/in.pcap" $frames <<'PYTHON'
import struct, sys
with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i in range(int(sys.argv[2])):
        frame = b'\xff' * 6 + b'\x02\0\0\0\0\1' + b'\x88\xb5' + struct.pack('>I', i) + bytes(42 + i % 1400)
        f.write(struct.pack('<IIII', i, 0, len(frame), len(frame)) + frame)
PYTHON
timeout 30 "$responder" "pcap,receive=$folder/in.pcap,transmit=$folder/out.pcap" --for 2 >"$folder/pcap.log" 2>&1 || fail "it does not run"
expect_value pcap received -eq $frames
expect_value pcap answered -eq $frames
expect_value pcap rx_packets -eq $frames
python3 - "$folder/out.pcap" $frames <<'PYTHON' || fail "the file with what was sent is not right"
import struct, sys
data = open(sys.argv[1], 'rb').read()
at, count = 24, 0
while at < len(data):
    length = struct.unpack_from('<I', data, at + 8)[0]
    frame = data[at + 16:at + 16 + length]
    assert frame[:6] == b'\x02\0\0\0\0\1', (count, frame[:14])
    assert struct.unpack_from('>I', frame, 14)[0] == count and length == 60 + count % 1400, (count, length)
    at, count = at + 16 + length, count + 1
assert count == int(sys.argv[2]), count
PYTHON
