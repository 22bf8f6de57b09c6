// SPDX-License-Identifier: Apache-2.0
/** Which checks the guests' scripts have, and what became of each. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../src/native/load.js';

const GUEST = join(packageRoot(), 'test/kernel/guest');
/** A command of lib.sh with a literal name in single quotes. */
const CHECK = /^\s*(?:if )?(?:check|soon|done_by|or_says) '([^']+)'/gm;

export interface CheckResult {
  readonly name: string;
  /** null: passed. */
  readonly failed: string | null;
}

const namesIn = (script: string): string[] =>
  [...readFileSync(join(GUEST, script), 'utf8').matchAll(CHECK)].map(([, name]) => name as string);

/** In no particular order. */
export function smokeChecks(): string[] {
  return ['smoke.sh', ...readdirSync(join(GUEST, 'smoke')).map((part) => join('smoke', part))].flatMap(
    namesIn,
  );
}

export function configurationChecks(): string[] {
  return namesIn('configuration.sh');
}

/** By the guest's lines; a check that was not reached has failed. */
export function checkResults(names: readonly string[], printed: string): CheckResult[] {
  const passed = new Set([...printed.matchAll(/^ok (.*)$/gm)].map(([, name]) => name));
  const failed = new Map([...printed.matchAll(/^FAIL (.*?): (.*)$/gm)].map(([, name, why]) => [name, why]));
  return names.map((name) => {
    if (passed.has(name)) return { name, failed: null };
    return { name, failed: failed.get(name) ?? 'not reached' };
  });
}

/** Of vitest's JSON reporter. */
export function testResults(printed: string): CheckResult[] {
  interface Report {
    testResults: { assertionResults: { fullName: string; status: string; failureMessages: string[] }[] }[];
  }
  const { testResults } = JSON.parse(printed) as Report;
  return testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'passed' || status === 'failed')
    .map(({ fullName: name, status, failureMessages }) => ({
      name,
      failed: status === 'passed' ? null : (failureMessages[0]?.split('\n')[0] ?? status),
    }));
}
