// SPDX-License-Identifier: Apache-2.0
/**
 * A real dockerd on the testbed's host: in its network namespace, and in mount
 * and process namespaces that outlive dockerd, so that it can be stopped and
 * killed under its containers, and that end with all that runs in them.
 *
 *   holder (process 1 of its namespace): /run is its own, with the plugins'
 *   directory in it; dockerd, containerd, shims and containers run beside it.
 *
 * sluiced is its plugin, and follows its Engine. Which Docker it is, engine.ts tells.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CLIENT, ON_THIS_ROOT, OTHER_ROOT, takeRoot } from './engine.js';
import { Background, must, type Result, run, until } from './process.js';
import { Testbed } from './testbed.js';

const SERVERS = join(import.meta.dirname, 'servers.py');
/** The image that containers are made from: busybox, and nothing else. */
export const IMAGE = 'box';
const APPLETS = [
  'sh',
  'sleep',
  'httpd',
  'echo',
  'nslookup',
  'ip',
  'cat',
  'sed',
  'ping',
  'test',
  'touch',
  'rm',
];
/** The first process of a namespace does not hear of SIGTERM unless it asks for it. */
const QUICK = ['--stop-signal', 'KILL'];
const CGROUPS = '/sys/fs/cgroup';

export interface DockerNetworkSettings {
  ip: string;
  ip6: string;
  mac: string;
}

export class DockerBed {
  readonly bed: Testbed;
  readonly #directory: string;
  readonly #flags: string[];
  readonly #cgroup = `sluice-test-${randomBytes(3).toString('hex')}`;
  readonly #daemonUnder: string[];
  #holder: Background | null = null;
  #pid = 0;
  dockerd: Background | null = null;

  private constructor(bed: Testbed, flags: string[], daemonUnder: string[]) {
    this.bed = bed;
    this.#daemonUnder = daemonUnder;
    this.#directory = bed.directory;
    this.#flags = flags;
  }

  /** `flags` of dockerd, such as `--iptables=false`; `daemonFlags` of sluiced. */
  static async start(flags: string[], daemonFlags: string[] = []): Promise<DockerBed> {
    const daemonUnder: string[] = [];
    const bed = await Testbed.start({
      daemonUnder,
      daemonFlags: (directory) => [
        ...['--docker-plugin', join(directory, 'plugins/sluice.sock')],
        ...['--docker-host', `unix://${directory}/docker.sock`],
        ...daemonFlags,
      ],
    });
    const docker = new DockerBed(bed, flags, daemonUnder);
    try {
      await docker.#hold();
      await docker.startDockerd();
      docker.#image();
    } catch (e) {
      await docker.stop();
      throw e;
    }
    return docker;
  }

