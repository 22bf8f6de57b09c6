// SPDX-License-Identifier: Apache-2.0
/** What docs/kernels.json keeps of a run, and whether it is as it should be. */
import { type GateReport, MOST_INSTRUCTIONS } from '../report.js';
import type { CheckResult } from './checks.js';

export interface CheckSummary {
  readonly passed: number;
  readonly all: number;
  readonly failed: readonly string[];
}

export interface KernelSummary {
  readonly release: string;
  /** YYYY-MM-DD */
  readonly date: string;
  readonly objects: CheckSummary;
  readonly attachments: CheckSummary;
  /** What this kernel has not got, and for which something else is used. */
  readonly lacks: readonly string[];
  readonly instructions: { readonly program: string; readonly count: number };
  /** null: no traffic was tried. */
  readonly smoke: CheckSummary | null;
}

export interface ConfigurationSummary {
  readonly release: string;
  readonly date: string;
  readonly checks: CheckSummary;
  /** The line with which the host is told what it lacks; null: all of it works. */
  readonly said: string | null;
}

export function summarizeChecks(results: readonly CheckResult[]): CheckSummary {
  const failed = results.filter((r) => r.failed !== null).map((r) => r.name);
  return { passed: results.length - failed.length, all: results.length, failed };
}

export function summarizeGate(
  report: GateReport,
  smoke: readonly CheckResult[] | null,
  date: string,
): KernelSummary {
  const programs = report.loads.flatMap((load) => load.programs);
  const most = programs.reduce((a, b) => (b.instructions > a.instructions ? b : a), {
    name: '',
    instructions: 0,
  });
  return {
    release: report.release,
    date,
    objects: summarizeChecks(
      report.loads.map(({ object, variant, refused }) => ({
        name: `${object} ${variant}`.trim(),
        failed: refused,
      })),
    ),
    attachments: summarizeChecks(
      report.attachments
        .filter(({ lacks }) => lacks === null)
        .map(({ what, refused }) => ({ name: what, failed: refused })),
    ),
    lacks: [...new Set(report.attachments.flatMap(({ lacks }) => lacks ?? []))],
    instructions: { program: most.name, count: most.instructions },
    smoke: smoke === null ? null : summarizeChecks(smoke),
  };
}

export function summarizeConfiguration(
  release: string,
  results: readonly CheckResult[],
  printed: string,
  date: string,
): ConfigurationSummary {
  const said = /^said (.*)$/m.exec(printed)?.[1] ?? null;
  // what comes after the line that says why not was not to be reached
  const reached = said === null ? results : results.filter((r) => r.failed !== 'not reached');
  return { release, date, checks: summarizeChecks(reached), said };
}

/** What is wrong, a line each. */
export function gateFaults(report: GateReport): string[] {
  return [
    ...report.loads.flatMap(({ object, variant, refused }) =>
      refused === null ? [] : [`${object} ${variant}: ${refused.split('\n')[0]}`],
    ),
    ...report.loads.flatMap(({ object, variant, programs }) =>
      programs
        .filter(({ instructions }) => instructions > MOST_INSTRUCTIONS)
        .map(
          ({ name, instructions }) =>
            `${object} ${variant}: ${name} takes ${instructions} instructions, more than ${MOST_INSTRUCTIONS}`,
        ),
    ),
    ...report.attachments.flatMap(({ what, refused }) => (refused === null ? [] : [`${what}: ${refused}`])),
  ];
}
