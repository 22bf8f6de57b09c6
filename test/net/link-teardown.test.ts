// SPDX-License-Identifier: Apache-2.0
/** A process, or a worker thread of Node's, that ends while requests are under way. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/native/load.js';

const ADDON = join(packageRoot(), 'src/native/build/Release/sluice_native.node');

/** Dumps of the links of the own namespace, RTM_GETLINK (18), that nobody waits for. */
const BUSY = `
  const native = require(${JSON.stringify(ADDON)});
  async function busy() {
    const socket = await native.netOpen(0, null);
    const message = Buffer.alloc(32);
    message.writeUInt32LE(32, 0);
    message.writeUInt16LE(18, 4);
    message.writeUInt16LE(0x301, 6);
    for (let i = 0; i < 400; i++) native.netRequest(socket, 'RTM_GETLINK', message).catch(() => {});
  }
`;

function run(script: string): { status: number | null; signal: string | null; stderr: string } {
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  return { status, signal, stderr };
}

test('a process exits', () => {
  const outcome = run(`${BUSY} busy().then(() => setTimeout(() => process.exit(7), 2));`);
  expect(outcome).toEqual({ status: 7, signal: null, stderr: '' });
});

test('worker threads are terminated, and the process goes on', () => {
  const outcome = run(`
    const { Worker } = require('node:worker_threads');
    (async () => {
      for (let i = 0; i < 10; i++) {
        const worker = new Worker(${JSON.stringify(`${BUSY} busy().then(() => require('node:worker_threads').parentPort.postMessage(0));`)}, { eval: true });
        await new Promise((resolve) => worker.once('message', resolve));
        await worker.terminate();
      }
      process.exit(7);
    })();
  `);
  expect(outcome).toEqual({ status: 7, signal: null, stderr: '' });
});
