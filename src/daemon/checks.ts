// SPDX-License-Identifier: Apache-2.0
/** What the daemon needs of the machine, each refused in one line with the way out. */
import { execFileSync } from 'node:child_process';
import { accessSync, existsSync, mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { SluiceError } from '../base/errors.js';

/** linux/capability.h */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const;
const BPF_FS_MAGIC = 0xcafe4a11;
const OLDEST_KERNEL = [6, 1] as const;

function lacking(message: string, hint: string, cause?: unknown): SluiceError {
  return new SluiceError('environment', message, { hint, ...(cause === undefined ? {} : { cause }) });
}

export function checkKernel(version = release(), btf = '/sys/kernel/btf/vmlinux'): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [wantMajor, wantMinor] = OLDEST_KERNEL;
  if (major < wantMajor || (major === wantMajor && minor < wantMinor)) {
    throw lacking(`Linux ${version} is too old`, `run Linux ${wantMajor}.${wantMinor} or newer`);
  }
  if (!existsSync(btf)) {
    throw lacking(`the kernel has no type information (${btf})`, 'run a kernel with CONFIG_DEBUG_INFO_BTF=y');
  }
}

export function checkCapabilities(status = readFileSync('/proc/self/status', 'utf8')): void {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const missing = Object.entries(CAPABILITIES)
    .filter(([, bit]) => (effective & (1n << BigInt(bit))) === 0n)
    .map(([name]) => name);
  if (missing.length > 0) throw lacking(`this process lacks ${missing.join(', ')}`, 'run sluiced as root');
}

/** The objects and the addon are made by the set-up. */
export function checkBuild(root: string, objects: readonly string[]): void {
  const needed = ['src/native/build/Release/sluice_native.node', ...objects.map((o) => `dist/bpf/${o}.bpf.o`)];
  const missing = needed.find((path) => !existsSync(join(root, path)));
  if (missing === undefined) return;
  throw lacking(`${join(root, missing)} is not built`, 'run npm run setup (it needs clang and libbpf-dev)');
}

/** Where nothing is mounted yet, a bpffs is. */
export function prepareBpffs(directory: string): void {
  let existing = directory;
  while (!existsSync(existing)) existing = dirname(existing);
  if (statfsSync(existing).type !== BPF_FS_MAGIC) {
    const point = dirname(directory) === '/sys/fs/bpf' ? '/sys/fs/bpf' : directory;
    try {
      mkdirSync(point, { recursive: true });
      execFileSync('mount', ['-t', 'bpf', 'bpf', point], { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (e) {
      throw lacking(`cannot mount a bpffs at ${point}`, `mount one: mount -t bpf bpf ${point}`, e);
    }
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (e) {
    throw lacking(`cannot make ${directory}`, 'choose another --bpffs; its names hold no dots', e);
  }
}

export function prepareStateDir(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    accessSync(directory, 2 | 4);
  } catch (e) {
    throw lacking(`cannot use the state directory ${directory}`, 'choose another one with --state-dir', e);
  }
}
