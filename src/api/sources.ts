// SPDX-License-Identifier: Apache-2.0
/** What the API asks of the running daemon beside the model; the daemon wires the implementations. */
import type { ConntrackStats } from './schemas/conntrack.js';
import type {
  AdoptionObject,
  DockerStatusObject,
  OrphanObject,
  OrphansPrunedObject,
} from './schemas/docker.js';
import type { RestoredObject } from './schemas/state.js';
import type { Status } from './schemas/status.js';

/** The daemon's account of itself. Names of objects and their number are added by the API. */
export interface StatusSource {
  status(): Promise<StatusReport>;
}
export type StatusReport = Omit<Status, 'problems' | 'objects' | 'docker'> & {
  readonly problems: Omit<Status['problems'][number], 'name'>[];
};

/** One flow, of which the tables hold two halves; told from the side of who opened it. */
export interface FlowRecord {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'sctp';
  /** As the first packet carried them when it reached us. Ports of an echo: identifier and 0. */
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** As it carried them when it left us; equal to the above where nothing was translated. */
  readonly translatedSource: string;
  readonly translatedSourcePort: number;
  readonly translatedDestination: string;
  readonly translatedDestinationPort: number;
  /** `host`: the host's own, translated to keep clear of a container's. */
  readonly direction: 'inbound' | 'outbound' | 'local' | 'host';
  /** Id of the endpoint; null: of none, or of one that has left. */
  readonly endpoint: string | null;
  /** Id of the service that it was opened through, and of its backend's endpoint; null: none, or gone. */
  readonly service: string | null;
  readonly backend: string | null;
  readonly state: 'new' | 'answered' | 'established' | 'closing' | 'reset';
  /** `proven`: in the table that never evicts. */
  readonly tier: 'proven' | 'new';
  readonly ageSeconds: number;
  readonly idleSeconds: number;
}

/** All that are given must fit; absent fits anything. */
export interface FlowFilter {
  /** Any of the flow's four addresses. */
  readonly address?: string;
  /** Any of the flow's four ports. */
  readonly port?: number;
  /** Id of the endpoint. */
  readonly endpoint?: string;
  readonly protocol?: FlowRecord['protocol'];
  /** Id of the service. */
  readonly service?: string;
}

export type StateStatus = Status['state'];

export interface StateSource {
  /** As of this moment; `done` is to be called when all of it was read. */
  backup(): Promise<{ lines: Iterable<string>; done: () => void }>;
  /** Refuses what cannot be restored. */
  check(text: string): RestoredObject;
  /** The state is the backup's once `restart` was called. */
  restore(text: string): Promise<{ restored: RestoredObject; restart: () => void }>;
}

export interface ConntrackSource {
  /** Each flow once. The consumer may stop early (`return`), and is slow at times. */
  flows(filter: FlowFilter): AsyncIterable<FlowRecord>;
  /** Forgets flows, both halves; answers how many. The next packet of one counts as a first. */
  flush(filter: FlowFilter): Promise<number>;
  stats(): Promise<ConntrackStats>;
}

/** What a backend got, or a service's backends together. Monotonic but for `active`. */
export interface Figures {
  /** How often it was chosen: neither affinity nor an earlier choice counts. */
  readonly picks: number;
  /** Opened, packet by packet. */
  readonly flows: number;
  /** Connections of sockets that were translated as they connected; their packets are not counted. */
  readonly sockets: number;
  readonly packets: number;
  readonly bytes: number;
  /** Flows open, as of the collector's last pass. */
  readonly active: number;
}

export interface ServiceStatsSource {
  /** Of the service with this id; null: it has no address. */
  of(service: string): {
    /** Those that have left included. */
    readonly total: Figures;
    /** By reason. */
    readonly refused: Readonly<Record<string, number>>;
    /** By the endpoint's id. */
    readonly backends: ReadonlyMap<string, Figures>;
  } | null;
}

/** The Docker Engine that the daemon follows. What it has to ask for fails with `unavailable` while it is away. */
export interface DockerSource {
  status(): DockerStatusObject;
  readonly containers: {
    /** The container of an endpoint; null: not Docker's, or not seen yet. */
    ofEndpoint(endpoint: {
      readonly id: string;
    }): { readonly id: string; readonly name: string; readonly network: string } | null;
  };
  readonly networks: {
    /** Docker's name of a network; null: not Docker's, or not seen yet. */
    of(network: { readonly id: string }): string | null;
  };
  /** What we keep for Docker and Docker does not know any more. */
  orphans(): Promise<OrphanObject[]>;
  prune(): Promise<OrphansPrunedObject>;
  /** What it takes to move a network of Docker's to Sluice; changes nothing. */
  adoption(network: string, options: { keepAddresses: boolean }): Promise<AdoptionObject>;
}
