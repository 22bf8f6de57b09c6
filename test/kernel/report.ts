// SPDX-License-Identifier: Apache-2.0
/** What the load gate finds on one kernel; a guest prints it as one line of JSON. */

export interface LoadResult {
  readonly object: string;
  /** The constants that were set: "l3_device=1", or "" where the object has no variants. */
  readonly variant: string;
  readonly milliseconds: number;
  /** null: loaded. Else what the kernel or libbpf says, its telling line first. */
  readonly refused: string | null;
  readonly programs: readonly ProgramResult[];
}

export interface ProgramResult {
  readonly name: string;
  /** Instructions that the verifier went through. */
  readonly instructions: number;
}

export interface AttachResult {
  /** As test names have it: "endpoint_ingress by tcx". */
  readonly what: string;
  /** null: attached, and seen by the system's own tool. */
  readonly refused: string | null;
  /** What the kernel lacks, where that is known beforehand and something else is used. */
  readonly lacks: string | null;
}

export interface GateReport {
  readonly release: string;
  readonly features: Readonly<Record<string, unknown>>;
  readonly loads: readonly LoadResult[];
  readonly attachments: readonly AttachResult[];
}

/** Of the verifier's limit of 1,000,000: kernels differ by more than the rest. */
export const MOST_INSTRUCTIONS = 500_000;

export function variantName(constants: Readonly<Record<string, number | undefined>>): string {
  return Object.entries(constants)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** Programs on a device's tc hooks, and where. */
export const TC_PROGRAMS = {
  endpoint_ingress: 'ingress',
  bridge_egress: 'egress',
  uplink_ingress: 'ingress',
  uplink_egress: 'egress',
  reassembly_ingress: 'ingress',
} as const;
export const XDP_PROGRAM = 'uplink_xdp';
export const DEFRAGMENTATION = 'a netfilter link for defragmentation';
