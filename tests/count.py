#!/usr/bin/env python3
"""Sums up test logs: every failure with its output, every skipped test with its reason, and as the last line

    N passed, N failed, N skipped

Arguments are STAGE=FILE, where FILE is either a meson JSON log (*.json, one object a line) or TAP; in both, each test of a
program that prints TAP counts as one. STAGE=FILE may be missing on disk: then that stage failed. Exits 1 when anything failed.
"""
import json
import re
import sys

TAP_TEST = re.compile(r"^\s*(not )?ok\b\s*(\d+)?\s*-?\s*(.*)$")
TAP_PLAN = re.compile(r"^\s*1\.\.(\d+)")
TAP_SKIP = re.compile(r"#\s*skip\S*\s*(.*)$", re.IGNORECASE)
OUTPUT_LINES_SHOWN = 60


class Count:
    def __init__(self):
        self.passed = 0
        self.failed = []   # (name, output)
        self.skipped = []  # (name, reason)

    def add_tap(self, name, text):
        """Adds the tests of TAP output; returns how many there were and how many of them failed."""
        seen = failed = 0
        planned = None  # a program may run several groups of tests, each with a plan
        for line in text.splitlines():
            plan = TAP_PLAN.match(line)
            if plan:
                planned = (planned or 0) + int(plan.group(1))
                skip = TAP_SKIP.search(line)
                if int(plan.group(1)) == 0:
                    self.skipped.append((name, skip.group(1) if skip else "no reason given"))
                    seen += 1
                continue
            test = TAP_TEST.match(line)
            if not test:
                continue
            seen += 1
            label = f"{name}: {TAP_SKIP.sub('', test.group(3)).strip() or test.group(2)}"
            skip = TAP_SKIP.search(line)
            if test.group(1) and not re.search(r"#\s*todo", line, re.IGNORECASE):
                failed += 1
                self.failed.append((label, text))
            elif skip:
                self.skipped.append((label, skip.group(1) or "no reason given"))
            else:
                self.passed += 1
        if planned is not None and planned > 0 and planned != seen:
            failed += 1
            self.failed.append((f"{name}: {planned} tests planned, {seen} ran", text))
        return seen, failed

    def add_meson_test(self, stage, entry):
        name = f"{stage}: {entry['name']}"
        stdout, stderr = entry.get("stdout", ""), entry.get("stderr", "")
        output = (stdout + "\n" + stderr).strip()
        result = entry["result"]
        seen = failed = 0
        if any(TAP_PLAN.match(line) for line in stdout.splitlines()):
            seen, failed = self.add_tap(name, stdout)
        if result in ("OK", "EXPECTEDFAIL"):
            self.passed += seen == 0
        elif result == "SKIP":
            if not seen:
                lines = output.splitlines()
                self.skipped.append((name, lines[-1] if lines else "no reason given"))
        elif failed:
            # Already counted, test by test; the reason often stands on standard error.
            self.failed[-1] = (self.failed[-1][0], output)
        else:
            self.failed.append((f"{name}: {result}, exit status {entry.get('returncode')}", output))

    def add_file(self, stage, path):
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()
        except OSError as error:
            self.failed.append((f"{stage}: did not run ({error.strerror})", ""))
            return
        if path.endswith(".json"):
            for line in text.splitlines():
                if line.strip():
                    self.add_meson_test(stage, json.loads(line))
        else:
            seen, _ = self.add_tap(stage, text)
            if not seen:
                self.failed.append((f"{stage}: no test ran", text))


def main():
    count = Count()
    for argument in sys.argv[1:]:
        stage, _, path = argument.partition("=")
        count.add_file(stage, path)
    shown = set()
    for name, output in count.failed:
        print(f"FAILED {name}")
        if output and output not in shown:
            shown.add(output)
            lines = output.splitlines()
            if len(lines) > OUTPUT_LINES_SHOWN:
                print(f"    ... {len(lines) - OUTPUT_LINES_SHOWN} lines left out ...")
            for line in lines[-OUTPUT_LINES_SHOWN:]:
                print(f"    {line}")
    for name, reason in count.skipped:
        print(f"skipped {name}: {reason}")
    print(f"{count.passed} passed, {len(count.failed)} failed, {len(count.skipped)} skipped", flush=True)
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
