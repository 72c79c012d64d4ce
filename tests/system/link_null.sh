#!/bin/bash
# The null port takes all and gives nothing, unless it is told to give; a device that is not there is refused by name.
. "$(dirname "$0")/link_common.sh"
timeout 30 "$responder" null --for 1 >"$folder/silent.log" 2>&1 || fail "null does not run"
expect_value silent received -eq 0
timeout 30 "$responder" null,generate=yes --for 1 >"$folder/noisy.log" 2>&1 || fail "null does not run"
expect_value noisy received -gt 100000
timeout 30 "$responder" null,size=59 --for 1 >"$folder/wrong.log" 2>&1 && fail "size 59 is taken"
grep -q 'size: .*expected a number from 60 to 1514' "$folder/wrong.log" || fail "the complaint does not say what was expected"
timeout 30 "$responder" af_packet,interface=mr-$$-none --for 1 >"$folder/absent.log" 2>&1 && fail "an interface that is not there is taken"
grep -q 'port link (af_packet)' "$folder/absent.log" || fail "the complaint does not name the port"
