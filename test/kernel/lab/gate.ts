// SPDX-License-Identifier: Apache-2.0
/** Runs the load gate under one kernel. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../../src/native/load.js';
import type { GateReport } from '../report.js';
import { type Outcome, runMachine } from './machine.js';
import type { UnpackedKernel } from './packages.js';

/** On a quiet machine it is one minute. */
const GATE_MS = 900_000;

/** The guests' programs, which Node runs there as they are. */
export function bundleGuests(): void {
  const root = packageRoot();
  const out = join(root, 'test/kernel/build');
  execFileSync(
    join(root, 'node_modules/.bin/rolldown'),
    [
      join(root, 'test/kernel/guest/gate.ts'),
      ...['--platform', 'node', '--format', 'esm', '--dir', out, '--log-level', 'silent'],
    ],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  );
}

/** The JSON that a guest printed last. */
export function reportLine({ results, console }: Outcome): string {
  const line = results.trim().split('\n').at(-1) ?? '';
  if (line.endsWith('}')) return line;
  throw new Error(`the guest gave no report; it said:\n${console.slice(-4000)}`);
}

export async function runGate(kernel: UnpackedKernel): Promise<GateReport> {
  bundleGuests();
  const outcome = await runMachine(kernel, { checkout: packageRoot(), task: 'gate', timeoutMs: GATE_MS });
  const report = JSON.parse(reportLine(outcome)) as GateReport;
  if (report.release !== kernel.release)
    throw new Error(`the guest runs ${report.release}, not ${kernel.release}`);
  return report;
}
