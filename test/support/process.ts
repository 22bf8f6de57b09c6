// SPDX-License-Identifier: Apache-2.0
/** Commands and servers inside network namespaces; whatever is started is ended. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

export interface Result {
  code: number;
  out: string;
  err: string;
}

const prefix = (netns: string | null): string[] =>
  netns === null ? [] : ['nsenter', `--net=/run/netns/${netns}`];

/** Runs to the end; never throws for an exit code. */
export function run(netns: string | null, command: string[], input = ''): Result {
  const [file, ...rest] = [...prefix(netns), ...command];
  const r = spawnSync(file as string, rest, {
    encoding: 'utf8',
    input,
    timeout: 60_000,
    maxBuffer: 64 << 20,
  });
  return { code: r.status ?? 128, out: r.stdout ?? '', err: r.stderr ?? '' };
}

/** As run, for what has to succeed; answers its output. */
export function must(netns: string | null, command: string[], input = ''): string {
  const r = run(netns, command, input);
  if (r.code !== 0) throw new Error(`${command.join(' ')}: exit ${r.code}: ${r.err}${r.out}`);
  return r.out;
}

export function json<T>(netns: string | null, command: string[]): T {
  return JSON.parse(must(netns, command) || '[]') as T;
}

export class Background {
  readonly child: ChildProcess;
  out = '';
  err = '';

  constructor(netns: string | null, command: string[], options: { cwd?: string } = {}) {
    const [file, ...rest] = [...prefix(netns), ...command];
    this.child = spawn(file as string, rest, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.child.stdout?.on('data', (d: Buffer) => {
      this.out += d.toString();
    });
    this.child.stderr?.on('data', (d: Buffer) => {
      this.err += d.toString();
    });
  }

  get pid(): number {
    return this.child.pid as number;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits until its output (either stream) matches. */
  async says(pattern: RegExp, ms = 40_000): Promise<void> {
    const until = Date.now() + ms;
    while (!pattern.test(this.out + this.err)) {
      if (this.ended || Date.now() > until)
        throw new Error(`${this.child.spawnargs.join(' ')} did not say ${pattern}: ${this.out}${this.err}`);
      await sleep(20);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    if (!this.ended) {
      this.child.kill(signal);
      await once(this.child, 'exit');
    }
    return this.child.exitCode ?? 128;
  }

  async end(): Promise<number> {
    if (!this.ended) await once(this.child, 'exit');
    return this.child.exitCode ?? 128;
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 20_000,
): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`gave up waiting until ${what}`);
    await sleep(50);
  }
}

export function have(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}
