// SPDX-License-Identifier: Apache-2.0
/**
 * A driver turns intent into desired rows. It looks at nothing but its
 * arguments, so that a plan can be made without doing it.
 */
import type { Family } from '../../base/addresses.js';
import type { EndpointRecord, JoinRecord, NetworkRecord, SandboxRecord } from '../records.js';
import type { Row } from '../rows.js';
import type { EndpointCreate, NetworkCreate } from '../types.js';

/** The host's link that a network is on. */
export interface Parent {
  readonly link: string;
  /** It serves no other network, and that one has one endpoint. */
  readonly exclusive: boolean;
}

/** A joined endpoint and all that its rows depend on. */
export interface EndpointContext {
  readonly network: NetworkRecord;
  readonly endpoint: EndpointRecord;
  readonly join: JoinRecord;
  readonly sandbox: SandboxRecord;
  /** The families of which the sandbox's default route goes through it. */
  readonly defaultRoutes: readonly Family[];
  /** What is handed over to another engine is made only while it joins. */
  readonly joining: boolean;
}

export interface Driver {
  readonly name: string;
  /** A node has at most one network of it. */
  readonly single: boolean;
  /** Its endpoint is the only one of its sandbox. */
  readonly alone: boolean;
  /** Its networks have subnets, its endpoints addresses and links inside their sandboxes. */
  readonly addressed: boolean;
  /** Its networks and endpoints have a place in the dataplane, and links of the host. */
  readonly dataplane: boolean;
  /** Throws SluiceError for what the driver cannot do; subnets aside. */
  validateNetwork(request: NetworkCreate): void;
  /** Likewise. */
  validateEndpoint(request: Omit<EndpointCreate, 'name'>, network: NetworkRecord): void;
  /** Throws if endpoints of this network cannot be in that sandbox. */
  validateJoin(network: NetworkRecord, sandbox: SandboxRecord): void;
  /** The host's link of a network, asked for or derived from its id; null: none. */
  linkName(id: string, options: Readonly<Record<string, string>>): string | null;
  /** null: its networks are on no link of the host that was there before. */
  parent(options: Readonly<Record<string, string>>): Parent | null;
  /** Publishes without a host address get this one; '' is every address. */
  defaultHostIp(network: Pick<NetworkRecord, 'options'>): string;
  planNetwork(network: NetworkRecord): Row[];
  planEndpoint(context: EndpointContext): Row[];
}
