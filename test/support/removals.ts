// SPDX-License-Identifier: Apache-2.0
/** A host with one of everything that may be taken away, and probes of all that must not pass. It forwards, as one with Docker does. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { LINKS_DIR } from '../../src/daemon/places.js';
import { CLSACT_PRIORITY } from '../../src/loader/clsact.js';
import { build } from './frame.js';
import { type Background, json, must, run, sleep, until } from './process.js';
import { type Container, EXT1, EXT2, HOST, Testbed } from './testbed.js';

const PROBE = join(import.meta.dirname, 'probe.py');
/** Of each frame. */
const RATE = 1000;

/** One byte there and back every 5 ms, on a connection that stays open. */
const TALK = `import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=6); print('open', flush=True)
while True: s.sendall(b'x'); s.recv(1) or sys.exit('closed'); time.sleep(.005)`;
const ECHO = `import socket, sys, threading
def serve(c):
  while d := c.recv(99): c.sendall(d)
l = socket.create_server(('', int(sys.argv[1]))); print('ready', flush=True)
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()`;

interface Link {
  readonly ifindex: number;
  readonly address: string;
  readonly master?: string;
  readonly flags: string[];
}

/** A host on which everything that may be taken away is there. */
export class Scene {
  readonly bed: Testbed;
  /** Programs are filters, not links. */
  readonly filters: boolean;
  readonly #boxes = new Map<string, Container>();
  readonly #network = new Map<string, string>();
  readonly #veth = new Map<string, string>();
  readonly #bridge = new Map<string, string>();

  private constructor(bed: Testbed, filters: boolean) {
    this.bed = bed;
    this.filters = filters;
  }

  static async start(flags: readonly string[]): Promise<Scene> {
    const bed = await Testbed.start({ daemonFlags: [...flags] });
    const scene = new Scene(bed, flags.includes('tcx'));
    // before the networks, whose devices would follow
    must(bed.host, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    const options = { pub: [], oth: [], itn: ['--internal'], iso: ['-o', 'icc=false'] };
    for (const [network, flags] of Object.entries(options)) bed.ok('network', 'create', network, ...flags);
    for (const [name, network] of [
      ['c1', 'pub'],
      ['c2', 'pub'],
      ['o1', 'oth'],
      ['i1', 'itn'],
      ['x1', 'iso'],
      ['x2', 'iso'],
    ] as const) {
      scene.#boxes.set(name, bed.container(name, network, ...(name === 'c1' ? ['-p', '5301:80'] : [])));
      scene.#network.set(name, network);
    }
    scene.#learn();
    await scene.#serve();
    return scene;
  }

  box(name: string): Container {
    return this.#boxes.get(name) as Container;
  }

  /** Of a container, the host's side. */
  veth(name: string): string {
    return this.#veth.get(name) as string;
  }

  bridge(network: string): string {
    return this.#bridge.get(network) as string;
  }

  /** Asked for once: the daemon may be dead later. */
  #learn(): void {
    const { bed } = this;
    for (const network of new Set(this.#network.values())) {
      const [shown] = bed.list<{ interface: string }[]>('network', 'inspect', network);
      this.#bridge.set(network, shown?.interface ?? '');
    }
    for (const [name, network] of this.#network) {
      const endpoint = `${network}.${this.box(name).ns}`;
      const [shown] = bed.list<{ hostInterface: string }[]>('endpoint', 'inspect', endpoint);
      this.#veth.set(name, shown?.hostInterface ?? '');
    }
  }

  link(ns: string, name: string): Link {
    const [link] = json<Link[]>(ns, ['ip', '-j', 'link', 'show', 'dev', name]);
    return link as Link;
  }

  get pins(): string {
    return join(this.bed.bpffs, LINKS_DIR);
  }

  /** Pins of the programs on a link, by links or filters. */
  pinsOf(link: string): string[] {
    return readdirSync(this.pins).filter((name) => name.includes(`-${link}`));
  }

  repairs(): number {
    const metrics = run(this.bed.host, ['curl', '-s', 'http://127.0.0.1:9477/metrics']).out;
    return [...metrics.matchAll(/^sluice_reconcile_repairs_total\{.*\} (\d+)$/gm)].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );
  }

