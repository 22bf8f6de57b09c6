// SPDX-License-Identifier: Apache-2.0
/**
 * A host in a namespace of its own with a daemon in it, and clients around it:
 *
 *   ext1 192.168.77.2 ─┐
 *                      ├─ up0 192.168.77.1  host  up1 192.168.88.1 ─ ext3 192.168.88.2
 *   ext2 192.168.77.3 ─┘                          (no default route there)
 *
 * ext1 and ext2 share a switch (the namespace `lan`). IPv6 is the same with
 * 2001:db8:50:: and 2001:db8:58::. Everything carries a random suffix and is
 * gone after stop().
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Capture, inject } from './capture.js';
import { untilReady, withoutDad } from './links.js';
import { Background, must, type Result, run, until } from './process.js';

const ROOT = join(import.meta.dirname, '../..');
const SLUICED = join(ROOT, 'bin/sluiced');
export const HOST = '192.168.77.1';
export const HOST2 = '192.168.88.1';
export const EXT1 = '192.168.77.2';
export const EXT2 = '192.168.77.3';
export const EXT3 = '192.168.88.2';
export const HOST_6 = '2001:db8:50::1';
export const HOST2_6 = '2001:db8:58::1';
export const EXT1_6 = '2001:db8:50::2';
export const EXT2_6 = '2001:db8:50::3';
export const EXT3_6 = '2001:db8:58::2';

export interface Container {
  ns: string;
  ip: string;
  /** '' on a network without IPv6. */
  ip6: string;
}

export class Testbed {
  readonly suffix = randomBytes(3).toString('hex');
  readonly directory = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  readonly host = `host-${this.suffix}`;
  readonly ext1 = `ext1-${this.suffix}`;
  readonly ext2 = `ext2-${this.suffix}`;
  readonly ext3 = `ext3-${this.suffix}`;
  readonly socket = join(this.directory, 'sluice.sock');
  readonly bpffs = `/sys/fs/bpf/sluice-test-${this.suffix}`;
  daemon: Background | null = null;
  readonly #lan = `lan-${this.suffix}`;
  readonly #namespaces: string[] = [];
  readonly #background: Background[] = [];
  /** All that were started: a test that fails may leave one behind another. */
  readonly #daemons: Background[] = [];
  #daemonFlags: string[];
  readonly #daemonUnder: string[];

  private constructor(daemonFlags: string[] | ((directory: string) => string[]), daemonUnder: string[]) {
    this.#daemonFlags = typeof daemonFlags === 'function' ? daemonFlags(this.directory) : daemonFlags;
    this.#daemonUnder = daemonUnder;
  }

  /**
   * `daemonFlags`: fixed, or made from the testbed's directory; `daemonUnder`:
   * a command that the daemon is given to, such as setpriv.
   */
  static async start(
    options: {
      daemonFlags?: string[] | ((directory: string) => string[]);
      daemon?: boolean;
      daemonUnder?: string[];
    } = {},
  ): Promise<Testbed> {
    const bed = new Testbed(options.daemonFlags ?? [], options.daemonUnder ?? []);
    try {
      bed.#topology();
      if (options.daemon !== false) await bed.startDaemon();
    } catch (e) {
      await bed.stop();
      throw e;
    }
    return bed;
  }

