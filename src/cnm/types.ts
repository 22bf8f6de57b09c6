// SPDX-License-Identifier: Apache-2.0
/**
 * The objects of the Container Network Model as users see them (the shapes of
 * the REST API), and the intent that the store keeps of each.
 */

export interface Subnet {
  /** Network address and prefix length, `10.64.0.0/24`. */
  cidr: string;
  gateway: string | null;
  /** Addresses are handed out from this part of the subnet; null: all of it. */
  ipRange: string | null;
}

/** Who made an object, and may remove it. */
export type Origin = 'sluice' | 'docker';

export interface Network {
  id: string;
  name: string;
  driver: string;
  subnets: Subnet[];
  internal: boolean;
  ipv6: boolean;
  options: Record<string, string>;
  labels: Record<string, string>;
  /** The host's link for it; null where the driver makes none. */
  interface: string | null;
  origin: Origin;
  created: string;
  /** Of its creation alone: what the user should know and may have meant. */
  warnings?: string[];
}

export interface Sandbox {
  id: string;
  name: string;
  /** Path of the namespace. */
  netns: string;
  /** True: we made the namespace and remove it. */
  owned: boolean;
  dns: string[];
  dnsSearch: string[];
  hostname: string;
  /** Names of the endpoints inside, in the order they joined. */
  endpoints: string[];
  origin: Origin;
  created: string;
}

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** A published port or range. */
export interface PortMapping {
  /** '' is every address of the host, `0.0.0.0` every IPv4 and `::` every IPv6 address. */
  hostIp: string;
  hostPort: number;
  hostPortEnd: number;
  port: number;
  portEnd: number;
  protocol: Protocol;
  /** Sources that may use it, CIDR; empty: all. */
  allow: string[];
}

export interface Endpoint {
  id: string;
  name: string;
  /** Names, not ids. */
  network: string;
  sandbox: string | null;
  ipv4: string | null;
  ipv6: string | null;
  mac: string;
  /** Name inside the sandbox; null until joined, and where Docker gives it one. */
  interface: string | null;
  hostInterface: string | null;
  ports: PortMapping[];
  aliases: string[];
  labels: Record<string, string>;
  /** `created`: not joined; `error` carries the reason in `error`. */
  state: 'created' | 'joined' | 'error';
  error: string | null;
  origin: Origin;
  created: string;
}

/** A port of a service's address, and where its backends listen for it. */
export interface ServicePort {
  port: number;
  backendPort: number;
  protocol: Protocol;
}

/** A host port that leads to a port of the service. */
export interface ServicePublish {
  hostPort: number;
  port: number;
  protocol: Protocol;
}

export type Algorithm = 'random' | 'maglev';

/**
 * `starting`: no flows yet. `active`: new flows. `draining`: keeps its flows and
 * gets no new ones. `gone`: not running; its container may start again.
 */
export type BackendState = 'starting' | 'active' | 'draining' | 'gone';

export interface Backend {
  /** Name; null: none of our networks leads to it. */
  endpoint: string | null;
  /** Whose labels made it one; null: it was added, or a selector chose it. */
  container: { id: string; name: string } | null;
  weight: number;
  state: BackendState;
  /** null: nobody checks it. */
  healthy: boolean | null;
}

/** A backend by its container's labels. */
export interface DeclaredBackend {
  container: { id: string; name: string };
  /** Ids of the container's endpoints on networks of ours, in the container's order. */
  endpoints: string[];
  weight: number;
  state: BackendState;
  healthy: boolean | null;
}

/** How the backends are checked from the host; times in seconds. */
export interface HealthCheck {
  /** `tcp`: the port opens. `http`: a GET of the path answers 200 to 399. */
  kind: 'tcp' | 'http';
  /** null: that of the service's first port. */
  port: number | null;
  path: string;
  interval: number;
  timeout: number;
  /** So many failures in a row make a backend unhealthy. */
  retries: number;
}

