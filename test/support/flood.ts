// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import type { Background } from './process.js';
import type { Testbed } from './testbed.js';

const SCRIPT = join(import.meta.dirname, 'flood.py');

/** One of flood.py's commands in the background; report() waits for its end. */
export function flooder(
  bed: Testbed,
  ns: string,
  args: (string | number)[],
  options: { spoof?: string } = {},
): Background {
  const env = options.spoof === undefined ? [] : ['env', `SPOOF=${options.spoof}`];
  return bed.background(ns, [...env, '/usr/bin/python3', SCRIPT, ...args.map(String)]);
}

export async function report<T>(process: Background): Promise<T> {
  const code = await process.end();
  if (code !== 0) throw new Error(`${process.child.spawnargs.join(' ')}: exit ${code}: ${process.err}`);
  return JSON.parse(process.out.trim().split('\n').at(-1) as string) as T;
}
