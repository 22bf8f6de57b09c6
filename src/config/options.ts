// SPDX-License-Identifier: Apache-2.0
/**
 * Every option of `sluiced`, once: flag, key of the configuration file, line
 * of the help, check. The file uses the flags' names; `no-X` is `no-X: true`.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import { bits, parseAddress, parsePrefix } from '../base/addresses.js';
import { isInterfaceName } from '../base/names.js';
import { parseDuration } from '../base/units.js';
import { type DockerHost, parseDockerHost } from './docker-host.js';

export interface Listen {
  host: string;
  port: number;
}
/** Seconds without a packet until a flow is collected. */
export interface FlowTimeouts {
  tcp_established: number;
  tcp_transitory: number;
  udp_answered: number;
  udp_oneway: number;
  icmp: number;
}

/** The loader's names for what there is a stand-in for. */
export const KERNEL_FEATURES = [
  'tcx',
  'kern_ctx',
  'fib_lookup',
  'bpf_wq',
  'netfilter_link',
  'nftables',
] as const;
export type KernelFeature = (typeof KERNEL_FEATURES)[number];

export interface Config {
  socket: string;
  listen: Listen | null;
  tls: { cert: string; key: string; ca: string } | null;
  /** Socket of the Docker plugin; null: none. */
  dockerPlugin: string | null;
  /** What the plugin's networks are for: this host, or Swarm, which takes global ones of managed plugins alone. */
  dockerScope: 'local' | 'global';
  stateDir: string;
  /** Go on with a state that is empty, damaged or not the one that the dataplane was made from. */
  adoptEmptyState: boolean;
  bpffs: string;
  metrics: Listen | null;
  /** How many services have metrics of their own. */
  metricsServices: number;
  /** Empty: every interface that looks like one. */
  uplinks: string[];
  /** Drop early, at XDP, what is for containers' own addresses. */
  xdp: boolean;
  nodeName: string;
  nodeIp: string | null;
  /** `CIDR,SIZE` each; a family for which none is given has its defaults. */
  pools: string[];
  /** Destinations, in CIDR notation, to which containers keep their own addresses. */
  masqueradeExcept: string[];
  /** Masqueraded flows whose own port is taken get one from here, both ends included. */
  masqueradePorts: { first: number; last: number };
  /** The Docker Engine to follow; null: none. */
  dockerHost: DockerHost | null;
  /** Entries of both flow tables together; null: by the machine's memory. */
  conntrackMax: number | null;
  /** A resolver of ours in every sandbox. */
  dns: boolean;
  /** False: containers reach services packet by packet only. */
  socketServices: boolean;
  /** The host's resolv.conf. */
  resolvConf: string;
  timeouts: FlowTimeouts;
  /** Features of the kernel that are left unused. */
  without: KernelFeature[];
  /** Seconds between two full passes of the reconciler. */
  passInterval: number;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

export interface Option {
  name: string;
  /** Placeholder of the value; absent: a switch. */
  value?: string;
  repeatable?: boolean;
  help: string;
  /** Throws `Error` with what is wrong with the value. */
  set(config: Config, values: readonly string[]): void;
}

const DOCKER_HOST = 'unix:///var/run/docker.sock';

export function defaults(): Config {
  return {
    socket: '/run/sluice/sluice.sock',
    listen: null,
    tls: null,
    dockerPlugin: '/run/docker/plugins/sluice.sock',
    dockerScope: 'local',
    stateDir: '/var/lib/sluice',
    adoptEmptyState: false,
    bpffs: '/sys/fs/bpf/sluice',
    metrics: { host: '127.0.0.1', port: 9477 },
    metricsServices: 1000,
    uplinks: [],
    xdp: false,
    nodeName: hostname(),
    nodeIp: null,
    pools: [],
    masqueradeExcept: [],
    masqueradePorts: { first: 32768, last: 65535 },
    dockerHost: parseDockerHost(DOCKER_HOST),
    conntrackMax: null,
    dns: true,
    socketServices: true,
    resolvConf: '/etc/resolv.conf',
    timeouts: {
      tcp_established: 7440,
      tcp_transitory: 240,
      udp_answered: 300,
      udp_oneway: 120,
      icmp: 60,
    },
    without: [],
    passInterval: 60,
    logLevel: 'info',
  };
}

const last = (values: readonly string[]): string => values.at(-1) as string;

function path(text: string): string {
  if (text === '') throw new Error('an empty path');
  return isAbsolute(text) ? text : resolve(text);
}

function listen(text: string): Listen {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) throw new Error(`'${text}' is not HOST:PORT`);
  return { host: match[1] ?? match[2] ?? '', port };
}

