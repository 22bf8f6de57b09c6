// SPDX-License-Identifier: Apache-2.0
/** The scripts, asked by the shells themselves where these are installed; bash always is. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bashScript } from '../../../src/cli/completion/bash.js';
import { fishScript } from '../../../src/cli/completion/fish.js';
import { zshScript } from '../../../src/cli/completion/zsh.js';
import { optionsOf } from '../../../src/cli/spec.js';
import { COMMANDS, GROUPS } from '../../../src/cli/table.js';
import { sluice } from './support.js';

let directory: string;
let program: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-completion-'));
  program = join(directory, 'sluice');
  // Stands in for a daemon with two objects of each kind.
  writeFileSync(program, '#!/bin/sh\n[ "$1" = __complete ] && printf "%s\\n" "$2-one" "$2-two"\n');
  chmodSync(program, 0o755);
  writeFileSync(join(directory, 'a-file'), '');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

/** Asked: the words so far, the last one to be completed; a fragment of the answer, and what must not be in it. */
const CASES: readonly [string, readonly string[], readonly string[]][] = [
  ['', ['network', 'sandbox', 'endpoint', 'connect', 'status', 'completion'], ['--help', '__complete']],
  ['net', ['network'], ['sandbox']],
  ['network ', ['create', 'inspect', 'ls', 'prune', 'rm'], ['join']],
  ['endpoint ', ['join', 'leave'], ['prune']],
  ['network create --', ['--driver', '--ip-range', '--dry-run', '--socket', '--help'], ['--mac']],
  ['network ls --', ['--quiet', '--format'], ['--dry-run', '--driver']],
  ['network create -d ', ['bridge', 'host', 'null'], ['network-one']],
  ['network create --driver ', ['bridge'], []],
  ['network ls -o ', ['table', 'json'], []],
  ['--format ', ['table', 'json'], []],
  ['network inspect ', ['network-one', 'network-two'], ['create']],
  ['network rm network-one ', ['network-two'], []],
  ['--socket /x network rm ', ['network-one'], []],
  ['endpoint join ', ['endpoint-one'], ['sandbox-one']],
  ['endpoint join endpoint-one ', ['sandbox-one'], ['endpoint-one']],
  ['endpoint create x --network ', ['network-one'], ['sandbox-one']],
  ['connect network-one sand', ['sandbox-one', 'sandbox-two'], ['network-one']],
  ['conntrack ls --protocol ', ['tcp', 'udp', 'icmp'], []],
  ['conntrack ls --endpoint ', ['endpoint-one'], []],
  ['completion ', ['bash', 'zsh', 'fish'], []],
  ['service ', ['create', 'add-backend', 'set-backend', 'rm'], ['prune']],
  ['service create x --network ', ['network-one'], []],
  ['service create x --mode ', ['vip', 'dnsrr'], []],
  ['service add-backend ', ['service-one'], ['endpoint-one']],
  ['service set-backend service-one ', ['endpoint-one'], ['service-one']],
  // Its value may be left out, so that what follows is an argument.
  ['service set-backend --drain service-one ', ['endpoint-one'], ['service-one']],
  ['sandbox exec ', ['sandbox-one'], []],
  ['sandbox exec sandbox-one unshar', ['unshare'], []],
  ['sandbox exec sandbox-one -- unshar', ['unshare'], []],
];

function check(
  line: string,
  answer: readonly string[],
  wanted: readonly string[],
  unwanted: readonly string[],
): void {
  for (const word of wanted) expect(answer, `sluice ${line}`).toContain(word);
  for (const word of unwanted) expect(answer, `sluice ${line}`).not.toContain(word);
}

describe('bash', () => {
  function ask(words: readonly string[]): string[] {
    const script = `${bashScript()}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_sluice 2>/dev/null
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const out = execFileSync('bash', ['--norc', '-c', script, 'bash', program, ...words], { cwd: directory });
    return String(out).split('\n').filter(Boolean);
  }

  it.each(CASES)('completes sluice %s', (line, wanted, unwanted) => {
    check(line, ask(line.split(' ')), wanted, unwanted);
  });

  it('completes files, and values behind an equals sign, which bash splits off', () => {
    expect(ask(['sandbox', 'create', 'x', '--netns', ''])).toContain('a-file');
    expect(ask(['--socket', '=', 'a-'])).toEqual(['a-file']);
    expect(ask(['network', 'ls', '--format', '='])).toEqual(['table', 'json']);
    expect(ask(['network', 'ls', '--format', '=', 'js'])).toEqual(['json']);
    expect(ask(['--format', '=', 'json', 'network', 'in'])).toEqual(['inspect']);
  });

  it('leaves the options of what is run inside a sandbox alone', () => {
    expect(ask(['sandbox', 'exec', 'web', 'ls', '--'])).toEqual([]);
    expect(ask(['sandbox', 'exec', 'web', '--', 'ls', '-'])).toEqual([]);
  });

  it('registers itself', () => {
    const out = execFileSync('bash', ['--norc', '-c', `${bashScript()}\ncomplete -p sluice`]);
    expect(String(out)).toContain('-F _sluice sluice');
  });
});

describe.skipIf(!has('fish'))('fish', () => {
  it.each(CASES)('completes sluice %s', (line, wanted, unwanted) => {
    const script = `${fishScript()}\ncomplete -C 'sluice ${line}'`;
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
    const out = String(execFileSync('fish', ['--no-config', '-c', script], { cwd: directory, env }));
    check(
      line,
      out.split('\n').map((text) => text.split('\t')[0] as string),
      wanted,
      unwanted,
    );
  });
});

describe.skipIf(!has('zsh'))('zsh', () => {
  it('can read its script', () => {
    const file = join(directory, 'script.zsh');
    writeFileSync(file, zshScript());
    const { status, stderr } = spawnSync('zsh', ['-f', '-n', file]);
    expect([status, String(stderr)]).toEqual([0, '']);
  });
});

it('prints what it makes from the table', async () => {
  for (const [shell, script] of [
    ['bash', bashScript()],
    ['zsh', zshScript()],
    ['fish', fishScript()],
  ] as const) {
    expect(await sluice({}, 'completion', shell)).toEqual({ code: 0, out: script, err: '' });
    for (const { path, hidden } of COMMANDS) {
      if (!hidden) expect(script).toContain(path.join(shell === 'zsh' ? '_' : ' '));
    }
  }
});

it('rests on a table in which a long flag takes a value everywhere or nowhere', () => {
  const takes = new Map<string, boolean>();
  for (const { long, value, optional } of COMMANDS.flatMap(optionsOf)) {
    const takesWord = value !== undefined && optional === undefined;
    expect(takes.get(long) ?? takesWord, long).toBe(takesWord);
    takes.set(long, takesWord);
  }
  const groups = COMMANDS.flatMap(({ path }) => (path.length > 1 ? [path[0]] : []));
  expect([...new Set(groups)].sort()).toEqual(GROUPS.map(({ name }) => name).sort());
});
