// SPDX-License-Identifier: Apache-2.0
/**
 * A Docker daemon of a test's own: its data, its containerd, its socket, in a
 * network namespace of its own, without iptables. Whatever it made is gone when
 * it is stopped.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Background, must, type Result, run, until } from './process.js';

export interface DockerdOptions {
  /** Network namespace to run in; default: one of its own. */
  readonly netns?: string;
  /** Further arguments of dockerd. */
  readonly args?: readonly string[];
}

export interface Dockerd {
  readonly socket: string;
  readonly netns: string;
  readonly directory: string;
  /** `docker` with these arguments; throws where it fails. */
  run(...args: string[]): string;
  /** As run, for what may fail. */
  try(...args: string[]): Result;
  /** Ends dockerd as `signal` does and starts it again over the same data. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

/** The image that containers are made from: busybox, and nothing else. */
export const IMAGE = 'busybox:test';

/** Debian's client beside its daemon: a newer one may speak versions that the daemon does not. */
const DOCKER = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';

export async function start(options: DockerdOptions = {}): Promise<Dockerd> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-dockerd-'));
  const netns = options.netns ?? `dockerd-${process.pid}-${directory.slice(-6)}`;
  const socket = join(directory, 'docker.sock');
  const client = (args: readonly string[]): string[] => [DOCKER, '-H', `unix://${socket}`, ...args];
  let daemon: Background | null = null;

  const launch = async (): Promise<void> => {
    const command = [
      'dockerd',
      ...['--data-root', join(directory, 'data'), '--exec-root', join(directory, 'exec')],
      ...['--pidfile', join(directory, 'pid'), '--host', `unix://${socket}`],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs'],
      ...(options.args ?? []),
    ];
    daemon = new Background(netns, command);
    const started = daemon;
    await until(
      () => {
        if (started.ended) throw new Error(`dockerd ended: ${started.err.slice(-2000)}`);
        return run(null, client(['version', '--format', 'ok'])).code === 0;
      },
      'dockerd answers',
      30_000,
    );
  };

  const stop = async (): Promise<void> => {
    const running = daemon !== null && !daemon.ended;
    if (running) {
      const left = run(null, client(['ps', '-aq']))
        .out.split('\n')
        .filter(Boolean);
      if (left.length > 0) run(null, client(['rm', '--force', '--volumes', ...left]));
    }
    await daemon?.stop();
    // Where dockerd was killed before, its containerd may have outlived it.
    endContainerd(join(directory, 'exec', 'containerd', 'containerd.pid'));
    for (const mount of mountsUnder(directory)) run(null, ['umount', '--lazy', mount]);
    if (options.netns === undefined) run(null, ['ip', 'netns', 'del', netns]);
    rmSync(directory, { recursive: true, force: true });
  };

  try {
    if (options.netns === undefined) {
      must(null, ['ip', 'netns', 'add', netns]);
      must(netns, ['ip', 'link', 'set', 'lo', 'up']);
    }
    await launch();
    importBusybox(directory, client(['import', '-', IMAGE]));
  } catch (e) {
    await stop();
    throw e;
  }
  return {
    socket,
    netns,
    directory,
    run: (...args) => must(null, client(args)).trim(),
    try: (...args) => run(null, client(args)),
    restart: async (signal = 'SIGTERM') => {
      await daemon?.stop(signal);
      rmSync(socket, { force: true });
      await launch();
    },
    stop,
  };
}

function importBusybox(directory: string, command: readonly string[]): void {
  const root = join(directory, 'root');
  mkdirSync(join(root, 'bin'), { recursive: true });
  const busybox = must(null, ['sh', '-c', 'command -v busybox']).trim();
  must(null, ['cp', '-L', busybox, join(root, 'bin', 'busybox')]);
  for (const name of ['sh', 'sleep', 'cat', 'test', 'touch', 'rm', 'nc', 'ip', 'wget', 'httpd']) {
    symlinkSync('busybox', join(root, 'bin', name));
  }
  must(null, ['sh', '-c', `tar -C "$0" -c . | "$@"`, root, ...command]);
}

function endContainerd(pidFile: string): void {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('containerd')) process.kill(pid, 'SIGTERM');
  } catch {
    // It ended with its dockerd.
  }
}

/** Innermost first. */
function mountsUnder(directory: string): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${directory}/`))
    .sort((a, b) => b.length - a.length);
}
