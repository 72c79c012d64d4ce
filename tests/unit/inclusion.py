#!/usr/bin/env python3
"""Inclusion goes in the directions of the architecture and no other:

    services -> include <- stack    drivers -> include    tools -> everything but tests    tests -> everything

Besides: a service includes no DPDK and of other services only what is meant to be shared (SHARED below); stack/ uses DPDK's libraries but not devices, EAL, cores or the
clock; include/ stands alone, each header by itself. Each rule is first tried on a planted violation.

usage: inclusion.py [ROOT]    the compiler is taken from CC
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

AREAS = ('include', 'stack', 'drivers', 'services', 'tools', 'tests')
SUFFIXES = {'.c', '.h', '.def', '.rl'}

# Which other areas an area may include from (<millrace/...> is `include`).
ALLOWED = {
    'include': (),
    'stack': ('include',),
    'drivers': ('include',),
    'services': ('include',),
    'tools': ('include', 'stack', 'drivers', 'services'),
    'tests': ('include', 'stack', 'drivers', 'services', 'tools'),
}

# Folders of services/ that others use as a library, and who may; None: every service.
SHARED = {
    'checksum': None,         # CRC-32C
    'memory': None,           # a worker's memory, counted
    'answer': None,           # JSON answers of commands
    'config': None,           # copies and comparisons of a configuration, by its table of keys
    'http': {'proxy'},        # the codec of messages: what a proxy reads and writes is what the server does
    'cache/evict': {'proxy'}, # who goes first when memory is full
}

# DPDK headers that an area must not include, and identifiers that it must not use though some header declares them.
FORBIDDEN_HEADER = {
    'include': re.compile(r'rte_'),
    'services': re.compile(r'rte_'),
    'stack': re.compile(r'rte_(ethdev|eth_|eal|lcore|cycles|bus|dev|vdev|pci|launch|interrupts|epoll|alarm|random)'),
}
FORBIDDEN_NAME = {
    'services': re.compile(r'\brte_\w+'),
    'stack': re.compile(r'\brte_(?:(?:eth|eal|lcore|dev|bus|epoll)_\w+|rdtsc\w*|get_tsc\w*|get_timer\w*|delay_\w+|rand\w*)'),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(.*)$', re.MULTILINE)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def without_comments(text):
    """Line numbers stay; strings stay, because names of headers look like them."""
    return COMMENT_OR_STRING.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r'[^\n]', ' ', m[0]), text)


def without_strings(text):
    return COMMENT_OR_STRING.sub('""', text)


def target_of(root, file, form, name):
    """The project file that an include names, relative to the root; None for a header of the system or a library."""
    if form == '<':
        path = Path('include') / name
        return path if name.startswith('millrace/') or (root / path).is_file() else None
    area = file.parts[0]
    folders = [Path('.')] + ([Path('services')] if area in ('services', 'tests') else [])
    for folder in folders:
        if (root / folder / name).is_file():
            return folder / name
    return Path(name)


def shared_with(target, service):
    """Whether `service` may include `target`, a file of another service."""
    folders = (str(Path(*target.parts[1:n])) for n in range(2, len(target.parts)))
    return any(f in SHARED and (SHARED[f] is None or service in SHARED[f]) for f in folders)


def complaint(root, file, line):
    """What is wrong with `#include line` in `file`, or None."""
    match = re.match(r'(["<])([^">]+)[">]\s*$', line.strip())
    if not match:
        return 'is computed: nobody can see what it includes'
    form, name = match.groups()
    area = file.parts[0]
    if '..' in Path(name).parts or name.startswith('/'):
        return 'names a path relative to something else than the root'
    if form == '<' and (root / name).is_file():
        return 'names a file of the project as one of the system'
    if area in FORBIDDEN_HEADER and FORBIDDEN_HEADER[area].match(name):
        return f'is not for {area}/'
    target = target_of(root, file, form, name)
    if target is None:
        return None
    if not (root / target).is_file():
        return 'names no file: private headers are named from the root (services: from services/)'
    to = target.parts[0]
    if to == area:
        # A service sees its own folder; only the table of services, beside the folders, sees all of them.
        if area == 'services' and len(file.parts) > 2 and len(target.parts) > 2 and target.parts[1] != file.parts[1]:
            return None if shared_with(target, file.parts[1]) else 'is of another service'
        return None
    return None if to in ALLOWED[area] else f'goes from {area}/ to {to}/'


def file_violations(root, file):
    text = without_comments((root / file).read_text(errors='replace'))
    for match in INCLUDE.finditer(text):
        wrong = complaint(root, file, match[1])
        if wrong:
            yield f'{file}:{text.count(chr(10), 0, match.start()) + 1}: #include {match[1].strip()} {wrong}'
    area = file.parts[0]
    if area in FORBIDDEN_NAME:
        for number, line in enumerate(without_strings(INCLUDE.sub('', text)).split('\n'), 1):
            for name in FORBIDDEN_NAME[area].finditer(line):
                yield f'{file}:{number}: {name[0]} is not for {area}/'


def sources(root):
    for area in AREAS:
        for path in sorted((root / area).rglob('*')):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.relative_to(root)


def header_violations(root, compiler):
    """Each public header compiles alone, and twice, with include/ as the only folder of ours."""
    for path in sorted((root / 'include' / 'millrace').glob('*.h')):
        name = f'millrace/{path.name}'
        result = subprocess.run([*compiler, '-std=gnu17', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror',
                                 '-fsyntax-only', '-I', str(root / 'include'), '-x', 'c', '-'], text=True,
                                input=f'#include <{name}>\n#include <{name}>\n', capture_output=True)
        if result.returncode != 0:
            yield f'include/{name}: does not compile alone:\n{result.stderr}'


def violations(root, compiler):
    found = [v for file in sources(root) for v in file_violations(root, file)]
    return found + list(header_violations(root, compiler))


# A small tree that keeps every rule, and what each planted line breaks.
CLEAN = {
    'include/millrace/a.h': '#ifndef A\n#define A\n#include <stdint.h>\nstruct a { uint8_t b; };\n#endif\n',
    'include/millrace/b.h': '#ifndef B\n#define B\n#include <millrace/a.h>\nextern struct a ab;\n#endif\n',
    'stack/x/x.h': '#include <millrace/a.h>\n#include <rte_mbuf.h>\n/*\n#include "drivers/d/d.h"\n*/\n',
    'stack/x/x.c': '#include "stack/x/x.h"\nstatic const char *s = "rte_eth_rx_burst(";\n',
    'drivers/d/d.h': '#include <millrace/b.h>\n#include <rte_ethdev.h>\n',
    'services/one/one.h': '#include <millrace/a.h>\n#include <yaml.h>\n',
    'services/one/one.c': '#include "one/one.h"\n#include "services.h"\n/* never rte_mbuf */\n',
    'services/two/two.h': '',
    'services/http/http.h': '',
    'services/cache/cache.h': '',
    'services/cache/evict/evict.h': '',
    'services/proxy/proxy.c': '#include "http/http.h"\n#include "cache/evict/evict.h"\n',
    'services/services.h': '',
    'services/services.c': '#include "one/one.h"\n#include "two/two.h"\n',
    'tools/t.c': '#include "stack/x/x.h"\n#include "drivers/d/d.h"\n#include "services/services.h"\n',
    'tests/t.c': '#include "tools/t.c"\n#include "one/one.h"\n#include "stack/x/x.h"\n',
}
PLANTED = [
    ('services/one/one.c', '#include "stack/x/x.h"'),
    ('services/one/one.c', '#include "drivers/d/d.h"'),
    ('services/one/one.c', '#include "two/two.h"'),
    ('services/one/one.c', '#include "http/http.h"'),
    ('services/http/http.h', '#include "cache/evict/evict.h"'),
    ('services/proxy/proxy.c', '#include "cache/cache.h"'),
    ('services/one/one.c', '#include <rte_mbuf.h>'),
    ('services/one/one.c', 'void f(struct rte_mbuf *m);'),
    ('services/one/one.c', '  #  include "../stack/x/x.h"'),
    ('services/one/one.c', '#include <stack/x/x.h>'),
    ('services/one/one.c', '#include <millrace/missing.h>'),
    ('services/one/one.rl', '#include "stack/x/x.h"'),
    ('services/services.c', '#include "tools/t.c"'),
    ('stack/x/x.h', '#include "drivers/d/d.h"'),
    ('stack/x/x.c', '#include "services/one/one.h"'),
    ('stack/x/x.c', '#include "one/one.h"'),
    ('stack/x/x.c', '#include "x.h"'),
    ('stack/x/x.c', '#include "tests/t.c"'),
    ('stack/x/x.c', '#include <rte_ethdev.h>'),
    ('stack/x/x.c', '#include <rte_eal.h>'),
    ('stack/x/x.c', '#include <rte_lcore.h>'),
    ('stack/x/x.c', '#include <rte_cycles.h>'),
    ('stack/x/x.c', '#include <rte_bus_pci.h>'),
    ('stack/x/x.c', '#include <rte_dev.h>'),
    ('stack/x/x.c', '#define H "stack/x/x.h"\n#include H'),
    ('stack/x/x.c', 'unsigned long f(void) { return rte_rdtsc(); }'),
    ('stack/x/x.def', '#include "drivers/d/d.h"'),
    ('drivers/d/d.h', '#include "stack/x/x.h"'),
    ('drivers/d/d.h', '#include "services/services.h"'),
    ('tools/t.c', '#include "tests/t.c"'),
    ('include/millrace/b.h', '#include "stack/x/x.h"'),
    ('include/millrace/b.h', '#include <rte_mbuf.h>'),
    ('include/millrace/b.h', 'uint8_t c; missing_type d;'),
    ('include/millrace/c.h', 'static inline bool c(void) { return true; }'),
]


def self_test(compiler):
    """Faults of this test itself: what it reports in the clean tree, and planted lines that it does not see."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def write(name, text):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

        for name, text in CLEAN.items():
            write(name, text)
        faults = [f'reported in a clean tree: {v}' for v in violations(root, compiler)]
        for name, line in PLANTED:
            write(name, CLEAN.get(name, '') + line + '\n')
            if not any(v.startswith(name) for v in violations(root, compiler)):
                faults.append(f'not seen in {name}: {line}')
            if name in CLEAN:
                write(name, CLEAN[name])
            else:
                (root / name).unlink()
        return faults


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]).resolve()
    compiler = shlex.split(os.environ.get('CC', 'cc'))
    faults = [f'inclusion.py itself: {fault}' for fault in self_test(compiler)]
    found = faults + violations(root, compiler)
    count = len(list(sources(root)))
    if count < 50:
        found.append(f'{root}: only {count} source files: is this the root?')
    print('\n'.join(found) if found else f'{count} files, {len(PLANTED)} planted violations seen')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
