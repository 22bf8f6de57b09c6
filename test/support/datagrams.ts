// SPDX-License-Identifier: Apache-2.0
/** Peers that exchange datagrams of any size, see datagrams.py. */
import { DATAGRAMS } from './capture.js';
import { type Background, must } from './process.js';
import type { Testbed } from './testbed.js';

const PYTHON = '/usr/bin/python3';

/** Sends back what comes to the port, once it says that it is ready. */
export async function serveDatagrams(bed: Testbed, ns: string, port: number): Promise<Background> {
  const server = bed.background(ns, [PYTHON, DATAGRAMS, 'serve', String(port)]);
  await server.says(/ready/);
  return server;
}

/** What was sent and what came back, as digests. */
export function askDatagram(
  ns: string,
  address: string,
  port: number,
  size: number,
  df = 'default',
): string[] {
  return must(ns, [PYTHON, DATAGRAMS, 'ask', address, String(port), String(size), df])
    .trim()
    .split('\n');
}