  #topology(): void {
    for (const ns of [this.host, this.ext1, this.ext2, this.ext3, this.#lan]) this.namespace(ns);
    must(this.#lan, ['ip', 'link', 'add', 'br0', 'type', 'bridge']);
    withoutDad(this.#lan, 'br0');
    must(this.#lan, ['ip', 'link', 'set', 'br0', 'up']);
    const onLan = (ns: string, iface: string, port: string, address: string, address6: string): void => {
      must(null, [
        'ip',
        '-n',
        ns,
        'link',
        'add',
        iface,
        'type',
        'veth',
        'peer',
        'name',
        port,
        'netns',
        this.#lan,
      ]);
      must(this.#lan, ['ip', 'link', 'set', port, 'master', 'br0']);
      must(ns, ['ip', 'addr', 'add', `${address}/24`, 'dev', iface]);
      must(ns, ['ip', 'addr', 'add', `${address6}/64`, 'dev', iface, 'nodad']);
      for (const [at, link] of [
        [this.#lan, port],
        [ns, iface],
      ] as const) {
        withoutDad(at, link);
        must(at, ['ip', 'link', 'set', link, 'up']);
      }
      untilReady(this.#lan, port);
      untilReady(ns, iface);
    };
    onLan(this.host, 'up0', 'p0', HOST, HOST_6);
    onLan(this.ext1, 'eth0', 'p1', EXT1, EXT1_6);
    onLan(this.ext2, 'eth0', 'p2', EXT2, EXT2_6);
    untilReady(this.#lan, 'br0');
    this.pair(this.host, 'up1', `${HOST2}/24`, this.ext3, 'eth0', `${EXT3}/24`);
    must(this.host, ['ip', 'addr', 'add', `${HOST2_6}/64`, 'dev', 'up1', 'nodad']);
    must(this.ext3, ['ip', 'addr', 'add', `${EXT3_6}/64`, 'dev', 'eth0', 'nodad']);
    must(this.host, ['ip', 'route', 'add', 'default', 'via', EXT2]);
    must(this.host, ['ip', '-6', 'route', 'add', 'default', 'via', EXT2_6]);
  }

  /** A namespace that goes with the testbed. */
  namespace(name: string): string {
    must(null, ['ip', 'netns', 'add', name]);
    this.#namespaces.push(name);
    must(name, ['ip', 'link', 'set', 'lo', 'up']);
    return name;
  }

  /** A veth pair, both ends up and ready. */
  pair(a: string, aName: string, aCidr: string | null, b: string, bName: string, bCidr: string | null): void {
    must(null, ['ip', '-n', a, 'link', 'add', aName, 'type', 'veth', 'peer', 'name', bName, 'netns', b]);
    const ends = [
      [a, aName, aCidr],
      [b, bName, bCidr],
    ] as const;
    for (const [ns, name, cidr] of ends) {
      withoutDad(ns, name);
      if (cidr !== null) must(ns, ['ip', 'addr', 'add', cidr, 'dev', name]);
      must(ns, ['ip', 'link', 'set', name, 'up']);
    }
    for (const [ns, name] of ends) untilReady(ns, name);
  }

  daemonCommand(...extra: string[]): string[] {
    return [
      SLUICED,
      ...extra,
      '--socket',
      this.socket,
      '--state-dir',
      join(this.directory, 'state'),
      '--bpffs',
      this.bpffs,
      ...(this.#daemonFlags.includes('--docker-plugin') ? [] : ['--no-docker']),
      ...(this.#daemonFlags.some((f) => f.startsWith('--metrics')) ? [] : ['--no-metrics']),
      ...this.#daemonFlags,
    ];
  }

  /** With the flags of the one before, unless others are given; `program`: of another version. */
  async startDaemon(flags = this.#daemonFlags, program = SLUICED): Promise<void> {
    this.#daemonFlags = flags;
    const [, ...args] = this.daemonCommand();
    this.daemon = new Background(this.host, [...this.#daemonUnder, program, ...args]);
    this.#daemons.push(this.daemon);
    await this.daemon.says(/Try:/);
  }

  /** SIGKILL unless another signal is given. */
  async killDaemon(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.daemon?.stop(signal);
    this.daemon = null;
  }

  /** `sluice …` */
  cli(...args: string[]): Result {
    return run(null, [join(ROOT, 'bin/sluice'), '--socket', this.socket, ...args]);
  }

  /** As cli, for what has to succeed. */
  ok(...args: string[]): string {
    const r = this.cli(...args);
    if (r.code !== 0) throw new Error(`sluice ${args.join(' ')}: exit ${r.code}: ${r.err}`);
    return r.out;
  }

  /** `sluice … -o json`, parsed. */
  list<T>(...args: string[]): T {
    return JSON.parse(this.ok(...args, '-o', 'json')) as T;
  }

  /** Sandbox names are global on the machine, so they carry the suffix too. */
  box(name: string): string {
    return `${name}-${this.suffix}`;
  }

  /** A sandbox with an endpoint. */
  container(name: string, network: string, ...flags: string[]): Container {
    const ns = this.box(name);
    if (!existsSync(`/run/netns/${ns}`)) this.ok('sandbox', 'create', ns);
    this.ok('connect', network, ns, ...flags);
    const [endpoint] = JSON.parse(this.ok('endpoint', 'inspect', `${network}.${ns}`)) as [
      { ipv4: string; ipv6: string | null },
    ];
    return { ns, ip: endpoint.ipv4, ip6: endpoint.ipv6 ?? '' };
  }

  dropped(reason: string): number {
    const status = this.list<{ drops: Record<string, { packets: number }> }>('status');
    return status.drops[reason]?.packets ?? 0;
  }

  capture(ns: string, iface: string, filter?: string): Promise<Capture> {
    return Capture.start(ns, iface, this.directory, filter);
  }

  inject(ns: string, iface: string, ...expressions: string[]): void {
    inject(ns, iface, ...expressions);
  }

  /** So that checksums on the wire are whole and packets are those of the wire. */
  offloadsOff(ns: string, iface: string): void {
    must(ns, ['ethtool', '-K', iface, 'tx', 'off', 'rx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off']);
  }

  background(ns: string, command: string[], options: { cwd?: string } = {}): Background {
    const process = new Background(ns, command, options);
    this.#background.push(process);
    return process;
  }

  /** A web server that answers GET with the client's address, and logs it. */
  async web(ns: string, port: number, family: 4 | 6 = 4): Promise<Background> {
    const server = this.background(ns, [
      '/usr/bin/python3',
      join(import.meta.dirname, 'servers.py'),
      'web',
      String(port),
      String(family),
    ]);
    await server.says(/ready/);
    return server;
  }

  /** Sends each datagram back, with the sender's address before it. */
  async udpEcho(ns: string, port: number, family: 4 | 6 = 4): Promise<Background> {
    const server = this.background(ns, [
      '/usr/bin/python3',
      join(import.meta.dirname, 'servers.py'),
      'udp',
      String(port),
      String(family),
    ]);
    await server.says(/ready/);
    return server;
  }

  /** With `-m 1` where nothing is to come. */
  curl(ns: string, url: string, ...flags: string[]): Result {
    return run(ns, ['curl', '-s', '-m', '10', ...flags, url]);
  }

  /** One datagram there and back; '' without an answer for so many seconds: few where none is to come. */
  udp(
    ns: string,
    address: string,
    port: number,
    options: { sport?: number; text?: string; seconds?: number } = {},
  ): string {
    const { sport = 0, text = 'hello', seconds = 10 } = options;
    return run(ns, [
      '/usr/bin/python3',
      join(import.meta.dirname, 'servers.py'),
      'ask',
      address,
      String(port),
      String(sport),
      text,
      String(seconds),
    ]).out;
  }

  /** One datagram from each of so many ports; answers and errors are awaited as by udp(). */
  many(
    ns: string,
    address: string,
    port: number,
    count: number,
    seconds = 10,
  ): { answered: number; errors: string[] } {
    const servers = join(import.meta.dirname, 'servers.py');
    const how = [address, port, count, seconds].map(String);
    return JSON.parse(must(ns, ['/usr/bin/python3', servers, 'many', ...how])) as {
      answered: number;
      errors: string[];
    };
  }

  async stop(): Promise<void> {
    for (const process of this.#background.splice(0)) await process.stop('SIGKILL');
    await this.killDaemon('SIGTERM');
    for (const daemon of this.#daemons.splice(0)) await daemon.stop('SIGKILL');
    if (this.#namespaces.includes(this.host) && existsSync(join(this.directory, 'state'))) {
      const cleaned = run(this.host, this.daemonCommand('cleanup'));
      if (cleaned.code !== 0) throw new Error(`cleanup failed: ${cleaned.err}`);
    }
    for (const ns of this.#namespaces.splice(0)) run(null, ['ip', 'netns', 'del', ns]);
    await until(() => !existsSync(this.bpffs), `${this.bpffs} is gone`, 2_000).catch(() => undefined);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