/** A backend that is to be checked; references are ids. */
export interface HealthTarget {
  readonly service: string;
  readonly endpoint: string;
  /** Of its join: who comes back is another one. */
  readonly generation: number;
  readonly address: string;
  readonly check: HealthCheck & { readonly port: number };
  /** It gets new flows already, though it has not been checked. */
  readonly inUse: boolean;
}

/** `vip`: its name resolves to an address of its own; `dnsrr`: to those of its backends. */
export type ServiceMode = 'vip' | 'dnsrr';

export interface Service {
  id: string;
  name: string;
  /** Name; null: its backends are on none of ours yet. */
  network: string | null;
  mode: ServiceMode;
  /** null: it has no address. */
  vip: string | null;
  vip6: string | null;
  ports: ServicePort[];
  algorithm: Algorithm;
  /** Seconds for which a client keeps its backend; null: off. */
  affinity: number | null;
  /** Seconds without a packet until an established flow ends; null: the usual. */
  idleTimeout: number | null;
  publish: ServicePublish[];
  /** Sources that may use it, CIDR; empty: all. */
  allow: string[];
  /** Endpoints of the network with all of these labels are backends; empty: none is by its labels. */
  selector: Record<string, string>;
  /** null: nobody checks the backends, or their containers' HEALTHCHECKs do. */
  health: HealthCheck | null;
  /** Whose labels it has: the container's id and name; null: it was made by command. */
  declaredBy: { id: string; name: string } | null;
  backends: Backend[];
  created: string;
}

/** What containers declare by their labels. */
export interface ServiceIntent {
  name: string;
  ports: ServicePort[];
  algorithm: Algorithm;
  affinity: number | null;
  publish: ServicePublish[];
  allow: string[];
  declaredBy: { id: string; name: string };
  backends: DeclaredBackend[];
}

/** Requests. Absent fields take Docker's defaults. */
export interface NetworkCreate {
  name: string;
  driver?: string;
  subnets?: { cidr?: string; gateway?: string; ipRange?: string }[];
  ipv6?: boolean;
  internal?: boolean;
  ipamDriver?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
}
export interface SandboxCreate {
  name: string;
  /** Adopt this namespace instead of making one. */
  netns?: string;
  dns?: string[];
  dnsSearch?: string[];
  hostname?: string;
}
export interface EndpointCreate {
  name: string;
  /** Name, id or unique prefix. */
  network: string;
  ipv4?: string;
  ipv6?: string;
  mac?: string;
  /** PORTSPEC text, `[[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/proto]`. */
  ports?: string[];
  /** Sources that may use `ports`, CIDR or single addresses; default: all. */
  allow?: string[];
  aliases?: string[];
  labels?: Record<string, string>;
}

/** What keeps a declared service from being as its containers want it. */
export interface DeclarationProblem {
  service: string;
  about: 'service' | 'network' | 'publish';
  message: string;
}

export interface ServiceCreate {
  name: string;
  /** Name, id or unique prefix. */
  network: string;
  /** `VIPPORT[:BACKENDPORT][/proto]` each. */
  ports?: string[];
  mode?: ServiceMode;
  vip?: string;
  vip6?: string;
  algorithm?: Algorithm;
  /** Seconds; true: the usual. */
  affinity?: number | boolean;
  /** Seconds. */
  idleTimeout?: number;
  /** `HOSTPORT[:VIPPORT][/proto]` each. */
  publish?: string[];
  allow?: string[];
  selector?: Record<string, string>;
  health?: Partial<HealthCheck> & Pick<HealthCheck, 'kind'>;
  backends?: BackendAdd[];
}
export interface BackendAdd {
  /** Name, id or unique prefix. */
  endpoint: string;
  /** 0 (no new flows) to 1000; default 1. */
  weight?: number;
}
export interface BackendSet {
  weight?: number;
  drain?: boolean;
}

