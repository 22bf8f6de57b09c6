// SPDX-License-Identifier: Apache-2.0
/** `sluice` run in this process, against the API of a test. */
import { Writable } from 'node:stream';
import { run } from '../../../src/cli/run.js';
import { startApi, type TestApi } from '../api/support.js';

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

class Collector extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}

export async function sluice(env: Record<string, string>, ...argv: string[]): Promise<Result> {
  const [stdout, stderr] = [new Collector(), new Collector()];
  const code = await run(argv, { stdout, stderr, env });
  return { code, out: stdout.text, err: stderr.text };
}

export interface TestCli extends TestApi {
  /** Runs a command; its arguments are separated by blanks. */
  cli(line: string): Promise<Result>;
  /** As cli(), for what must succeed; answers the output. */
  ok(line: string): Promise<string>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into objects of all shapes
  json(line: string): Promise<any>;
}

export async function startCli(): Promise<TestCli> {
  const api = await startApi();
  const cli = (line: string): Promise<Result> =>
    sluice({ SLUICE_SOCKET: api.socket, PATH: process.env.PATH ?? '' }, ...line.split(' '));
  const ok = async (line: string): Promise<string> => {
    const { code, out, err } = await cli(line);
    if (code !== 0 || err !== '') throw new Error(`sluice ${line}: ${code}: ${err}`);
    return out;
  };
  return { ...api, cli, ok, json: async (line) => JSON.parse(await ok(line)) };
}
