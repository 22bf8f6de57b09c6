// SPDX-License-Identifier: Apache-2.0
/** The `docker run` that makes a container like one that there is, from its inspect and its image's. */
import type { Document } from '../document.js';
import type { Attachment, ContainerInspect } from '../shapes.js';

export interface RunCommand {
  /** The words after `docker run`. */
  readonly words: string[];
  /** Settings that the words do not carry. */
  readonly lost: string[];
}

/** Of HostConfig: the option for each, where its value is text or a number that is not the default. */
const PLAIN: Readonly<Record<string, { flag: string; unless?: readonly unknown[] }>> = {
  Memory: { flag: '--memory' },
  MemoryReservation: { flag: '--memory-reservation' },
  MemorySwappiness: { flag: '--memory-swappiness', unless: [-1] },
  CpuShares: { flag: '--cpu-shares' },
  CpuPeriod: { flag: '--cpu-period' },
  CpuQuota: { flag: '--cpu-quota' },
  CpusetCpus: { flag: '--cpuset-cpus' },
  CpusetMems: { flag: '--cpuset-mems' },
  PidsLimit: { flag: '--pids-limit' },
  ShmSize: { flag: '--shm-size', unless: [67_108_864] },
  OomScoreAdj: { flag: '--oom-score-adj' },
  PidMode: { flag: '--pid' },
  IpcMode: { flag: '--ipc', unless: ['private', 'shareable'] },
  UTSMode: { flag: '--uts' },
  UsernsMode: { flag: '--userns' },
  CgroupParent: { flag: '--cgroup-parent' },
  CgroupnsMode: { flag: '--cgroupns', unless: ['host', 'private'] },
  Runtime: { flag: '--runtime', unless: ['runc'] },
  BlkioWeight: { flag: '--blkio-weight' },
};
const SWITCHES: Readonly<Record<string, string>> = {
  Privileged: '--privileged',
  ReadonlyRootfs: '--read-only',
  Init: '--init',
  AutoRemove: '--rm',
  PublishAllPorts: '--publish-all',
  OomKillDisable: '--oom-kill-disable',
};
const LISTS: Readonly<Record<string, string>> = {
  Binds: '--volume',
  CapAdd: '--cap-add',
  CapDrop: '--cap-drop',
  Dns: '--dns',
  DnsSearch: '--dns-search',
  DnsOptions: '--dns-option',
  ExtraHosts: '--add-host',
  GroupAdd: '--group-add',
  SecurityOpt: '--security-opt',
  VolumesFrom: '--volumes-from',
  DeviceCgroupRules: '--device-cgroup-rule',
};
const MAPS: Readonly<Record<string, string>> = { Sysctls: '--sysctl', StorageOpt: '--storage-opt' };
/** Said elsewhere, or what Docker fills in itself. */
const ELSEWHERE: readonly string[] = [
  'NetworkMode',
  'PortBindings',
  'RestartPolicy',
  'LogConfig',
  'Mounts',
  'Tmpfs',
  'Ulimits',
  'Devices',
  'NanoCpus',
  'MemorySwap',
  'ContainerIDFile',
  'ConsoleSize',
  'Isolation',
  'MaskedPaths',
  'ReadonlyPaths',
  'VolumeDriver',
];
const NANO = 1e9;

/** `attachment`: its place in the network that it leaves; `image`: the Config of its image. */
export function runCommand(
  container: ContainerInspect,
  attachment: Attachment,
  image: Document,
  network: string,
  keepAddress: boolean,
): RunCommand {
  const config = container.document.object('Config');
  const host = container.document.object('HostConfig');
  const argv = command(config, image);
  const words = [
    ...['--detach', '--name', container.name, '--network', network],
    ...networkWords(container, attachment, keepAddress),
    ...configWords(container, config, image),
    ...hostWords(host),
    ...portWords(host),
    ...mountWords(container, host),
    ...argv.options,
    config.text('Image') || container.image,
    ...argv.words,
  ];
  return { words, lost: lostOf(host) };
}