/** What a dry run answers: the rows that would be wanted, and nothing done. */
export interface Plan {
  dryRun: true;
  rows: import('./rows.js').Row[];
}

export interface ChangeEvent {
  /** Milliseconds since the epoch. */
  time: number;
  type: 'network' | 'sandbox' | 'endpoint' | 'service' | 'container' | 'engine' | 'link' | 'reconcile';
  action:
    | 'create'
    | 'remove'
    | 'join'
    | 'leave'
    | 'publish'
    | 'unpublish'
    | 'update'
    | 'up'
    | 'down'
    | 'repair'
    | 'error';
  id: string;
  name: string;
  /** Free detail, such as the ports of a publish. */
  attributes: Record<string, string>;
}

/**
 * The model's operations, the one interface that API, CLI server side and
 * Docker plugin use. Every method throws SluiceError. `ref` is a name, an id
 * or a unique prefix of an id. `dryRun` true answers the plan and changes
 * nothing. On failure everything the call had done is undone.
 */
export interface Cnm {
  createNetwork(req: NetworkCreate, dryRun?: false): Promise<Network>;
  createNetwork(req: NetworkCreate, dryRun: boolean): Promise<Network | Plan>;
  networks(): Network[];
  network(ref: string): Network;
  /** `force`: a network of another engine's too, which may have forgotten it. */
  removeNetwork(ref: string, dryRun?: boolean, force?: boolean): Promise<void | Plan>;
  /** Removes networks without endpoints; answers their names. */
  pruneNetworks(dryRun?: boolean): Promise<string[]>;

  createSandbox(req: SandboxCreate, dryRun?: boolean): Promise<Sandbox | Plan>;
  sandboxes(): Sandbox[];
  sandbox(ref: string): Sandbox;
  removeSandbox(ref: string, dryRun?: boolean): Promise<void | Plan>;

  createEndpoint(req: EndpointCreate, dryRun?: boolean): Promise<Endpoint | Plan>;
  endpoints(): Endpoint[];
  endpoint(ref: string): Endpoint;
  join(endpointRef: string, sandboxRef: string, dryRun?: boolean): Promise<Endpoint | Plan>;
  leave(endpointRef: string, dryRun?: boolean): Promise<Endpoint | Plan>;
  removeEndpoint(ref: string, dryRun?: boolean): Promise<void | Plan>;
  /** `allow`: as that of EndpointCreate. */
  publish(endpointRef: string, ports: string[], dryRun?: boolean, allow?: string[]): Promise<Endpoint | Plan>;
  unpublish(endpointRef: string, ports: string[], dryRun?: boolean): Promise<Endpoint | Plan>;

  /** `connect NET SANDBOX`: endpoint create + join in one, named `NET.SANDBOX` unless `name` is given. */
  connect(
    sandboxRef: string,
    req: Omit<EndpointCreate, 'name'> & { name?: string },
    dryRun?: boolean,
  ): Promise<Endpoint | Plan>;
  disconnect(networkRef: string, sandboxRef: string, dryRun?: boolean): Promise<void | Plan>;

  createService(req: ServiceCreate, dryRun?: boolean): Promise<Service | Plan>;
  /** All of them or none, in the order of the requests. */
  createServices(reqs: readonly ServiceCreate[], dryRun?: boolean): Promise<Service[] | Plan>;
  services(): Service[];
  service(ref: string): Service;
  removeService(ref: string, dryRun?: boolean): Promise<void | Plan>;
  addBackend(serviceRef: string, req: BackendAdd, dryRun?: boolean): Promise<Service | Plan>;
  removeBackend(serviceRef: string, endpointRef: string, dryRun?: boolean): Promise<Service | Plan>;
  setBackend(
    serviceRef: string,
    endpointRef: string,
    req: BackendSet,
    dryRun?: boolean,
  ): Promise<Service | Plan>;

  /** Subscribe to changes; answers the unsubscribe function. */
  onChange(listener: (e: ChangeEvent) => void): () => void;
}
