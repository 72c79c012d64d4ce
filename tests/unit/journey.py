#!/usr/bin/env python3
"""The section *One packet's journey* of stack/README.md names functions as `file:function`: each must still be defined
where it says. Files are named from stack/ or from the root. Tried on planted faults first.

usage: journey.py [ROOT]
"""
import re
import sys
import tempfile
from pathlib import Path

STEPS_MIN = 12

HEADING = re.compile(r'^(#+)\s*(.*?)\s*#*$', re.MULTILINE)
STEP = re.compile(r'`([\w./-]+\.[chd]\w*):(\w+)(?:\(\))?`')
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def section(text):
    """What stands under the heading, up to the next one of its level or above; None when there is no such heading."""
    headings = list(HEADING.finditer(text))
    for i, heading in enumerate(headings):
        if heading[2].replace('\u2019', "'").strip('*_').lower() != "one packet's journey":
            continue
        ends = [h.start() for h in headings[i + 1:] if len(h[1]) <= len(heading[1])]
        return text[heading.end():ends[0] if ends else len(text)]
    return None


def defines(code, function):
    """Whether `code` holds `function(...) {` at file level, not only a prototype or a call."""
    code = NOT_CODE.sub(' ', code)
    for match in re.finditer(rf'^[A-Za-z_][\w \t*]*?\b{function}[ \t]*\(', code, re.MULTILINE):
        depth, at = 1, match.end()
        while depth and at < len(code):
            depth += {'(': 1, ')': -1}.get(code[at], 0)
            at += 1
        if code[at:].lstrip().startswith('{'):
            return True
    return False


def faults(root):
    readme = root / 'stack' / 'README.md'
    if not readme.is_file():
        return ['stack/README.md is missing']
    journey = section(readme.read_text())
    if journey is None:
        return ["stack/README.md has no section \"One packet's journey\""]
    found, steps = [], STEP.findall(journey)
    if len(set(steps)) < STEPS_MIN:
        found.append(f"one packet's journey has {len(set(steps))} steps `file:function`, at least {STEPS_MIN} are expected")
    for file, function in steps:
        path = next((p for p in (root / 'stack' / file, root / file) if p.is_file()), None)
        if path is None:
            found.append(f'{file}:{function}: there is no such file')
        elif not defines(path.read_text(), function):
            found.append(f'{file}:{function}: the file does not define it')
    return found


def self_test():
    """What this test should see and does not, in a small tree."""
    steps = ''.join(f'{i}. `core/a.c:step{i}` does\n' for i in range(STEPS_MIN))
    code = ''.join(f'static int *step{i}(struct a *a,\n    int (*f)(void))\n{{\n}}\n' for i in range(STEPS_MIN))
    heading = "# Stack\n\n## One packet's journey\n\n"
    cases = [  # README, code, a word of the expected fault
        (heading + steps + '\n## Next\n`core/b.c:gone`\n', code, None),
        (heading + steps.replace('core/a.c', 'stack/core/a.c'), code, None),
        (heading.replace('journey', 'travels') + steps, code, 'no section'),
        (heading + steps.replace('11. `core/a.c:step11`', 'x'), code, 'steps'),
        (heading + steps.replace('`core/a.c:step3`', '`core/b.c:step3`'), code, 'no such file'),
        (heading + steps, code.replace('step3(', 'step33('), 'does not define'),
        (heading + steps, code.replace('step3(struct a *a,\n    int (*f)(void))\n{\n}', 'step3(void);'), 'does not define'),
        (heading + steps, code.replace('static int *step3(', '/*\nstatic int *step3(void) {}\n*/\nint x('), 'does not define'),
        (heading + steps, code.replace('static int *step3(', 'static int *x(void)\n{\n    step3(); {}\n}\nint y('), 'does not define'),
    ]
    missed = []
    for number, (readme, source, expected) in enumerate(cases):
        with tempfile.TemporaryDirectory() as folder:
            core = Path(folder) / 'stack' / 'core'
            core.mkdir(parents=True)
            (core / 'a.c').write_text(source)
            (core.parent / 'README.md').write_text(readme)
            found = faults(Path(folder))
        if found if expected is None else not any(expected in fault for fault in found):
            missed.append(f'journey.py itself: case {number} expects {expected}, found {found}')
    return missed


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]).resolve()
    found = self_test() + faults(root)
    print('\n'.join(found) if found else 'every step of the journey is there')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
