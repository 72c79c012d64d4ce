"""What the tests share that look at packets: a capture of the kernel's side of the TAP device, and tshark's judgement of it."""
import re
import signal
import subprocess
import time

from lib import ADDRESS, run

# Off by default in tshark, and what the kernel leaves to hardware is not judged: the TAP device has no offload.
CHECKSUMS = [word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE")]


def tshark(file, *options):
    out = run("tshark", "-n", "-r", file, *CHECKSUMS, *options, timeout=120).stdout
    return "".join(line for line in out.splitlines(True) if not line.startswith("Running as user"))


def expert_findings(file):
    """Every finding of severity warning or error, and of the notes those about loss."""
    severity = "_ws.expert.severity >= warning || tcp.analysis.retransmission || tcp.analysis.fast_retransmission || " \
               "tcp.analysis.out_of_order || tcp.analysis.lost_segment || tcp.analysis.duplicate_ack"
    severity = f"({severity}) && !tcp.analysis.window_full"  # flow control at work, as meant
    # Linux writes a software checksum of 0 as 0xffff also for TCP, one segment in 65536: its finding, not ours.
    severity = f"({severity}) && !(tcp.checksum == 0xffff && ip.src != {ADDRESS})"
    lines = tshark(file, "-Y", severity, "-T", "fields", "-e", "frame.number", "-e", "_ws.expert.message").splitlines()
    return [line for line in lines if re.match(r"\d+\t", line)]


def capture_host_side(namespace, name, traffic):
    """The packets of `traffic`, as the kernel's side of the TAP device sees them."""
    file = namespace.folder / f"{name}.pcapng"
    # dumpcap, not tshark: it says when it is capturing, drops nothing at this rate, and dissects nothing meanwhile.
    dumpcap = subprocess.Popen(["dumpcap", "-q", "-i", "mr0", "-B", "64", "-w", file], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in dumpcap.stderr:
            if line.startswith("File:"):
                break
        traffic()
        time.sleep(0.5)  # what dumpcap has not yet read
    finally:
        dumpcap.send_signal(signal.SIGINT)
        rest = dumpcap.stderr.read()
        dumpcap.wait(10)
    dropped = re.search(r"received/dropped on interface .*: (\d+)/(\d+)", rest)
    assert dropped and dropped[2] == "0", f"dumpcap lost packets: {rest}"
    assert int(dropped[1]) > 0, "nothing captured"
    return file


__all__ = ["capture_host_side", "expert_findings", "tshark"]
