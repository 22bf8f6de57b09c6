// SPDX-License-Identifier: Apache-2.0
/** Hosts that are set up in another way than most: guest/configuration.sh brings about what the boot does not. */
import type { MachineOptions } from './machine.js';

export interface Configuration extends Pick<MachineOptions, 'commandLine' | 'memoryMb' | 'processors'> {
  readonly name: string;
  /** For docs/KERNELS.md. */
  readonly about: string;
}

export const CONFIGURATIONS: readonly Configuration[] = [
  { name: 'plain', about: 'as a fresh Debian has it' },
  { name: 'no-ipv6', about: '`ipv6.disable=1`', commandLine: 'ipv6.disable=1' },
  { name: 'ipv6-sysctl', about: '`net.ipv6.conf.all.disable_ipv6=1`' },
  { name: 'no-bpffs', about: 'no bpffs mounted' },
  { name: 'no-modules', about: 'modules cannot be loaded (`kernel.modules_disabled=1`)' },
  { name: 'no-veth', about: 'no module veth' },
  { name: 'no-conntrack', about: 'no module nf_conntrack' },
  { name: 'no-jit', about: '`net.core.bpf_jit_enable=0`' },
  { name: 'jit-harden', about: '`net.core.bpf_jit_harden=2`' },
  { name: 'cgroup-v1', about: 'controllers of cgroup v1 only' },
  { name: 'cgroup-hybrid', about: 'cgroup v1, and v2 at /sys/fs/cgroup/unified' },
  { name: 'no-cgroup', about: 'no cgroup mounted' },
  {
    name: 'lockdown-integrity',
    about: '`lockdown=integrity`',
    commandLine: 'lsm=lockdown,capability lockdown=integrity',
  },
  {
    name: 'lockdown-confidentiality',
    about: '`lockdown=confidentiality`',
    commandLine: 'lsm=lockdown,capability lockdown=confidentiality',
  },
  { name: 'proc-sys-read-only', about: '/proc/sys read-only' },
  { name: 'small', about: '1 GB of memory', memoryMb: 1024 },
  { name: 'possible-cpus', about: '64 possible processors, 1 online', processors: '1,maxcpus=64' },
  { name: 'br-netfilter', about: 'br_netfilter loaded, policy DROP for what is forwarded' },
];
