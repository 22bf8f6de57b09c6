// SPDX-License-Identifier: Apache-2.0
/**
 * Test runs by the thousand inside a network namespace, so that the programs
 * see its routes and devices. One process runs whole batches.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Program } from '../../src/loader/programs.js';
import { bpfNative } from '../../src/native/bpf.js';

/** The kernel keeps a sum of the whole packet, as a device would, and checks it afterwards (Linux 6.17). */
export const CHECKSUM_COMPLETE = 4;

export interface Run {
  /** Index into the programs given. */
  program: number;
  /** 0: none, as for XDP. */
  ifindex: number;
  flags: number;
  mark?: number;
  data: Buffer;
}

export interface Ran {
  errno: number;
  verdict: number;
  data: Buffer;
}

export class TestRuns {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #pins: string;
  #received: Buffer = Buffer.alloc(0);
  #waiting: (error?: Error) => void = () => undefined;

  constructor(netns: string, programs: readonly Program[]) {
    this.#pins = `/sys/fs/bpf/sluice-test-${netns}`;
    mkdirSync(this.#pins);
    const pins = programs.map((p, i) => {
      const path = join(this.#pins, `p${i}`);
      bpfNative().bpfPin(p.fd, path);
      return path;
    });
    const server = join(import.meta.dirname, 'testrun.py');
    this.#child = spawn('nsenter', [`--net=/run/netns/${netns}`, '/usr/bin/python3', server, ...pins], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin.on('error', () => undefined);
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#waiting();
    });
    this.#child.on('exit', () => this.#waiting(new Error('the process of the test runs has ended')));
  }

  async run(batch: readonly Run[]): Promise<Ran[]> {
    const count = Buffer.alloc(4);
    count.writeUInt32LE(batch.length);
    const parts: Buffer[] = [count];
    for (const { program, flags, ifindex, mark, data } of batch) {
      const head = Buffer.alloc(15);
      head.writeUInt8(program, 0);
      head.writeUInt32LE(flags, 1);
      head.writeUInt32LE(ifindex, 5);
      head.writeUInt32LE(mark ?? 0, 9);
      head.writeUInt16LE(data.length, 13);
      parts.push(head, data);
    }
    this.#child.stdin.write(Buffer.concat(parts));
    const answers: Ran[] = [];
    while (answers.length < batch.length) {
      const answer = this.#take();
      if (answer) answers.push(answer);
      else await this.#more();
    }
    return answers;
  }

  #take(): Ran | null {
    const b = this.#received;
    if (b.length < 10) return null;
    const end = 10 + b.readUInt16LE(8);
    if (b.length < end) return null;
    this.#received = b.subarray(end);
    return { errno: b.readUInt32LE(0), verdict: b.readInt32LE(4), data: b.subarray(10, end) };
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = (error) => (error ? reject(error) : resolve());
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    rmSync(this.#pins, { recursive: true, force: true });
  }
}