export function publishedPorts(container: ContainerInspect): string[] {
  const host = container.document.object('HostConfig');
  return portWords(host).filter((text) => text !== '--publish');
}

function networkWords(
  container: ContainerInspect,
  { aliases, fixedIpv4, fixedIpv6 }: Attachment,
  keep: boolean,
) {
  const config = container.document.object('Config');
  const own = ownAliases(container, aliases);
  return [
    ...own.flatMap((alias) => ['--network-alias', alias]),
    ...(keep && fixedIpv4 ? ['--ip', fixedIpv4] : []),
    ...(keep && fixedIpv6 ? ['--ip6', fixedIpv6] : []),
    ...optional('--mac-address', config.text('MacAddress')),
  ];
}

/** Without those that Docker adds by itself. */
export function ownAliases(
  { id, name }: Pick<ContainerInspect, 'id' | 'name'>,
  aliases: readonly string[],
): string[] {
  return [...new Set(aliases)].filter((alias) => alias !== id.slice(0, 12) && alias !== name);
}

function configWords(container: ContainerInspect, config: Document, image: Document): string[] {
  const hostname = config.text('Hostname');
  const inherited = new Set(image.texts('Env'));
  const labels = image.pairs('Labels');
  const stopTimeout = config.number('StopTimeout');
  const differing = (name: string): string => {
    const own = config.text(name);
    return own === image.text(name) ? '' : own;
  };
  return [
    ...(hostname === container.id.slice(0, 12) ? [] : optional('--hostname', hostname)),
    ...optional('--domainname', config.text('Domainname')),
    ...optional('--user', differing('User')),
    ...optional('--workdir', differing('WorkingDir')),
    ...(config.flag('Tty') ? ['--tty'] : []),
    ...(config.flag('OpenStdin') ? ['--interactive'] : []),
    ...config.texts('Env').flatMap((text) => (inherited.has(text) ? [] : ['--env', text])),
    ...Object.entries(config.pairs('Labels')).flatMap(([key, value]) =>
      labels[key] === value ? [] : ['--label', `${key}=${value}`],
    ),
    ...optional('--stop-signal', differing('StopSignal')),
    ...(stopTimeout === null ? [] : ['--stop-timeout', String(stopTimeout)]),
    ...healthWords(config, image),
  ];
}

function healthWords(config: Document, image: Document): string[] {
  if (JSON.stringify(config.raw('Healthcheck')) === JSON.stringify(image.raw('Healthcheck'))) return [];
  const check = config.object('Healthcheck');
  const [kind, ...test] = check.texts('Test');
  if (kind === 'NONE') return ['--no-healthcheck'];
  const time = (name: string, flag: string): string[] => {
    const nanoseconds = check.number(name) ?? 0;
    return nanoseconds > 0 ? [flag, `${nanoseconds / NANO}s`] : [];
  };
  const retries = check.number('Retries') ?? 0;
  return [
    ...(test.length > 0 ? ['--health-cmd', test.join(' ')] : []),
    ...time('Interval', '--health-interval'),
    ...time('Timeout', '--health-timeout'),
    ...time('StartPeriod', '--health-start-period'),
    ...(retries > 0 ? ['--health-retries', String(retries)] : []),
  ];
}

