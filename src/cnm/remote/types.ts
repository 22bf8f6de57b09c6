// SPDX-License-Identifier: Apache-2.0
/** What another engine says of its networks and endpoints. */
import { createHash } from 'node:crypto';
import type { WantedPort } from '../records.js';
import type { NetworkCreate } from '../types.js';

export interface RemoteNetwork extends Pick<NetworkCreate, 'driver' | 'subnets' | 'internal' | 'options'> {
  /** Ours too: see remoteId(). */
  readonly id: string;
}

export interface RemoteEndpoint {
  readonly id: string;
  readonly network: string;
  readonly ipv4: string;
  readonly ipv6: string | null;
  /** null: to be derived. */
  readonly mac: string | null;
  readonly ports: readonly WantedPort[];
}

/** What the other engine is to take into its container. */
export interface RemoteInterface {
  readonly name: string;
  /** null: this network has no way out. */
  readonly gateway4: string | null;
  readonly gateway6: string | null;
  readonly internal: boolean;
}

/** Whose ids are 64 hexadecimal digits keeps them; others, such as those of swarm networks, become such. */
export function remoteId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id : createHash('sha256').update(id).digest('hex');
}
