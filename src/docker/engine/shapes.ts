// SPDX-License-Identifier: Apache-2.0
/** What we read of the Engine's answers. */
import { constants } from 'node:os';
import { Document } from './document.js';

export interface EngineVersion {
  /** Of the Engine, such as 20.10.24. */
  readonly version: string;
  /** Of the API. */
  readonly api: string;
  readonly minimumApi: string | null;
}

/** A container's place in a network of Docker's. */
export interface Attachment {
  readonly name: string;
  readonly networkId: string;
  /** '': it does not run. */
  readonly endpointId: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
  readonly aliases: readonly string[];
  /** Addresses that its user asked for. */
  readonly fixedIpv4: string;
  readonly fixedIpv6: string;
}

/** null: nobody checks it. */
export type Health = 'starting' | 'healthy' | 'unhealthy' | null;

export interface ContainerSummary {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** created, running, paused, restarting, removing, exited, dead. */
  readonly state: string;
  readonly health: Health;
  /** Milliseconds since the epoch, of whole seconds. */
  readonly created: number;
  readonly networks: readonly Attachment[];
}

export interface ContainerInspect extends ContainerSummary {
  /** Milliseconds since the epoch with fraction; 0: it never ran. */
  readonly startedAt: number;
  /** Seconds between the signal to stop and SIGKILL; null: Docker's own ten. */
  readonly stopTimeout: number | null;
  readonly stopSignal: number;
  readonly image: string;
  readonly document: Document;
}

export interface NetworkInspect {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly scope: string;
  readonly internal: boolean;
  readonly ipv6: boolean;
  readonly attachable: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly ipam: {
    readonly driver: string;
    readonly options: Readonly<Record<string, string>>;
    readonly pools: readonly {
      readonly subnet: string;
      readonly gateway: string;
      readonly ipRange: string;
      readonly auxiliary: Readonly<Record<string, string>>;
    }[];
  };
  /** Absent in listings. The key is a container's id, or `ep-ENDPOINTID` while it starts. */
  readonly containers: readonly {
    readonly key: string;
    readonly name: string;
    readonly endpointId: string;
    /** With the length of the prefix; '': none. */
    readonly ipv4: string;
    readonly ipv6: string;
  }[];
}

export interface ImageInspect {
  readonly config: Document;
}

export interface EngineEvent {
  readonly type: 'container' | 'network';
  /** The word before a colon: `health_status` of `health_status: healthy`. */
  readonly action: string;
  /** What follows the colon. */
  readonly detail: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch, with fraction. */
  readonly time: number;
}

export function readVersion(value: unknown): EngineVersion {
  const document = new Document(value);
  return {
    version: document.text('Version'),
    api: document.need('ApiVersion'),
    minimumApi: document.text('MinAPIVersion') || null,
  };
}

export function readContainers(value: unknown): ContainerSummary[] {
  return list(value).map((document) => ({
    id: document.need('Id'),
    name: ownName(document.texts('Names')),
    labels: document.pairs('Labels'),
    state: document.text('State'),
    health: healthOf(/\((?:health: )?(starting|healthy|unhealthy)\)/.exec(document.text('Status'))?.[1]),
    created: (document.number('Created') ?? 0) * 1000,
    networks: attachments(document),
  }));
}