function seconds(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms < 1000)
    throw new Error(`'${text}' is not a duration of at least one second, such as 30s or 5m`);
  return Math.round(ms / 1000);
}

function count(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new Error(`'${text}' is not a number, such as 1000`);
  return Number(text);
}

function pool(text: string): string {
  const [cidr = '', length = ''] = text.split(',');
  const prefix = parsePrefix(cidr);
  const size = Number(length);
  if (prefix === null || !/^\d+$/.test(length))
    throw new Error(`'${text}' is not CIDR,SIZE, such as 10.64.0.0/10,24 or fd12:3456:789a::/48,64`);
  if (size < prefix.length || size > bits(prefix.family) - 2) {
    throw new Error(`a /${size} cannot be cut from ${cidr}`);
  }
  return text;
}

/** The map's size; maps/exempt.h */
const MOST_EXEMPTIONS = 1024;
/** Fewer would be gone too soon: a container may have three quarters of them towards a destination. */
const FEWEST_PORTS = 256;

function ports(text: string): { first: number; last: number } {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || first < 1024 || last > 65535 || last - first + 1 < FEWEST_PORTS)
    throw new Error(
      `'${text}' is not a range FIRST-LAST of at least ${FEWEST_PORTS} ports from 1024 to 65535`,
    );
  return { first, last };
}

function tls(config: Config, key: 'cert' | 'key' | 'ca', file: string): void {
  config.tls = { cert: '', key: '', ca: '', ...config.tls, [key]: path(file) };
}

function timeout(name: keyof FlowTimeouts, help: string): Option {
  return {
    name: `timeout-${name.replace('_', '-')}`,
    value: 'DURATION',
    help,
    set: (config, values) => {
      config.timeouts[name] = seconds(last(values));
    },
  };
}