function hostWords(host: Document): string[] {
  const restart = host.object('RestartPolicy');
  const policy = restart.text('Name');
  const retries = restart.number('MaximumRetryCount') ?? 0;
  const log = host.object('LogConfig');
  const logOptions = Object.entries(log.pairs('Config'));
  const cpus = host.number('NanoCpus') ?? 0;
  const swap = host.number('MemorySwap') ?? 0;
  return [
    ...(policy === '' || policy === 'no'
      ? []
      : ['--restart', policy === 'on-failure' && retries > 0 ? `${policy}:${retries}` : policy]),
    ...Object.entries(PLAIN).flatMap(([name, { flag, unless = [] }]) => {
      const value = host.raw(name);
      return isSet(value) && !unless.includes(value) ? [flag, String(value)] : [];
    }),
    ...(cpus > 0 ? ['--cpus', String(cpus / NANO)] : []),
    ...(swap !== 0 && swap !== 2 * (host.number('Memory') ?? 0) ? ['--memory-swap', String(swap)] : []),
    ...Object.entries(SWITCHES).flatMap(([name, flag]) => (host.flag(name) ? [flag] : [])),
    ...Object.entries(LISTS).flatMap(([name, flag]) => host.texts(name).flatMap((text) => [flag, text])),
    ...Object.entries(MAPS).flatMap(([name, flag]) =>
      Object.entries(host.pairs(name)).flatMap(([key, value]) => [flag, `${key}=${value}`]),
    ),
    ...Object.entries(host.pairs('Tmpfs')).flatMap(([path, options]) => [
      '--tmpfs',
      options ? `${path}:${options}` : path,
    ]),
    ...host
      .objects('Ulimits')
      .flatMap((limit) => [
        '--ulimit',
        `${limit.text('Name')}=${limit.number('Soft')}:${limit.number('Hard')}`,
      ]),
    ...host
      .objects('Devices')
      .flatMap((device) => [
        '--device',
        [device.text('PathOnHost'), device.text('PathInContainer'), device.text('CgroupPermissions')]
          .filter(Boolean)
          .join(':'),
      ]),
    ...(log.text('Type') === 'json-file' && logOptions.length === 0
      ? []
      : optional('--log-driver', log.text('Type'))),
    ...logOptions.flatMap(([key, value]) => ['--log-opt', `${key}=${value}`]),
  ];
}

function portWords(host: Document): string[] {
  return host.lists('PortBindings').flatMap(([port, bindings]) =>
    bindings.flatMap((binding) => {
      const ip = binding.text('HostIp');
      const hostPort = binding.text('HostPort');
      const address = ip.includes(':') ? `[${ip}]` : ip;
      const plain = port.replace(/\/tcp$/, '');
      if (address) return ['--publish', `${address}:${hostPort}:${plain}`];
      return ['--publish', hostPort && hostPort !== '0' ? `${hostPort}:${plain}` : plain];
    }),
  );
}

/** Volumes that have no name of their user's have Docker's, and come along by it. */
function mountWords(container: ContainerInspect, host: Document): string[] {
  const bound = new Set(host.texts('Binds').map((bind) => bind.split(':')[1]));
  return container.document.objects('Mounts').flatMap((mount) => {
    const [type, target] = [mount.text('Type'), mount.text('Destination')];
    if (bound.has(target) || type === 'tmpfs') return [];
    const source = type === 'volume' ? mount.text('Name') : mount.text('Source');
    const propagation = mount.text('Propagation');
    const parts = [
      `type=${type}`,
      ...(source ? [`source=${source}`] : []),
      `target=${target}`,
      ...(mount.raw('RW') === false ? ['readonly'] : []),
      ...(propagation && propagation !== 'rprivate' ? [`bind-propagation=${propagation}`] : []),
    ];
    return ['--mount', parts.join(',')];
  });
}

/** The option takes one word of the entry point; the others go before the command. */
function command(config: Document, image: Document): { options: string[]; words: string[] } {
  const [entry, imageEntry] = [config.texts('Entrypoint'), image.texts('Entrypoint')];
  const [words, imageWords] = [config.texts('Cmd'), image.texts('Cmd')];
  if (same(entry, imageEntry)) return { options: [], words: same(words, imageWords) ? [] : words };
  const [program = '', ...rest] = entry;
  return { options: ['--entrypoint', program], words: [...rest, ...words] };
}

function lostOf(host: Document): string[] {
  const known = [
    ...ELSEWHERE,
    ...Object.keys(PLAIN),
    ...Object.keys(SWITCHES),
    ...Object.keys(LISTS),
    ...Object.keys(MAPS),
  ];
  return host.names().filter((name) => !known.includes(name) && isSet(host.raw(name)));
}

function isSet(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === 0 || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function optional(flag: string, value: string): string[] {
  return value === '' ? [] : [flag, value];
}