  /** What must not pass: who sends it and where it would come out. */
  #forbidden(): { from: string; frames: Buffer[] }[] {
    const { bed } = this;
    const mac = (ns: string, link = 'eth0'): string => this.link(ns, link).address;
    const frame = (from: string, to: string, src: string, dst: string, magic: string): Buffer =>
      build({
        ethSrc: mac(from),
        ethDst: to,
        src,
        dst,
        protocol: 17,
        sport: 4444,
        dport: 7000,
        payload: Buffer.from(magic.repeat(3)),
      });
    const [c1, c2, o1, i1, x1, x2] = ['c1', 'c2', 'o1', 'i1', 'x1', 'x2'].map((name) => this.box(name)) as [
      Container,
      Container,
      Container,
      Container,
      Container,
      Container,
    ];
    const [pub, itn] = ['pub', 'itn'].map((network) => mac(bed.host, this.bridge(network))) as [
      string,
      string,
    ];
    const side = (name: string): string => mac(bed.host, this.veth(name));
    return [
      { from: bed.ext1, frames: [frame(bed.ext1, mac(bed.host, 'up0'), EXT1, c1.ip, 'DIRECT')] },
      {
        from: i1.ns,
        frames: [
          frame(i1.ns, itn, i1.ip, EXT2, 'INTERNAL'),
          frame(i1.ns, side('i1'), i1.ip, EXT2, 'INTVETH'),
          frame(i1.ns, itn, i1.ip, HOST, 'INTHOST'),
        ],
      },
      {
        from: c1.ns,
        frames: [
          frame(c1.ns, pub, c1.ip, o1.ip, 'OTHERNET'),
          frame(c1.ns, pub, c2.ip, EXT2, 'SPOOFED'),
          frame(c1.ns, pub, '192.168.99.9', EXT2, 'FOREIGN'),
          frame(c1.ns, side('c1'), c1.ip, EXT2, 'OWNVETH'),
        ],
      },
      { from: x1.ns, frames: [frame(x1.ns, mac(x2.ns), x1.ip, x2.ip, 'ISOLATED')] },
    ];
  }

  /** Sends what is forbidden until it is stopped, and then answers what of it came through. */
  async probe(): Promise<() => Promise<{ sent: number; passed: Record<string, number> }>> {
    const python = (ns: string, ...args: string[]) =>
      this.bed.background(ns, ['/usr/bin/python3', PROBE, ...args]);
    const magics = ['DIRECT', 'INTERNAL', 'INTVETH', 'OTHERNET', 'SPOOFED', 'FOREIGN', 'OWNVETH', 'ISOLATED'];
    const seers = [this.bed.ext2, this.box('c1').ns, this.box('o1').ns, this.box('x2').ns].map((ns) =>
      python(ns, 'see', 'eth0', ...magics),
    );
    // to the host itself: a socket of it
    const host = this.bed.background(this.bed.host, ['/usr/bin/python3', '-c', HEAR]);
    for (const one of [...seers, host]) await one.says(/ready/);
    const senders = this.#forbidden().map(({ from, frames }) =>
      python(from, 'send', 'eth0', String(RATE), ...frames.map((f) => f.toString('hex'))),
    );
    for (const sender of senders) await sender.says(/ready/);
    return async () => {
      const last = async (one: Background) => {
        await one.stop();
        await until(() => one.out.includes('}'), 'it has told', 2_000);
        return JSON.parse(one.out.slice(one.out.indexOf('{'))) as Record<string, number>;
      };
      const sent = await Promise.all(senders.map(last));
      await sleep(100);
      const seen = await Promise.all([...seers, host].map(last));
      return {
        sent: sent.reduce((sum, one) => sum + (one['sent'] ?? 0), 0),
        passed: Object.assign({}, ...seen) as Record<string, number>,
      };
    };
  }

  async #serve(): Promise<void> {
    const servers = [this.#python(this.bed.ext1, ECHO, 7001), this.#python(this.box('c1').ns, ECHO, 80)];
    for (const server of servers) await server.says(/ready/);
  }

  #python(ns: string, script: string, ...args: (string | number)[]): Background {
    return this.bed.background(ns, ['/usr/bin/python3', '-c', script, ...args.map(String)]);
  }

  /** Live connections of both directions. */
  async talk(): Promise<Background[]> {
    const { bed } = this;
    const box = this.box('c1');
    const talks = [this.#python(box.ns, TALK, EXT1, 7001), this.#python(bed.ext1, TALK, HOST, 5301)];
    for (const talk of talks) await talk.says(/open/);
    return talks;
  }

  /** What is attached for a hook: the link's id, or that of the filter's program; 0: nothing. */
  attached(hook: string, link: string): number {
    if (this.filters) {
      const filters = json<{ options?: { bpf_name?: string; prog?: { id: number } } }[]>(this.bed.host, [
        ...['tc', '-j', 'filter', 'show', 'dev', link, directionOf(hook)],
      ]);
      return (
        filters.find(({ options }) => options?.prog !== undefined && isOf(options, hook))?.options?.prog
          ?.id ?? 0
      );
    }
    const shown = run(null, ['bpftool', '-j', 'link', 'show', 'pinned', join(this.pins, `${hook}-${link}`)]);
    return shown.code === 0 ? (JSON.parse(shown.out) as { id: number }).id : 0;
  }

  down(link: string): () => boolean {
    must(this.bed.host, ['ip', 'link', 'set', link, 'down']);
    return () => this.link(this.bed.host, link).flags.includes('UP');
  }

  /** As somebody else would. Answers whether another one is there. */
  detach(hook: string, link: string): () => boolean {
    const before = this.attached(hook, link);
    if (this.filters) {
      must(this.bed.host, [
        'tc',
        'filter',
        'del',
        'dev',
        link,
        directionOf(hook),
        'prio',
        String(CLSACT_PRIORITY),
      ]);
      return () => this.attached(hook, link) !== 0;
    }
    must(null, ['bpftool', 'link', 'detach', 'pinned', join(this.pins, `${hook}-${link}`)]);
    return () => ![0, before].includes(this.attached(hook, link));
  }
}

const directionOf = (hook: string): string => (hook.endsWith('_egress') ? 'egress' : 'ingress');
const isOf = (options: { bpf_name?: string }, hook: string): boolean =>
  options.bpf_name?.startsWith(hook.slice(0, 15)) ?? false;

const HEAR = `import json, signal, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7000)); s.settimeout(.1); n = 0; go = True
def stop(*_):
  global go; go = False
signal.signal(signal.SIGTERM, stop); print('ready', flush=True)
while go:
  try: n += b'INTHOST' in s.recv(999)
  except OSError: pass
print(json.dumps({'INTHOST': n} if n else {}), flush=True)`;
