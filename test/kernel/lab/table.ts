// SPDX-License-Identifier: Apache-2.0
/** The tables of docs/KERNELS.md, from docs/kernels.json. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../src/native/load.js';
import { CONFIGURATIONS } from './configurations.js';
import { bySeries } from './series.js';
import type { CheckSummary, ConfigurationSummary, KernelSummary } from './summary.js';

/** By series; configurations by "SERIES NAME". */
export interface Figures {
  /** The deepest chain of calls, rounded as the strictest verifier does; the same on every kernel. */
  stack: { program: string; bytes: number } | null;
  kernels: Record<string, KernelSummary>;
  configurations: Record<string, ConfigurationSummary>;
}

const docs = (name: string): string => join(packageRoot(), 'docs', name);
const BEGIN = (what: string): string => `<!-- ${what}:begin -->`;
const END = (what: string): string => `<!-- ${what}:end -->`;

export function readFigures(): Figures {
  return JSON.parse(readFileSync(docs('kernels.json'), 'utf8')) as Figures;
}

/** Of the objects as they are built, by the check that is part of the build. */
export function deepestStack(): Figures['stack'] {
  const script = join(packageRoot(), 'scripts/bpf-stack.mjs');
  if (!existsSync(script)) return null;
  const lines = execFileSync('node', [script, '--list', '--top', '1'], { encoding: 'utf8' })
    .trim()
    .split('\n');
  const chains = lines.map((line) => /^(\d+) \S+: (\S+)/.exec(line)).filter((match) => match !== null);
  const [deepest] = chains.sort((a, b) => Number(b[1]) - Number(a[1]));
  return deepest === undefined ? null : { program: deepest[2] as string, bytes: Number(deepest[1]) };
}

const number = (n: number): string => n.toLocaleString('en-US');

function share(checks: CheckSummary | null): string {
  if (checks === null) return 'not tried';
  const share = `${checks.passed} of ${checks.all}`;
  return checks.failed.length === 0 ? share : `**${share}**; not: ${checks.failed.join(', ')}`;
}

export function kernelTable({ kernels, stack }: Figures): string {
  const rows = Object.entries(kernels)
    .sort(([a], [b]) => bySeries(a, b))
    .map(([series, k]) =>
      [
        series,
        k.release,
        share(k.objects),
        share(k.attachments),
        k.lacks.join(', ') || '–',
        share(k.smoke),
        `${number(k.instructions.count)} (${k.instructions.program})`,
        k.date,
      ].join(' | '),
    );
  return [
    ...(stack === null
      ? []
      : [
          `The deepest chain of calls takes ${stack.bytes} of 512 bytes of stack (${stack.program}), on every kernel.`,
          '',
        ]),
    '| kernel | release | objects loaded | attached | lacks | smoke checks passed | most instructions | tried |',
    '|---|---|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n');
}

export function configurationTable({ configurations }: Figures): string {
  const order = CONFIGURATIONS.map(({ name }) => name);
  const rows = Object.entries(configurations)
    .map(([key, summary]) => {
      const [series, name] = key.split(' ') as [string, string];
      return { series, name, ...summary };
    })
    .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name) || bySeries(a.series, b.series))
    .map(({ series, name, checks, said, date }) => {
      const about = CONFIGURATIONS.find((c) => c.name === name)?.about ?? name;
      const result = said === null ? share(checks) : `${share(checks)}, then says: "${said}"`;
      return `| \`${name}\` | ${about} | ${series} | ${result.replaceAll('|', '\\|')} | ${date} |`;
    });
  return ['| name | configuration | kernel | checks passed | tried |', '|---|---|---|---|---|', ...rows].join(
    '\n',
  );
}

/** The page with its tables as the figures have them. */
export function renderPage(page: string, figures: Figures): string {
  const tables = { kernels: kernelTable(figures), configurations: configurationTable(figures) };
  return Object.entries(tables).reduce((text, [what, table]) => {
    const [begin, end] = [text.indexOf(BEGIN(what)), text.indexOf(END(what))];
    if (begin < 0 || end < begin) throw new Error(`docs/KERNELS.md has no place for the table of ${what}`);
    return `${text.slice(0, begin + BEGIN(what).length)}\n${table}\n${text.slice(end)}`;
  }, page);
}

export function writeFigures(figures: Figures): void {
  writeFileSync(docs('kernels.json'), `${JSON.stringify(figures, null, 2)}\n`);
  const page = docs('KERNELS.md');
  writeFileSync(page, renderPage(readFileSync(page, 'utf8'), figures));
}
