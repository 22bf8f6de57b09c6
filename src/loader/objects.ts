// SPDX-License-Identifier: Apache-2.0
/** The object files, which of them a kernel gets, and the constants that choose between their variants. */
import type { Config } from '../maps/generated/types.js';
import type { KernelFeatures } from './features.js';

/** Has every map that programs share, and no program. */
export const MAPS_OBJECT = 'abi';
/** Has the programs of src/loader/guards.ts. */
export const GUARDS_OBJECT = 'guard';
/** The program; its object is one of KernelFeatures.collector. */
export const COLLECTOR = 'collector';

/** Constants that a device or the configuration decides; each is 0 or 1. */
const CHOICES = ['l3_device', 'exempt', 'socket_services'] as const;
type Choice = (typeof CHOICES)[number];

export interface ObjectFile {
  /** dist/bpf/NAME.bpf.o */
  readonly name: string;
  /** False: when a device first needs it. */
  readonly atStart: boolean;
  /** Those that its code depends on. */
  readonly choices: readonly Choice[];
}

/** Only where the kernel takes programs on cgroups: elsewhere it refuses to load them. */
const ON_SOCKETS: readonly ObjectFile[] = ['socket4', 'socket6'].map((name) => ({
  name,
  atStart: true,
  choices: ['socket_services'],
}));

/** What this kernel gets. */
export function objectFiles(features: Pick<KernelFeatures, 'socketHooks' | 'collector'>): ObjectFile[] {
  return [
    { name: 'endpoint_ingress', atStart: true, choices: ['exempt'] },
    { name: features.collector, atStart: true, choices: [] },
    { name: 'bridge_egress', atStart: true, choices: [] },
    { name: 'uplink_ingress', atStart: true, choices: ['l3_device'] },
    { name: 'uplink_egress', atStart: true, choices: ['l3_device'] },
    { name: 'reassembly_ingress', atStart: true, choices: [] },
    { name: GUARDS_OBJECT, atStart: true, choices: [] },
    { name: 'uplink_xdp', atStart: false, choices: ['exempt'] },
    ...(features.socketHooks.cgroup === null ? [] : ON_SOCKETS),
  ];
}

/** The constants that tell the programs what this kernel has. */
export function kernelConstants(
  features: Pick<KernelFeatures, 'kernCtx' | 'csumIpv6' | 'fibFlags' | 'hostConntrack'>,
): Partial<Config> {
  return {
    kern_ctx: features.kernCtx ? 1 : 0,
    csum_ipv6: features.csumIpv6,
    fib_flags: features.fibFlags,
    host_conntrack: features.hostConntrack ? 1 : 0,
  };
}

/** Every combination of the constants that an object's code depends on. */
export function variantsOf({ choices }: ObjectFile): Partial<Record<Choice, number>>[] {
  return choices.reduce<Partial<Record<Choice, number>>[]>(
    (found, choice) =>
      found.flatMap((constants) => [0, 1].map((value) => ({ ...constants, [choice]: value }))),
    [{}],
  );
}
