// SPDX-License-Identifier: Apache-2.0
/** What a guest printed, as results of all the checks that its scripts have. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageRoot } from '../../../src/native/load.js';
import { checkResults, configurationChecks, smokeChecks } from '../../kernel/lab/checks.js';
import { CONFIGURATIONS } from '../../kernel/lab/configurations.js';
import {
  gateFaults,
  summarizeChecks,
  summarizeConfiguration,
  summarizeGate,
} from '../../kernel/lab/summary.js';
import { type Figures, readFigures, renderPage } from '../../kernel/lab/table.js';
import type { GateReport } from '../../kernel/report.js';

it('finds the names of the checks in the scripts, each once', () => {
  for (const names of [smokeChecks(), configurationChecks()]) {
    expect(names).toContain('the daemon starts');
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  }
  expect(smokeChecks()).toContain('ping of a VIP IPv6');
  expect(smokeChecks().length).toBeGreaterThan(60);
});

it('takes a check that was not reached for one that failed', () => {
  const printed = 'ok one\nFAIL two: it says: no\nok zero';
  const results = checkResults(['one', 'two', 'three'], printed);
  expect(results).toEqual([
    { name: 'one', failed: null },
    { name: 'two', failed: 'it says: no' },
    { name: 'three', failed: 'not reached' },
  ]);
  expect(summarizeChecks(results)).toEqual({ passed: 1, all: 3, failed: ['two', 'three'] });
});

it('does not ask for what comes after the line that says what a host lacks', () => {
  const printed = 'ok one\nsaid veth: no such module\nend';
  const results = checkResults(['one', 'two'], printed);
  expect(summarizeConfiguration('6.1', results, printed, '')).toMatchObject({
    checks: { passed: 1, all: 1, failed: [] },
    said: 'veth: no such module',
  });
  const failed = checkResults(['one', 'two'], 'ok one\nFAIL two: no');
  expect(summarizeConfiguration('6.1', failed, '', '').checks.failed).toEqual(['two']);
});

it('has a script for each configuration', () => {
  const script = readFileSync(join(packageRoot(), 'test/kernel/guest/configuration.sh'), 'utf8');
  const cases = [...script.matchAll(/^ {2}([a-z0-9* |-]+)\)/gm)].flatMap(([, names]) =>
    (names as string).split(' | '),
  );
  const covered = (name: string) =>
    cases.some((pattern) => pattern !== '*' && new RegExp(`^${pattern.replace('*', '.*')}$`).test(name));
  expect(CONFIGURATIONS.map(({ name }) => name).filter((name) => !covered(name))).toEqual([]);
});

const report: GateReport = {
  release: '6.1.0-57-amd64',
  features: {},
  loads: [
    {
      object: 'a',
      variant: 'exempt=0',
      milliseconds: 1,
      refused: null,
      programs: [
        { name: 'a1', instructions: 500_000 },
        { name: 'a2', instructions: 3 },
      ],
    },
    { object: 'b', variant: '', milliseconds: 1, refused: 'R2 type=mem\nmore', programs: [] },
  ],
  attachments: [
    { what: 'a by tcx', refused: null, lacks: 'tcx' },
    { what: 'a by clsact', refused: null, lacks: null },
    { what: 'b by clsact', refused: 'b does not load', lacks: null },
  ],
};

it('fails a kernel that refuses something, or takes more than half of the instructions', () => {
  expect(gateFaults(report)).toEqual(['b : R2 type=mem', 'b by clsact: b does not load']);
  const [load] = report.loads as [GateReport['loads'][0]];
  const dearer = { ...load, programs: [{ name: 'a1', instructions: 500_001 }] };
  expect(gateFaults({ ...report, loads: [dearer], attachments: [] })).toEqual([
    'a exempt=0: a1 takes 500001 instructions, more than 500000',
  ]);
});

it('sums a report up', () => {
  expect(summarizeGate(report, null, '2026-01-01')).toEqual({
    release: '6.1.0-57-amd64',
    date: '2026-01-01',
    objects: { passed: 1, all: 2, failed: ['b'] },
    attachments: { passed: 1, all: 2, failed: ['b by clsact'] },
    lacks: ['tcx'],
    instructions: { program: 'a1', count: 500_000 },
    smoke: null,
  });
});

it('writes the tables into the page, the oldest kernel first', () => {
  const kernel = summarizeGate(report, [{ name: 'x', failed: null }], '2026-01-01');
  const figures: Figures = {
    stack: { program: 'a1', bytes: 400 },
    kernels: { '6.12': kernel, '7.3': kernel, '6.1-cloud': kernel, '6.1': kernel },
    configurations: {},
  };
  const page =
    'head\n<!-- kernels:begin -->\nold\n<!-- kernels:end -->\n<!-- configurations:begin --><!-- configurations:end -->\nfoot\n';
  const text = renderPage(page, figures);
  expect(text.match(/^\| (\d\S*) /gm)).toEqual(['| 6.1 ', '| 6.1-cloud ', '| 6.12 ', '| 7.3 ']);
  expect(text).toContain(
    '| **1 of 2**; not: b | **1 of 2**; not: b by clsact | tcx | 1 of 1 | 500,000 (a1) |',
  );
  expect(text).not.toContain('old');
  expect(renderPage(text, figures)).toBe(text);
  expect(() => renderPage('nothing', figures)).toThrow('no place');
});

it('is the page that is there', () => {
  const page = readFileSync(join(packageRoot(), 'docs/KERNELS.md'), 'utf8');
  expect(renderPage(page, readFigures())).toBe(page);
});
