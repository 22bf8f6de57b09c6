// SPDX-License-Identifier: Apache-2.0
/**
 * One virtual machine: this machine's root under another kernel, emulated (TCG),
 * because stock kernels do not boot on every KVM and need not have one.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDirectory, type UnpackedKernel } from './packages.js';

/** Debian 12's is QEMU's own; later ones are a program of their own, with options of their own. */
const VIRTIOFSD = [
  { path: '/usr/lib/qemu/virtiofsd', options: ['-o', 'source=/,cache=always,no_posix_lock,sandbox=chroot'] },
  { path: '/usr/libexec/virtiofsd', options: ['--shared-dir=/', '--cache=always', '--sandbox=chroot'] },
] as const;

export type Task = 'gate' | 'smoke' | 'configuration' | 'tests';

export interface MachineOptions {
  readonly checkout: string;
  readonly task: Task;
  readonly argument?: string;
  /** More of the kernel's command line. */
  readonly commandLine?: string;
  readonly memoryMb?: number;
  /** QEMU's -smp. More than one processor makes 7.3 panic under TCG of QEMU 7.2. */
  readonly processors?: string;
  readonly timeoutMs: number;
}

export interface Outcome {
  /** What the task printed. */
  readonly results: string;
  /** What the kernel, and all else in the guest, said. */
  readonly console: string;
  readonly seconds: number;
}

/** Ended with us, however we end. */
function start(command: string, args: readonly string[]): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A directory for one run, named after this process; those of processes that were killed go. */
function runDirectory(): string {
  const all = join(cacheDirectory(), 'runs');
  mkdirSync(all, { recursive: true });
  for (const name of readdirSync(all))
    if (!alive(Number(name.split('-')[0]))) rmSync(join(all, name), { recursive: true, force: true });
  return mkdtempSync(join(all, `${process.pid}-`));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Boots the kernel, has the guest do its task, and answers what it said when it has powered off. */
export async function runMachine(kernel: UnpackedKernel, options: MachineOptions): Promise<Outcome> {
  const daemon = VIRTIOFSD.find(({ path }) => existsSync(path));
  if (daemon === undefined)
    throw new Error(
      `there is no virtiofsd (${VIRTIOFSD.map(({ path }) => path).join(', ')}): npm run setup -- --tests`,
    );
  const begun = Date.now();
  const work = runDirectory();
  const children: ChildProcess[] = [];
  // a test runner that is interrupted leaves its workers to themselves: the guest ends with this process
  const abandoned = (): void => {
    rmSync(work, { recursive: true, force: true });
    process.exit(1);
  };
  process.once('disconnect', abandoned);
  try {
    const [initramfs, socket, results] = ['initramfs.gz', 'fs.sock', 'results'].map((name) =>
      join(work, name),
    ) as [string, string, string];
    const script = join(options.checkout, 'test/kernel/lab/initramfs.sh');
    execFileSync('bash', [script, kernel.directory, kernel.release, options.checkout, initramfs]);
    const files = start(daemon.path, [`--socket-path=${socket}`, ...daemon.options]);
    children.push(files);
    let filesSaid = '';
    for (const stream of [files.stdout, files.stderr])
      stream?.on('data', (text: Buffer) => {
        filesSaid = (filesSaid + text).slice(-2000);
      });
    const until = Date.now() + 60_000;
    while (!existsSync(socket)) {
      if (files.exitCode !== null || Date.now() > until)
        throw new Error(`virtiofsd did not start: ${filesSaid}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const memory = `${options.memoryMb ?? 2048}M`;
    const commandLine = [
      'console=ttyS0 quiet panic=-1 mitigations=off',
      `sluice.task=${options.task}`,
      options.argument === undefined ? '' : `sluice.argument=${options.argument}`,
      options.commandLine ?? '',
    ];
    const machine = start('qemu-system-x86_64', [
      ...['-accel', 'tcg,tb-size=256', '-cpu', 'max', '-smp', options.processors ?? '1', '-m', memory],
      ...['-object', `memory-backend-memfd,id=memory,size=${memory},share=on`, '-numa', 'node,memdev=memory'],
      ...['-chardev', `socket,id=files,path=${socket}`],
      ...['-device', 'vhost-user-fs-pci,queue-size=1024,chardev=files,tag=host', '-device', 'virtio-rng-pci'],
      ...['-display', 'none', '-monitor', 'none', '-nic', 'none', '-no-reboot'],
      ...['-serial', 'stdio', '-serial', `file:${results}`],
      ...['-kernel', kernel.image, '-initrd', initramfs, '-append', commandLine.join(' ').trim()],
    ]);
    children.push(machine);
    let console = '';
    for (const stream of [machine.stdout, machine.stderr])
      stream?.on('data', (text: Buffer) => {
        console += text;
      });
    const timer = setTimeout(() => {
      console += `\nlab: no end after ${options.timeoutMs / 1000} s`;
      machine.kill('SIGKILL');
    }, options.timeoutMs);
    await once(machine, 'close');
    clearTimeout(timer);
    return {
      results: existsSync(results) ? readFileSync(results, 'utf8') : '',
      console,
      seconds: (Date.now() - begun) / 1000,
    };
  } finally {
    process.off('disconnect', abandoned);
    for (const child of children) await end(child);
    rmSync(work, { recursive: true, force: true });
  }
}
