#!/usr/bin/env python3
"""The JSON Schema of the configuration is one, and an editor that goes by it says what `millrace check` says.

usage: config_schema.py MILLRACE DEV_YAML    skipped (77) without python3-jsonschema and python3-yaml
"""
import json
import subprocess
import sys
import tempfile

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)

LINK = 'interfaces: [{name: mr0, address: 198.18.0.2/24}]\n'
PROXY = LINK + 'services:\n- proxy:\n'
ONE = PROXY + '    listeners: [{name: web, listen: ":80", upstream: u}]\n'

# What both accept.
GOOD = {
    'the least': LINK,
    'a service by its name': LINK + 'services: [echo]\n',
    'a service without keys': LINK + 'services: [{echo: }]\n',
    'a list of values': 'interfaces: [{name: mr0, address: [198.18.0.2/24, 198.18.1.2/24]}]\n',
    'nested lists': ONE + '    upstreams: [{name: u, backends: [{address: "198.18.0.9:80", weight: 3}]}]\n',
    'nested mappings': ONE + '    upstreams: [{name: u, health: {type: tcp, interval: 2s}, backends: [{address: "198.18.0.9:80"}]}]\n',
}
# What both refuse, and where the schema sees it.
BAD = {
    'no interface': ('services: [echo]\n', []),
    'an unknown key': (LINK + 'colour: red\n', []),
    'an unknown service': (LINK + 'services: [ecco]\n', ['services', 0]),
    'a word for a number': (LINK + 'workers: {count: many}\n', ['workers', 'count']),
    'a number beyond its bound': (LINK + 'workers: {count: 1000}\n', ['workers', 'count']),
    'a choice that is none': (LINK + 'log: {level: loud}\n', ['log', 'level']),
    'an unknown key in a nested item': (ONE + '    upstreams: [{name: u, backends: [{address: ":1", wait: 3}]}]\n', ['services', 0]),
    'a nested item without its key': (ONE + '    upstreams: [{name: u, backends: [{weight: 3}]}]\n', ['services', 0]),
    'a list for a value': (LINK + 'services: [{echo: {listen: [":7", ":8"]}}]\n', ['services', 0]),
    'a list for a mapping': (ONE + '    upstreams: [{name: u, health: [], backends: [{address: "198.18.0.9:80"}]}]\n', ['services', 0]),
    'a mapping for a list': (PROXY + '    listeners: {name: web}\n', ['services', 0]),
}


def accepted(millrace, text):
    with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
        file.write(text)
        file.flush()
        return subprocess.run([millrace, 'check', file.name], capture_output=True, text=True)


def main(millrace, dev):
    schema = json.loads(subprocess.run([millrace, 'reference', '--schema'], check=True, capture_output=True, text=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    failures = []
    with open(dev, encoding='utf-8') as file:
        failures += [f'dev.yaml: {error.message}' for error in validator.iter_errors(yaml.safe_load(file))]
    for name, text in GOOD.items():
        failures += [f'{name}: {error.message}' for error in validator.iter_errors(yaml.safe_load(text))]
        result = accepted(millrace, text)
        if result.returncode != 0:
            failures.append(f'{name}: millrace check: {result.stderr}')
    for name, (text, place) in BAD.items():
        places = [list(error.absolute_path) for error in validator.iter_errors(yaml.safe_load(text))]
        if place not in places:
            failures.append(f'{name}: expected an error at {place}, got them at {places}')
        if accepted(millrace, text).returncode != 3:
            failures.append(f'{name}: millrace check accepts it')
    print('\n'.join(failures) or f'{len(GOOD) + len(BAD) + 1} documents')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