  async #hold(): Promise<void> {
    const script = [
      'mount -t tmpfs tmpfs /run',
      'mkdir -p /run/docker/plugins',
      'echo {} > /run/dockerd.json',
      `mount --bind ${this.#directory}/plugins /run/docker/plugins`,
      ...takeRoot(this.#directory),
      // Ends with whoever holds the other end, also where that is killed; and reaps what is left to it.
      `exec ${ON_THIS_ROOT.join(' ')} bash -c 'echo ready; cat; exit 0'`,
    ].join(' && ');
    this.#holder = new Background(this.bed.host, [
      'unshare',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      '--propagation',
      'private',
      'bash',
      '-c',
      script,
    ]);
    await this.#holder.says(/ready/);
    this.#pid = Number(must(null, ['pgrep', '-P', String(this.#holder.pid)]).trim());
  }

  /** A command of this machine's, whichever root Docker has. */
  #inside(command: string[]): string[] {
    return ['nsenter', '-t', String(this.#pid), '--root', '--mount', '--net', '--pid', '--', ...command];
  }

  /** A command of Docker's. */
  #ofDocker(command: string[]): string[] {
    return ['nsenter', '-t', String(this.#pid), '--mount', '--net', '--pid', '--', ...command];
  }

  /**
   * Starts the daemon anew on dockerd's side of things, where it sees the
   * namespaces that Docker binds, and dies with what the test sees of it.
   */
  async moveDaemon(): Promise<void> {
    await this.bed.killDaemon('SIGTERM');
    const inside = ['nsenter', '-t', String(this.#pid), '--mount', '--pid', '--', ...ON_THIS_ROOT];
    this.#daemonUnder.push(...inside, 'setpriv', '--pdeathsig', 'KILL', '--');
    await this.bed.startDaemon();
  }

  /** Where Docker finds the driver. */
  get plugin(): string {
    return join(this.#directory, 'plugins/sluice.sock');
  }

  /** A command on dockerd's side of things. */
  run(...command: string[]): Result {
    return run(null, this.#inside(command));
  }

  async startDockerd(...flags: string[]): Promise<void> {
    this.dockerd = new Background(
      null,
      this.#ofDocker([
        'dockerd',
        `--host=unix://${this.#directory}/docker.sock`,
        `--data-root=${this.#directory}/docker`,
        '--exec-root=/run/docker-exec',
        '--pidfile=/run/dockerd.pid',
        '--storage-driver=vfs',
        '--exec-opt=native.cgroupdriver=cgroupfs',
        `--cgroup-parent=/${this.#cgroup}`,
        '--config-file=/run/dockerd.json',
        ...this.#flags,
        ...flags,
      ]),
    );
    await this.dockerd.says(/API listen on/, 60_000);
  }

  /** SIGTERM, or the signal given, to dockerd alone. */
  async stopDockerd(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    // The child is nsenter's own child: signals must reach dockerd itself.
    const pid = this.run('cat', '/run/dockerd.pid').out.trim();
    if (pid !== '') this.run('kill', `-${signal.replace('SIG', '')}`, pid);
    await this.dockerd?.end();
    this.dockerd = null;
    if (signal === 'SIGKILL') this.run('rm', '-f', '/run/dockerd.pid');
  }

  /** While dockerd is down: it has no network any more, nor an endpoint. */
  forgetNetworks(): void {
    rmSync(join(this.#directory, 'docker/network'), { recursive: true });
  }

  /** busybox, its web server and a script that tells who asks. */
  #image(): void {
    const root = join(this.#directory, 'image');
    for (const directory of ['bin', 'www/cgi-bin', 'tmp', 'etc', 'proc', 'sys', 'dev']) {
      mkdirSync(join(root, directory), { recursive: true });
    }
    copyFileSync('/usr/bin/busybox', join(root, 'bin/busybox'));
    for (const name of APPLETS) {
      symlinkSync('busybox', join(root, 'bin', name));
    }
    const script = join(root, 'www/cgi-bin/ip');
    // httpd writes IPv6 addresses in brackets, and IPv4 ones as such.
    const address = 'echo -n "$REMOTE_ADDR" | sed "s/^[[]//; s/^::ffff://; s/[]]$//"';
    writeFileSync(script, `#!/bin/sh\necho "Content-Type: text/plain"\necho\n${address}\n`);
    chmodSync(script, 0o755);
    must(null, ['sh', '-c', `tar -C ${root} -c . | ${this.client.join(' ')} import - ${IMAGE}`]);
  }

  /** The client and what leads it here. */
  get client(): string[] {
    const command = [CLIENT, '-H', `unix://${this.#directory}/docker.sock`];
    return OTHER_ROOT === null ? command : this.#ofDocker(command);
  }

  docker(...args: string[]): Result {
    return run(null, [...this.client, ...args]);
  }

  /** As docker(), going on beside the test. */
  background(...args: string[]): Background {
    return new Background(null, [...this.client, ...args]);
  }

  /** As docker(), for what has to succeed; answers its output without the line's end. */
  ok(...args: string[]): string {
    const r = this.docker(...args);
    if (r.code !== 0) throw new Error(`docker ${args.join(' ')}: exit ${r.code}: ${r.err}`);
    return r.out.trim();
  }

  /** Compose, of the package: the plugin of docker's that it also is need not be there. */
  compose(file: string, environment: Record<string, string>, ...args: string[]): string {
    const set = Object.entries({ DOCKER_HOST: `unix://${this.#directory}/docker.sock`, ...environment });
    const command = [
      ...['env', ...set.map(([key, value]) => `${key}=${value}`)],
      ...['docker-compose', '-p', 'example', '-f', file, ...args],
    ];
    return must(null, OTHER_ROOT === null ? command : this.#ofDocker(command));
  }

  /** What docker says when it refuses. */
  refused(...args: string[]): string {
    const r = this.docker(...args);
    if (r.code === 0) throw new Error(`docker ${args.join(' ')} was not refused`);
    return r.err.trim();
  }

  /** A container that serves on port 80 and tells each client its address. */
  web(name: string, ...flags: string[]): void {
    this.ok('run', '-d', ...QUICK, '--name', name, ...flags, IMAGE, 'httpd', '-f', '-p', '80', '-h', '/www');
  }

  /** A container that does nothing. */
  idle(name: string, ...flags: string[]): void {
    this.ok('run', '-d', ...QUICK, '--name', name, ...flags, IMAGE, 'sleep', '1000000');
  }

  settings(container: string, network: string): DockerNetworkSettings {
    const [{ NetworkSettings }] = JSON.parse(this.ok('inspect', container));
    const { IPAddress, GlobalIPv6Address, MacAddress } = NetworkSettings.Networks[network];
    return { ip: IPAddress, ip6: GlobalIPv6Address, mac: MacAddress };
  }

  /** A command of this machine in a container's network namespace. */
  within(container: string, ...command: string[]): Result {
    const pid = this.ok('inspect', '-f', '{{.State.Pid}}', container);
    return this.run('nsenter', '-t', pid, '--net', '--', ...command);
  }

  /** As within(), going on beside the test; ends with the bed. */
  beside(container: string, ...command: string[]): Background {
    const pid = this.ok('inspect', '-f', '{{.State.Pid}}', container);
    return new Background(null, this.#inside(['nsenter', '-t', pid, '--net', '--', ...command]));
  }

  /** A server of test/support/servers.py there. */
  async serve(container: string, ...args: string[]): Promise<Background> {
    const server = this.beside(container, '/usr/bin/python3', SERVERS, ...args);
    await server.says(/ready/);
    return server;
  }

  async stop(): Promise<void> {
    // With process 1 go all others of its namespace, dockerd and containers, and the mounts.
    if (this.#pid !== 0) run(null, ['kill', '-KILL', String(this.#pid)]);
    await this.#holder?.stop('SIGKILL');
    this.dockerd = null;
    try {
      await this.bed.stop();
    } finally {
      await this.#removeCgroups();
    }
  }

  async #removeCgroups(): Promise<void> {
    const places = readdirSync(CGROUPS).map((name) => join(CGROUPS, name, this.#cgroup));
    for (const place of [join(CGROUPS, this.#cgroup), ...places]) {
      if (!existsSync(place)) continue;
      await until(() => removeTree(place), `${place} is empty`, 5_000).catch(() => undefined);
    }
  }
}

/** Directories of cgroups only: their files cannot be removed, and go with them. */
function removeTree(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(path, entry.name));
    }
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}
