// SPDX-License-Identifier: Apache-2.0
/** `npm run test:kernel`: the load gate, and traffic, under as many kernels as are named. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../../src/native/load.js';
import type { GateReport } from '../report.js';
import { type CheckResult, checkResults, configurationChecks, smokeChecks, testResults } from './checks.js';
import { CONFIGURATIONS, type Configuration } from './configurations.js';
import { reportLine, runGate } from './gate.js';
import { type Outcome, runMachine } from './machine.js';
import { cacheDirectory, KernelPackages, type UnpackedKernel } from './packages.js';
import { gateFaults, summarizeConfiguration, summarizeGate } from './summary.js';
import { deepestStack, type Figures, readFigures, writeFigures } from './table.js';

const MATRIX = ['6.1', '6.1-cloud', '6.1-rt', '6.12', '6.12-cloud', '6.16', '6.18', 'newest'];
/** Where no kernel is named, configurations are tried with the kernel that most cloud hosts would have. */
const CONFIGURED = ['6.12-cloud'];
const SMOKE_MS = 3_600_000;
const CONFIGURATION_MS = 1_800_000;
const TESTS_MS = 4 * 3_600_000;

const USAGE = `usage: npm run test:kernel -- [OPTION]...
  --kernel V      6.1, 6.12-cloud, 6.1-rt, 7.x, newest, or a release (default: ${MATRIX.join(', ')}); may be repeated
  --smoke         traffic through the real daemon as well
  --config NAME   in place of both, what works on a host of this configuration, or "all"; may be repeated
  --tests PATH    in place of these, tests of the checkout, such as test/bpf/maps; takes long
  --write         put the results into docs/KERNELS.md
  --verbose       what each guest says
  --list          the kernels that can be had, and the configurations`;

const say = (line: string): void => console.log(line);

interface Options {
  readonly smoke: boolean;
  readonly verbose: boolean;
}

function show(outcome: Outcome, { verbose }: Options, printed: readonly CheckResult[]): void {
  if (verbose) say(outcome.console);
  for (const { name, failed } of printed)
    say(failed === null ? `  ok   ${name}` : `  FAIL ${name}: ${failed}`);
  if (printed.some(({ failed }) => failed === 'not reached') && !verbose) say(outcome.console.slice(-2000));
}

function showGate(report: GateReport): void {
  for (const { object, variant, programs, milliseconds, refused } of report.loads) {
    const told =
      refused ?? programs.map(({ name, instructions }) => `${name} ${instructions} instructions`).join(', ');
    say(`  ${refused === null ? 'ok  ' : 'FAIL'} ${object} ${variant} (${milliseconds} ms): ${told}`);
  }
  for (const { what, refused, lacks } of report.attachments)
    say(
      `  ${refused === null ? 'ok  ' : 'FAIL'} ${what}${lacks === null ? '' : `: this kernel lacks ${lacks}`}${refused ?? ''}`,
    );
}