export function readContainer(value: unknown): ContainerInspect {
  const document = new Document(value);
  const state = document.object('State');
  const config = document.object('Config');
  return {
    id: document.need('Id'),
    name: document.text('Name').replace(/^\//, ''),
    labels: config.pairs('Labels'),
    state: state.text('Status'),
    health: healthOf(state.object('Health').text('Status')),
    created: Math.floor(moment(document.text('Created')) / 1000) * 1000,
    networks: attachments(document),
    startedAt: moment(state.text('StartedAt')),
    stopTimeout: config.number('StopTimeout'),
    stopSignal: signalNumber(config.text('StopSignal')),
    image: document.text('Image'),
    document,
  };
}

export function readNetworks(value: unknown): NetworkInspect[] {
  return list(value).map(network);
}

export function readNetwork(value: unknown): NetworkInspect {
  return network(new Document(value));
}

export function readImage(value: unknown): ImageInspect {
  return { config: new Document(value).object('Config') };
}

/** null: of a kind that concerns nobody here. */
export function readEvent(value: unknown): EngineEvent | null {
  const document = new Document(value);
  const type = document.text('Type');
  if (type !== 'container' && type !== 'network') return null;
  const actor = document.object('Actor');
  const [action = '', ...detail] = document.text('Action').split(':');
  return {
    type,
    action,
    detail: detail.join(':').trim(),
    id: actor.text('ID'),
    attributes: actor.pairs('Attributes'),
    time: (document.number('timeNano') ?? (document.number('time') ?? 0) * 1e9) / 1e6,
  };
}

const SIGTERM = 15;
/** Of glibc; `SIGRTMIN+3` is how systemd is asked to stop. */
const SIGRTMIN = 34;

/** As Docker reads STOPSIGNAL: a name with or without SIG, or a number. */
export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const name = `SIG${text.toUpperCase().replace(/^SIG/, '')}`;
  const realtime = /^SIGRTMIN(?:\+(\d+))?$/.exec(name);
  if (realtime) return SIGRTMIN + Number(realtime[1] ?? 0);
  return (constants.signals as Record<string, number>)[name] ?? SIGTERM;
}

function list(value: unknown): Document[] {
  if (!Array.isArray(value)) throw new Error("the Engine's answer is no list");
  return value.map((item) => new Document(item));
}

/** Links make further names, `/other/alias`; its own has one slash. */
function ownName(names: readonly string[]): string {
  const own = names.find((name) => name.lastIndexOf('/') === 0) ?? names[0] ?? '';
  return own.replace(/^\//, '');
}

function attachments(document: Document): Attachment[] {
  return document
    .object('NetworkSettings')
    .entries('Networks')
    .map(([name, attachment]) => ({
      name,
      networkId: attachment.text('NetworkID'),
      endpointId: attachment.text('EndpointID'),
      ipv4: attachment.text('IPAddress'),
      ipv6: attachment.text('GlobalIPv6Address'),
      mac: attachment.text('MacAddress'),
      aliases: attachment.texts('Aliases'),
      fixedIpv4: attachment.object('IPAMConfig').text('IPv4Address'),
      fixedIpv6: attachment.object('IPAMConfig').text('IPv6Address'),
    }));
}

function network(document: Document): NetworkInspect {
  const ipam = document.object('IPAM');
  return {
    id: document.need('Id'),
    name: document.need('Name'),
    driver: document.text('Driver'),
    scope: document.text('Scope'),
    internal: document.flag('Internal'),
    ipv6: document.flag('EnableIPv6'),
    attachable: document.flag('Attachable'),
    options: document.pairs('Options'),
    labels: document.pairs('Labels'),
    ipam: {
      driver: ipam.text('Driver'),
      options: ipam.pairs('Options'),
      pools: ipam.objects('Config').map((pool) => ({
        subnet: pool.text('Subnet'),
        gateway: pool.text('Gateway'),
        ipRange: pool.text('IPRange'),
        auxiliary: pool.pairs('AuxiliaryAddresses'),
      })),
    },
    containers: document.entries('Containers').map(([key, member]) => ({
      key,
      name: member.text('Name'),
      endpointId: member.text('EndpointID'),
      ipv4: member.text('IPv4Address'),
      ipv6: member.text('IPv6Address'),
    })),
  };
}

function healthOf(text: string | undefined): Health {
  return text === 'starting' || text === 'healthy' || text === 'unhealthy' ? text : null;
}

/** RFC 3339 with nanoseconds, of which Date keeps milliseconds; the year 1 is Go's for never. */
function moment(text: string): number {
  const time = Date.parse(text);
  if (Number.isNaN(time) || time <= 0) return 0;
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? '';
  return Math.floor(time / 1000) * 1000 + Number(`0.${fraction || '0'}`) * 1000;
}
