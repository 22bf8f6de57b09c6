// SPDX-License-Identifier: Apache-2.0
import type { Attachment, ContainerInspect } from '../shapes.js';
import type { RunCommand } from './run.js';

/** `connect`: while it runs. `recreate`: a new container in its place. `compose`: Compose makes it anew. */
export type Move = 'connect' | 'recreate' | 'compose';

export interface AdoptedContainer {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Its user asked for these addresses. */
  readonly fixedAddress: boolean;
  readonly ports: string[];
  /** Compose's; null: none. */
  readonly project: string | null;
  readonly move: Move;
}

export interface Step {
  readonly what: string;
  readonly commands: string[];
}

export interface Adoption {
  readonly network: {
    readonly id: string;
    readonly name: string;
    readonly subnets: { subnet: string; gateway: string; ipRange: string }[];
    readonly internal: boolean;
    readonly ipv6: boolean;
    readonly options: Record<string, string>;
    readonly labels: Record<string, string>;
  };
  /** Name of the network that takes its place. */
  readonly target: string;
  readonly containers: AdoptedContainer[];
  readonly steps: Step[];
  /** How to undo them, from any step on. */
  readonly back: Step[];
  readonly warnings: string[];
}

export interface AdoptOptions {
  /** The same name, subnets and addresses: the old network has to go first, and every container is cut off meanwhile. */
  readonly keepAddresses: boolean;
}

export interface Moved {
  readonly container: ContainerInspect;
  readonly attachment: Attachment;
  readonly view: AdoptedContainer;
  /** null: it is not made anew here. */
  readonly run: RunCommand | null;
}

export const DEFAULT_BRIDGE = 'bridge';
/** Compose's label of its project; its others begin with it. */
export const PROJECT = 'com.docker.compose.project';