export const OPTIONS: readonly Option[] = [
  {
    name: 'config',
    value: 'FILE',
    help: 'read options from FILE (default: /etc/sluice/sluice.yaml if it exists)',
    set: () => {},
  },
  {
    name: 'socket',
    value: 'PATH',
    help: 'unix socket of the API (default: /run/sluice/sluice.sock)',
    set: (config, values) => {
      config.socket = path(last(values));
    },
  },
  {
    name: 'listen',
    value: 'HOST:PORT',
    help: 'serve the API on TCP as well, with mutual TLS only',
    set: (config, values) => {
      config.listen = listen(last(values));
    },
  },
  {
    name: 'tls-cert',
    value: 'FILE',
    help: 'certificate for --listen',
    set: (c, v) => tls(c, 'cert', last(v)),
  },
  { name: 'tls-key', value: 'FILE', help: 'its private key', set: (c, v) => tls(c, 'key', last(v)) },
  {
    name: 'tls-ca',
    value: 'FILE',
    help: 'who signs the certificates of clients',
    set: (c, v) => tls(c, 'ca', last(v)),
  },
  {
    name: 'state-dir',
    value: 'DIR',
    help: 'where the state is kept (default: /var/lib/sluice)',
    set: (config, values) => {
      config.stateDir = path(last(values));
    },
  },
  {
    name: 'adopt-empty-state',
    help: 'for one start: go on with a state that is empty, not whole or not the one that the dataplane was made from, and remove from the kernel what it does not mention',
    set: (config) => {
      config.adoptEmptyState = true;
    },
  },
  {
    name: 'bpffs',
    value: 'DIR',
    help: 'where programs and maps are pinned (default: /sys/fs/bpf/sluice)',
    set: (config, values) => {
      config.bpffs = path(last(values));
    },
  },
  {
    name: 'metrics',
    value: 'HOST:PORT',
    help: 'serve metrics there (default: 127.0.0.1:9477)',
    set: (config, values) => {
      config.metrics = listen(last(values));
    },
  },
  {
    name: 'metrics-services',
    value: 'N',
    help: 'services with metrics of their own; those beyond are summed as service="" (default: 1000)',
    set: (config, values) => {
      config.metricsServices = count(last(values));
    },
  },
  {
    name: 'no-metrics',
    help: 'serve no metrics',
    set: (config) => {
      config.metrics = null;
    },
  },
  {
    name: 'xdp',
    help: "drop what is for containers' own addresses at XDP, before the kernel sees it",
    set: (config) => {
      config.xdp = true;
    },
  },
  {
    name: 'uplink',
    value: 'NAME',
    repeatable: true,
    help: 'only these interfaces lead to the world (default: all that are up and not ours)',
    set: (config, values) => {
      for (const name of values) {
        if (!isInterfaceName(name)) throw new Error(`'${name}' is not an interface name`);
      }
      config.uplinks = [...values];
    },
  },
  {
    name: 'node-name',
    value: 'NAME',
    help: "this node's name (default: the host's)",
    set: (config, values) => {
      if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(last(values)))
        throw new Error(`'${last(values)}' is not a name`);
      config.nodeName = last(values);
    },
  },
  {
    name: 'node-ip',
    value: 'IP',
    help: "this node's address (default: the uplink's)",
    set: (config, values) => {
      if (parseAddress(last(values)) === null) throw new Error(`'${last(values)}' is not an IP address`);
      config.nodeIp = last(values);
    },
  },
  {
    name: 'pool',
    value: 'CIDR,SIZE',
    repeatable: true,
    help: 'cut subnets of length SIZE from CIDR (default: 10.64.0.0/10,24 172.16.0.0/12,24 192.168.0.0/16,24; IPv6 fdXX:XXXX:XXXX::/48,64, drawn once)',
    set: (config, values) => {
      config.pools = values.map(pool);
    },
  },
  {
    name: 'masquerade-except',
    value: 'CIDR',
    repeatable: true,
    help: 'containers keep their own addresses towards CIDR, which has to know a way back to them',
    set: (config, values) => {
      for (const cidr of values) {
        if (parsePrefix(cidr) === null)
          throw new Error(`'${cidr}' is not a CIDR, such as 10.0.0.0/8 or fd00::/8`);
      }
      if (values.length > MOST_EXEMPTIONS)
        throw new Error(`${values.length} CIDRs; at most ${MOST_EXEMPTIONS}`);
      config.masqueradeExcept = [...values];
    },
  },
  {
    name: 'masquerade-ports',
    value: 'FIRST-LAST',
    help: 'source ports of masqueraded flows whose own port is taken (default: 32768-65535)',
    set: (config, values) => {
      config.masqueradePorts = ports(last(values));
    },
  },
  {
    name: 'store',
    value: 'etcd://HOST:PORT',
    help: 'keep the state in etcd (not in this version)',
    set: () => {
      throw new Error('unsupported: this version has the embedded store only; leave the option out');
    },
  },
  {
    name: 'docker-plugin',
    value: 'PATH',
    help: 'socket of the Docker plugin, whose file name is the name of the driver (default: /run/docker/plugins/sluice.sock)',
    set: (config, values) => {
      config.dockerPlugin = path(last(values));
    },
  },
  {
    name: 'no-docker',
    help: 'serve no Docker plugin, and follow no Engine unless --docker-host names one',
    set: (config) => {
      config.dockerPlugin = null;
      config.dockerHost = null;
    },
  },
  {
    name: 'docker-scope',
    value: 'SCOPE',
    help: 'scope of the Docker plugin: local, or global for networks of a Swarm (default: local)',
    set: (config, values) => {
      const scope = last(values);
      if (scope !== 'local' && scope !== 'global') throw new Error(`'${scope}' is neither local nor global`);
      config.dockerScope = scope;
    },
  },
  {
    name: 'docker-host',
    value: 'URL',
    help: `Docker Engine to follow, unix:///PATH or tcp://HOST:PORT (default: ${DOCKER_HOST})`,
    set: (config, values) => {
      config.dockerHost = parseDockerHost(last(values));
    },
  },
  {
    name: 'no-socket-services',
    help: 'translate what containers send to services packet by packet only, which is dearer and counts every packet',
    set: (config) => {
      config.socketServices = false;
    },
  },
  {
    name: 'no-dns',
    help: 'no resolver at 127.0.0.11 in sandboxes: they ask the servers of the host themselves',
    set: (config) => {
      config.dns = false;
    },
  },
  {
    name: 'resolv-conf',
    value: 'FILE',
    help: "the host's resolvers (default: /etc/resolv.conf)",
    set: (config, values) => {
      config.resolvConf = path(last(values));
    },
  },
  {
    name: 'conntrack-max',
    value: 'N',
    help: 'flows that the tables hold (default: by memory, about 1 % of it)',
    set: (config, values) => {
      const max = Number(last(values));
      if (!/^\d+$/.test(last(values)) || max < 1024 || max > 2 ** 26) {
        throw new Error(`'${last(values)}' is not a number from 1024 to 67108864`);
      }
      config.conntrackMax = max;
    },
  },
  timeout('tcp_established', 'idle time of established TCP flows (default: 7440s)'),
  timeout('tcp_transitory', 'idle time of half-open and closing TCP flows (default: 240s)'),
  timeout('udp_answered', 'idle time of answered UDP flows (default: 300s)'),
  timeout('udp_oneway', 'idle time of UDP flows without answer (default: 120s)'),
  timeout('icmp', 'idle time of echo flows (default: 60s)'),
  {
    name: 'without',
    value: 'FEATURE',
    repeatable: true,
    help: `do as on a kernel that lacks FEATURE: ${KERNEL_FEATURES.join(', ')}`,
    set: (config, values) => {
      const named = values.map((value) => KERNEL_FEATURES.find((feature) => feature === value));
      const unknown = values.find((_, i) => named[i] === undefined);
      if (unknown !== undefined) throw new Error(`'${unknown}' is none of ${KERNEL_FEATURES.join(', ')}`);
      config.without = named.filter((feature) => feature !== undefined);
    },
  },
  {
    name: 'pass-interval',
    value: 'DURATION',
    help: 'how often everything is compared with the kernel (default: 60s)',
    set: (config, values) => {
      config.passInterval = seconds(last(values));
    },
  },
  {
    name: 'log-level',
    value: 'LEVEL',
    help: 'debug, info, warn or error (default: info)',
    set: (config, values) => {
      const level = last(values);
      if (level !== 'debug' && level !== 'info' && level !== 'warn' && level !== 'error') {
        throw new Error(`'${level}' is none of debug, info, warn, error`);
      }
      config.logLevel = level;
    },
  },
];

/** What cannot be seen from one option alone. Answers the complaint. */
export function inconsistency(config: Config): string | null {
  const { listen: at, tls: files } = config;
  if (at !== null && (files === null || !files.cert || !files.key || !files.ca)) {
    return '--listen takes --tls-cert, --tls-key and --tls-ca: TCP is served with mutual TLS only';
  }
  if (at === null && files !== null) return '--tls-cert, --tls-key and --tls-ca go with --listen HOST:PORT';
  for (const file of files === null ? [] : [files.cert, files.key, files.ca]) {
    try {
      readFileSync(file);
    } catch (e) {
      return `cannot read ${file}: ${(e as NodeJS.ErrnoException).code ?? String(e)}`;
    }
  }
  return null;
}