/** Everything that a run found, for whoever wants more than the table. */
function keep(kernel: UnpackedKernel, what: string, found: unknown): void {
  const directory = join(cacheDirectory(), 'results');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${kernel.release}-${what}.json`);
  writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
  say(`  see ${file}`);
}

const today = (): string => new Date().toISOString().slice(0, 10);

async function tryKernel(kernel: UnpackedKernel, figures: Figures, options: Options): Promise<boolean> {
  say(`${kernel.release}: load gate`);
  const report = await runGate(kernel);
  showGate(report);
  keep(kernel, 'gate', report);
  const faults = gateFaults(report);
  let smoke: CheckResult[] | null = null;
  if (options.smoke) {
    say(`${kernel.release}: smoke`);
    const outcome = await runMachine(kernel, { checkout: packageRoot(), task: 'smoke', timeoutMs: SMOKE_MS });
    smoke = checkResults(smokeChecks(), outcome.results);
    show(outcome, options, smoke);
    keep(kernel, 'smoke', smoke);
    say(`  ${Math.round(outcome.seconds)} s`);
  }
  const summary = summarizeGate(report, smoke, today());
  // traffic that was tried earlier on the same release still holds for the page
  const before = figures.kernels[kernel.series];
  const earlier = before?.release === kernel.release ? before.smoke : null;
  figures.kernels[kernel.series] = { ...summary, smoke: summary.smoke ?? earlier };
  for (const fault of faults) say(`FAIL ${kernel.release}: ${fault}`);
  return faults.length === 0 && (smoke ?? []).every(({ failed }) => failed === null);
}

async function tryConfiguration(
  kernel: UnpackedKernel,
  configuration: Configuration,
  figures: Figures,
  options: Options,
): Promise<boolean> {
  const { name, about: _, ...machine } = configuration;
  say(`${kernel.release}: configuration ${name}`);
  const outcome = await runMachine(kernel, {
    checkout: packageRoot(),
    task: 'configuration',
    argument: name,
    timeoutMs: CONFIGURATION_MS,
    ...machine,
  });
  const results = checkResults(configurationChecks(), outcome.results);
  const summary = summarizeConfiguration(kernel.release, results, outcome.results, today());
  show(outcome, options, summary.said === null ? results : results.filter((r) => r.failed !== 'not reached'));
  if (summary.said !== null) say(`  said ${summary.said}`);
  say(`  ${Math.round(outcome.seconds)} s`);
  figures.configurations[`${kernel.series} ${name}`] = summary;
  return summary.checks.failed.length === 0;
}

async function tryTests(kernel: UnpackedKernel, path: string, options: Options): Promise<boolean> {
  say(`${kernel.release}: ${path}`);
  const outcome = await runMachine(kernel, {
    checkout: packageRoot(),
    task: 'tests',
    argument: path,
    timeoutMs: TESTS_MS,
  });
  const results = testResults(reportLine(outcome));
  show(
    outcome,
    options,
    results.filter(({ failed }) => failed !== null),
  );
  const failed = results.filter((r) => r.failed !== null).length;
  say(`  ${results.length - failed} passed, ${failed} failed, ${Math.round(outcome.seconds)} s`);
  return failed === 0 && results.length > 0;
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      kernel: { type: 'string', multiple: true },
      config: { type: 'string', multiple: true },
      tests: { type: 'string' },
      smoke: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    say(USAGE);
    return true;
  }
  const packages = new KernelPackages({ say });
  if (values.list) {
    for (const { series, release } of packages.offered()) say(`${series.padEnd(12)} ${release}`);
    for (const { name, about } of CONFIGURATIONS) say(`${name.padEnd(26)} ${about}`);
    return true;
  }
  const names = values.config?.includes('all')
    ? CONFIGURATIONS.map(({ name }) => name)
    : (values.config ?? []);
  const configurations = names.map((name) => {
    const found = CONFIGURATIONS.find((c) => c.name === name);
    if (found === undefined) throw new Error(`there is no configuration ${name}; see --list`);
    return found;
  });
  const figures = readFigures();
  let good = true;
  for (const wanted of values.kernel ?? (names.length > 0 ? CONFIGURED : MATRIX)) {
    const kernel = packages.get(wanted);
    if (values.tests !== undefined) good = (await tryTests(kernel, values.tests, values)) && good;
    else if (configurations.length === 0) good = (await tryKernel(kernel, figures, values)) && good;
    for (const configuration of configurations)
      good = (await tryConfiguration(kernel, configuration, figures, values)) && good;
    // after each: a run takes long, and may be interrupted
    if (values.write) writeFigures({ ...figures, stack: deepestStack() });
  }
  return good;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (e) {
  console.error(`test:kernel: ${(e as Error).message}`);
  if ((e as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) console.error(USAGE);
  process.exitCode = 1;
}
