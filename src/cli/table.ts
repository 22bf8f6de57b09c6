// SPDX-License-Identifier: Apache-2.0
/** Every command of `sluice`. Parser, help and shell completion are made from this table. */
import type { CommandSpec, GroupSpec, OptionSpec } from './spec.js';

export const GROUPS: readonly GroupSpec[] = [
  { name: 'network', summary: 'networks' },
  { name: 'sandbox', summary: 'sandboxes: the network namespaces of containers' },
  { name: 'endpoint', summary: 'endpoints: what connects a sandbox to a network' },
  { name: 'service', summary: 'services: an address and ports that stand for several endpoints' },
  { name: 'docker', summary: 'what concerns the Docker Engine' },
  { name: 'conntrack', summary: 'flows that the dataplane keeps' },
];

/** Plain seconds, or 30m, 1h30m. */
const DURATION = /^\d+(\.\d+)?(ms|s|m|h|d|$)/;

const LABEL: OptionSpec = { long: '--label', value: 'KEY=VALUE', help: 'label it', pairs: 'label' };
const LIST: readonly OptionSpec[] = [
  { short: '-q', long: '--quiet', help: 'print ids only' },
  { long: '--no-trunc', help: 'print whole ids' },
];

const ALLOW: OptionSpec = {
  long: '--allow',
  value: 'CIDR',
  help: 'only sources of this range may use the published ports',
  repeatable: true,
};

const ENDPOINT: readonly OptionSpec[] = [
  { long: '--ip', value: 'IP', help: 'IPv4 address (default: the next free one)' },
  { long: '--ip6', value: 'IP', help: 'IPv6 address, on a network with IPv6 (default: the next free one)' },
  { long: '--mac', value: 'MAC', help: 'hardware address' },
  {
    short: '-p',
    long: '--publish',
    value: 'PORTSPEC',
    help: 'publish [[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/tcp|udp|sctp]',
    repeatable: true,
  },
  ALLOW,
  { long: '--alias', value: 'NAME', help: 'further name in the network', repeatable: true },
  LABEL,
];

const PORTS = 'VIPPORT[:BACKENDPORT][/tcp|udp|sctp]';
const WEIGHT: OptionSpec = {
  long: '--weight',
  value: 'N',
  help: '0 (no new flows) to 1000: its share of the new flows',
};

const SERVICE: readonly OptionSpec[] = [
  { long: '--network', value: 'NETWORK', help: 'network that it belongs to', complete: 'network' },
  { long: '--port', value: PORTS, help: 'port of its address, and of the backends', repeatable: true },
  {
    long: '--vip',
    value: 'IP',
    help: 'its address, one per address family (default: the next free one)',
    repeatable: true,
  },
  {
    long: '--algorithm',
    value: 'ALGORITHM',
    help: 'how a backend is chosen: random (default), or maglev: by the addresses and ports of a flow',
    choices: ['random', 'maglev'],
  },
  {
    long: '--affinity',
    value: 'SECONDS',
    optional: DURATION,
    help: 'a client keeps its backend for so long (10800 without a value; default: off)',
  },
  {
    short: '-p',
    long: '--publish',
    value: 'HOSTPORT[:VIPPORT]',
    help: 'make a port answer at the host, too',
    repeatable: true,
  },
  {
    long: '--mode',
    value: 'MODE',
    help: 'vip (default): an address of its own; dnsrr: a name that leads to the backends',
    choices: ['vip', 'dnsrr'],
  },
  {
    long: '--idle-timeout',
    value: 'SECONDS',
    help: 'an established flow ends after so long without a packet',
  },
  { ...ALLOW, help: 'only sources of this range may use it' },
  {
    long: '--selector',
    value: 'LABEL=VALUE',
    help: 'endpoints of the network with all of these labels are backends',
    pairs: 'option',
  },
  {
    long: '--backend',
    value: 'ENDPOINT[=WEIGHT]',
    help: 'a backend',
    repeatable: true,
    complete: 'endpoint',
  },
  {
    long: '--health',
    value: 'KIND',
    help: 'check the backends from the host: tcp: the port opens; http: GET answers 200 to 399',
    choices: ['tcp', 'http'],
  },
  { long: '--health-port', value: 'PORT', help: 'port to check (default: that of the first port)' },
  { long: '--health-path', value: 'PATH', help: 'path of the GET (default: /)' },
  { long: '--health-interval', value: 'DURATION', help: 'time between two checks (default: 30s)' },
  { long: '--health-timeout', value: 'DURATION', help: 'time that a check may take (default: 30s)' },
  {
    long: '--health-retries',
    value: 'N',
    help: 'so many failures in a row make a backend unhealthy (default: 3)',
  },
  {
    short: '-f',
    long: '--file',
    value: 'FILE',
    help: 'create all services of this JSON array, as the API takes it; -: standard input',
    complete: 'file',
  },
];

