// SPDX-License-Identifier: Apache-2.0
/** What this process may do, and why the kernel might still say EPERM. */
import { readFileSync } from 'node:fs';

/** linux/capability.h; namespaces are mounted and entered with CAP_SYS_ADMIN. */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const;

/** Text of a file of proc or sysfs; '' where there is none, or none that may be read. */
export type ReadFacts = (path: string) => string;

export const readFacts: ReadFacts = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Of those that the daemon needs. */
export function missingCapabilities(read: ReadFacts = readFacts): string[] {
  const status = read('/proc/self/status');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return Object.entries(CAPABILITIES)
    .filter(([, bit]) => (effective & (1n << BigInt(bit))) === 0n)
    .map(([name]) => name);
}

/** What to do about EPERM, by what is known of this process and this host. */
export function explainEperm(read: ReadFacts = readFacts): string {
  const missing = missingCapabilities(read);
  if (missing.length > 0) return `this process lacks ${missing.join(', ')}: run sluiced as root`;
  if (!/^\s*0\s+0\s+4294967295$/m.test(read('/proc/self/uid_map')))
    return 'this process is root in a user namespace only, where the kernel takes no such programs: run sluiced as root of the host';
  const lockdown = /\[(integrity|confidentiality)\]/.exec(read('/sys/kernel/security/lockdown'))?.[1];
  if (lockdown !== undefined)
    return `the kernel is locked down (lockdown=${lockdown}), which may be why: see its log (dmesg)`;
  return 'a security module or a seccomp filter forbids it: see the audit log, and the rights of the unit or container';
}