const FLOWS: readonly OptionSpec[] = [
  { long: '--address', value: 'IP', help: 'flows from, to or by way of this address' },
  { long: '--port', value: 'PORT', help: 'flows from, to or by way of this port' },
  { long: '--endpoint', value: 'ENDPOINT', help: 'flows of this endpoint', complete: 'endpoint' },
  { long: '--protocol', value: 'PROTOCOL', help: 'tcp, udp or icmp', choices: ['tcp', 'udp', 'icmp'] },
  { long: '--service', value: 'SERVICE', help: 'flows of this service' },
];

export const COMMANDS: readonly CommandSpec[] = [
  {
    path: ['network', 'create'],
    summary: 'create a network and print its id',
    arguments: [{ name: 'NAME' }],
    changes: true,
    options: [
      {
        short: '-d',
        long: '--driver',
        value: 'DRIVER',
        help: 'bridge (default), overlay, macvlan, host, null or a plugin',
        complete: ['bridge', 'macvlan', 'host', 'null'],
      },
      { long: '--subnet', value: 'CIDR', help: 'one per address family', repeatable: true },
      { long: '--gateway', value: 'IP', help: 'of the subnet of its family', repeatable: true },
      {
        long: '--ip-range',
        value: 'CIDR',
        help: 'hand out addresses of this part of the subnet',
        repeatable: true,
      },
      { long: '--ipv6', help: 'IPv6 as well (implied by an IPv6 subnet)' },
      { long: '--internal', help: 'no way out of it, none in, no services of the host' },
      { long: '--ipam-driver', value: 'DRIVER', help: 'who hands out addresses', complete: ['default'] },
      {
        short: '-o',
        long: '--opt',
        value: 'KEY=VALUE',
        help: "mtu, masquerade, icc, host-access, max-flows, max-new-flows or an option of Docker's bridge",
        pairs: 'option',
      },
      LABEL,
    ],
    load: async () => (await import('./commands/network-create.js')).networkCreate,
  },
  {
    path: ['network', 'ls'],
    summary: 'list networks',
    prints: true,
    options: LIST,
    load: async () => (await import('./commands/ls.js')).networkLs,
  },
  {
    path: ['network', 'inspect'],
    summary: 'print networks as JSON',
    arguments: [{ name: 'NAME', variadic: true, complete: 'network' }],
    prints: true,
    load: async () => (await import('./commands/inspect.js')).inspect('networks'),
  },
  {
    path: ['network', 'rm'],
    summary: 'remove networks',
    arguments: [{ name: 'NAME', variadic: true, complete: 'network' }],
    changes: true,
    options: [{ long: '--force', help: "of Docker's too, which may have forgotten it" }],
    load: async () => (await import('./commands/rm.js')).rm('networks'),
  },
  {
    path: ['network', 'prune'],
    summary: 'remove the networks that have no endpoints',
    changes: true,
    load: async () => (await import('./commands/network-prune.js')).networkPrune,
  },
  {
    path: ['sandbox', 'create'],
    summary: 'create a sandbox, a network namespace visible as /run/netns/NAME, and print its id',
    arguments: [{ name: 'NAME' }],
    changes: true,
    options: [
      { long: '--netns', value: 'PATH', help: 'adopt this namespace', path: true, complete: 'file' },
      { long: '--dns', value: 'IP', help: "name server (default: the host's)", repeatable: true },
      {
        long: '--dns-search',
        value: 'DOMAIN',
        help: "search domain (default: the host's)",
        repeatable: true,
      },
      { long: '--hostname', value: 'NAME', help: "host name (default: the sandbox's)" },
    ],
    load: async () => (await import('./commands/sandbox-create.js')).sandboxCreate,
  },
  {
    path: ['sandbox', 'exec'],
    summary: 'run a command inside a sandbox',
    arguments: [
      { name: 'NAME', complete: 'sandbox' },
      { name: 'COMMAND', variadic: true, complete: 'command' },
    ],
    passThrough: true,
    load: async () => (await import('./commands/sandbox-exec.js')).sandboxExec,
  },
  {
    path: ['sandbox', 'ls'],
    summary: 'list sandboxes',
    prints: true,
    options: LIST,
    load: async () => (await import('./commands/ls.js')).sandboxLs,
  },
  {
    path: ['sandbox', 'inspect'],
    summary: 'print sandboxes as JSON',
    arguments: [{ name: 'NAME', variadic: true, complete: 'sandbox' }],
    prints: true,
    load: async () => (await import('./commands/inspect.js')).inspect('sandboxes'),
  },
  {
    path: ['sandbox', 'rm'],
    summary: 'remove sandboxes',
    arguments: [{ name: 'NAME', variadic: true, complete: 'sandbox' }],
    changes: true,
    load: async () => (await import('./commands/rm.js')).rm('sandboxes'),
  },
  {
    path: ['endpoint', 'create'],
    summary: 'create an endpoint and print its id',
    arguments: [{ name: 'NAME' }],
    changes: true,
    options: [
      {
        long: '--network',
        value: 'NETWORK',
        help: 'network that it belongs to',
        required: true,
        complete: 'network',
      },
      ...ENDPOINT,
    ],
    load: async () => (await import('./commands/endpoint-create.js')).endpointCreate,
  },
  {
    path: ['endpoint', 'join'],
    summary: 'put an endpoint into a sandbox',
    arguments: [
      { name: 'NAME', complete: 'endpoint' },
      { name: 'SANDBOX', complete: 'sandbox' },
    ],
    changes: true,
    load: async () => (await import('./commands/endpoint-join.js')).endpointJoin,
  },
  {
    path: ['endpoint', 'leave'],
    summary: 'take an endpoint out of its sandbox',
    arguments: [{ name: 'NAME', complete: 'endpoint' }],
    changes: true,
    load: async () => (await import('./commands/endpoint-leave.js')).endpointLeave,
  },
  {
    path: ['endpoint', 'ls'],
    summary: 'list endpoints, with what they publish',
    prints: true,
    options: LIST,
    load: async () => (await import('./commands/ls.js')).endpointLs,
  },
  {
    path: ['endpoint', 'inspect'],
    summary: 'print endpoints as JSON',
    arguments: [{ name: 'NAME', variadic: true, complete: 'endpoint' }],
    prints: true,
    load: async () => (await import('./commands/inspect.js')).inspect('endpoints'),
  },
  {
    path: ['endpoint', 'rm'],
    summary: 'remove endpoints',
    arguments: [{ name: 'NAME', variadic: true, complete: 'endpoint' }],
    changes: true,
    load: async () => (await import('./commands/rm.js')).rm('endpoints'),
  },
  {
    path: ['connect'],
    summary: 'create an endpoint of a network and join it, in one; prints its id',
    arguments: [
      { name: 'NET', complete: 'network' },
      { name: 'SANDBOX', complete: 'sandbox' },
    ],
    changes: true,
    options: [{ long: '--name', value: 'NAME', help: "the endpoint's (default: NET.SANDBOX)" }, ...ENDPOINT],
    load: async () => (await import('./commands/connect.js')).connect,
  },
  {
    path: ['disconnect'],
    summary: "take a sandbox's endpoint of a network out and remove it",
    arguments: [
      { name: 'NET', complete: 'network' },
      { name: 'SANDBOX', complete: 'sandbox' },
    ],
    changes: true,
    load: async () => (await import('./commands/disconnect.js')).disconnect,
  },
  {
    path: ['publish'],
    summary: 'publish ports of an endpoint, and print what they became',
    arguments: [
      { name: 'ENDPOINT', complete: 'endpoint' },
      { name: 'PORTSPEC', variadic: true },
    ],
    changes: true,
    options: [ALLOW],
    load: async () => (await import('./commands/publish.js')).publish,
  },
  {
    path: ['unpublish'],
    summary: 'publish ports of an endpoint no longer',
    arguments: [
      { name: 'ENDPOINT', complete: 'endpoint' },
      { name: 'PORTSPEC', variadic: true },
    ],
    changes: true,
    load: async () => (await import('./commands/unpublish.js')).unpublish,
  },
  {
    path: ['service', 'create'],
    summary: 'create a service and print its id',
    arguments: [{ name: 'NAME', optional: true }],
    changes: true,
    options: SERVICE,
    load: async () => (await import('./commands/service-create.js')).serviceCreate,
  },
  {
    path: ['service', 'ls'],
    summary: 'list services, with the state of their backends',
    prints: true,
    options: LIST,
    load: async () => (await import('./commands/ls.js')).serviceLs,
  },
  {
    path: ['service', 'inspect'],
    summary: 'print services as JSON',
    arguments: [{ name: 'NAME', variadic: true, complete: 'service' }],
    prints: true,
    load: async () => (await import('./commands/inspect.js')).inspect('services'),
  },
  {
    path: ['service', 'rm'],
    summary: 'remove services',
    arguments: [{ name: 'NAME', variadic: true, complete: 'service' }],
    changes: true,
    load: async () => (await import('./commands/rm.js')).rm('services'),
  },
  {
    path: ['service', 'add-backend'],
    summary: 'make an endpoint a backend of a service',
    arguments: [
      { name: 'NAME', complete: 'service' },
      { name: 'ENDPOINT', complete: 'endpoint' },
    ],
    changes: true,
    options: [{ ...WEIGHT, help: `${WEIGHT.help} (default: 1)` }],
    load: async () => (await import('./commands/service-backend.js')).addBackend,
  },
  {
    path: ['service', 'rm-backend'],
    summary: 'make an endpoint no backend of a service any more',
    arguments: [
      { name: 'NAME', complete: 'service' },
      { name: 'ENDPOINT', complete: 'endpoint' },
    ],
    changes: true,
    load: async () => (await import('./commands/service-backend.js')).rmBackend,
  },
  {
    path: ['service', 'set-backend'],
    summary: 'change the weight of a backend, or take new flows from it',
    arguments: [
      { name: 'NAME', complete: 'service' },
      { name: 'ENDPOINT', complete: 'endpoint' },
    ],
    changes: true,
    options: [
      WEIGHT,
      {
        long: '--drain',
        value: 'true|false',
        optional: /^(true|false)$/,
        help: 'it keeps its flows and gets no new ones; false: it gets new ones again',
      },
    ],
    load: async () => (await import('./commands/service-backend.js')).setBackend,
  },
  {
    path: ['docker', 'prune'],
    summary: 'show what is kept for Docker and Docker does not know any more; with --force, remove it',
    changes: true,
    options: [{ short: '-f', long: '--force', help: 'remove it' }],
    load: async () => (await import('./commands/docker-prune.js')).dockerPrune,
  },
  {
    path: ['docker', 'adopt'],
    summary: "show what moves a network of Docker's bridge driver to Sluice, and how to go back",
    arguments: [{ name: 'NETWORK' }],
    changes: true,
    options: [
      {
        long: '--keep-addresses',
        help: 'the same name, subnets and addresses; every container is cut off meanwhile',
      },
      { long: '--apply', help: 'do it (not in this version)' },
    ],
    load: async () => (await import('./commands/docker-adopt.js')).dockerAdopt,
  },
  {
    path: ['conntrack', 'ls'],
    summary: 'list flows',
    prints: true,
    options: FLOWS,
    load: async () => (await import('./commands/conntrack-ls.js')).conntrackLs,
  },
  {
    path: ['conntrack', 'flush'],
    summary: 'forget flows; without a filter all of them',
    prints: true,
    changes: true,
    options: FLOWS,
    load: async () => (await import('./commands/conntrack-flush.js')).conntrackFlush,
  },
  {
    path: ['conntrack', 'stats'],
    summary: 'counters of flows',
    prints: true,
    load: async () => (await import('./commands/conntrack-stats.js')).conntrackStats,
  },
  {
    path: ['status'],
    summary: 'how the node is: versions, attach modes, table fill, what is not done and why',
    prints: true,
    load: async () => (await import('./commands/status.js')).status,
  },
  {
    path: ['backup'],
    summary: 'save the state as of one moment to a file; the daemon goes on',
    arguments: [{ name: 'FILE', complete: 'file' }],
    load: async () => (await import('./commands/backup.js')).backup,
  },
  {
    path: ['restore'],
    summary: 'go back to the state of a backup; what was made since is removed, other traffic goes on',
    arguments: [{ name: 'FILE', complete: 'file' }],
    changes: true,
    load: async () => (await import('./commands/restore.js')).restore,
  },
  {
    path: ['events'],
    summary: 'print changes as they happen',
    prints: true,
    load: async () => (await import('./commands/events.js')).events,
  },
  {
    path: ['completion'],
    summary: 'print the completion script of a shell',
    arguments: [{ name: 'SHELL', complete: ['bash', 'zsh', 'fish'] }],
    load: async () => (await import('./commands/completion.js')).completion,
  },
  {
    path: ['version'],
    summary: "print this program's and the daemon's version",
    prints: true,
    load: async () => (await import('./commands/version.js')).version,
  },
  {
    path: ['__complete'],
    summary: 'names for the completion scripts',
    arguments: [{ name: 'KIND' }],
    hidden: true,
    load: async () => (await import('./commands/names.js')).names,
  },
];
