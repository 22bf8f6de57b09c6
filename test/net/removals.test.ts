// SPDX-License-Identifier: Apache-2.0
/**
 * What other hands take away: nothing forbidden passes meanwhile, whether the
 * daemon lives, is dead or starts, and it is back within a second.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LINKS_DIR, MAPS_DIR } from '../../src/daemon/places.js';
import { json, must, run, sleep, until } from '../support/process.js';
import { Scene } from '../support/removals.js';

interface Removal {
  readonly what: string;
  /** Answers whether everything is as it was. */
  remove(scene: Scene): () => boolean;
  /** True: it takes the connections along. */
  readonly ends?: boolean;
}

const filtered = (scene: Scene, link: string, direction: string): boolean =>
  run(scene.bed.host, ['tc', 'filter', 'show', 'dev', link, direction]).out.includes('guard_');

const whole = (directory: string, names: readonly string[]): boolean => {
  const present = new Set(readdirSync(directory));
  return names.every((name) => present.has(name));
};

/** Some of it may be back before all of it is gone. */
function wipe(what: string): void {
  run(null, ['sh', '-c', `rm -rf ${what}`]);
}

const REMOVALS: readonly Removal[] = [
  {
    what: "the program of a container's link",
    remove: (s) => s.detach('endpoint_ingress', s.veth('c1')),
  },
  {
    what: "the program of an internal network's container",
    remove: (s) => s.detach('endpoint_ingress', s.veth('i1')),
  },
  {
    what: 'the program of a container that may not reach others',
    remove: (s) => s.detach('endpoint_ingress', s.veth('x1')),
  },
  {
    what: 'the program of an uplink',
    remove: (s) => s.detach('uplink_ingress', 'up0'),
    // until it is back the host itself answers: it knows nothing of these connections
    ends: true,
  },
  {
    what: 'the program on the way out of an uplink',
    remove: (s) => s.detach('uplink_egress', 'up0'),
  },
  {
    what: 'the program of a bridge',
    remove: (s) => s.detach('bridge_egress', s.bridge('pub')),
  },
  {
    what: 'the pins of links',
    remove: (s) => {
      const had = readdirSync(s.pins);
      wipe(`${s.pins}/*`);
      return () => whole(s.pins, had);
    },
  },
  {
    what: 'a pin of a map',
    remove: (s) => {
      const maps = join(s.bed.bpffs, MAPS_DIR);
      wipe(join(maps, 'flows4'));
      return () => whole(maps, ['flows4']);
    },
  },
  {
    what: 'all pins and marks',
    remove: (s) => {
      // a qdisc that is not marked any more is its device's
      const had = readdirSync(s.pins).filter((name) => !name.startsWith('clsact-'));
      wipe(`${s.bed.bpffs}/*`);
      return () => whole(s.bed.bpffs, [LINKS_DIR, MAPS_DIR, 'netns', 'state']) && whole(s.pins, had);
    },
  },
  {
    what: "the qdisc of a container's link",
    remove: (s) => {
      must(s.bed.host, ['tc', 'qdisc', 'del', 'dev', s.veth('c1'), 'clsact']);
      return () => filtered(s, s.veth('c1'), 'ingress') && s.attached('endpoint_ingress', s.veth('c1')) !== 0;
    },
  },
  {
    what: "the qdisc of an internal network's link",
    remove: (s) => {
      must(s.bed.host, ['tc', 'qdisc', 'del', 'dev', s.veth('i1'), 'clsact']);
      return () => filtered(s, s.veth('i1'), 'ingress') && s.attached('endpoint_ingress', s.veth('i1')) !== 0;
    },
  },
  {
    what: 'the qdisc of a bridge',
    remove: (s) => {
      const bridge = s.bridge('pub');
      must(s.bed.host, ['tc', 'qdisc', 'del', 'dev', bridge, 'clsact']);
      return () => ['ingress', 'egress'].every((direction) => filtered(s, bridge, direction));
    },
  },
  {
    what: 'the filters of a bridge, one way',
    remove: (s) => {
      must(s.bed.host, ['tc', 'filter', 'del', 'dev', s.bridge('itn'), 'ingress']);
      return () => filtered(s, s.bridge('itn'), 'ingress');
    },
  },
  ...['c1', 'i1'].map((name) => ({
    what: `the link of ${name} from its bridge`,
    remove: (s: Scene) => {
      const link = s.veth(name);
      const { master } = s.link(s.bed.host, link);
      must(s.bed.host, ['ip', 'link', 'set', link, 'nomaster']);
      return () => s.link(s.bed.host, link).master === master;
    },
  })),
  {
    what: 'a bridge, set down',
    remove: (s) => s.down(s.bridge('pub')),
  },
  {
    what: "a container's link, set down",
    remove: (s) => s.down(s.veth('c1')),
  },
  {
    what: 'the veth of the reassembly namespace, set down',
    remove: (s) => s.down(/slf[0-9a-f]+/.exec(must(s.bed.host, ['ip', '-br', 'link']))?.[0] ?? ''),
  },
  {
    what: "a bridge's address, for another",
    remove: (s) => {
      const bridge = s.bridge('itn');
      const { address } = s.link(s.bed.host, bridge);
      must(s.bed.host, ['ip', 'link', 'set', bridge, 'address', '02:00:00:00:77:77']);
      return () => s.link(s.bed.host, bridge).address === address;
    },
  },
  {
    what: "a bridge's IP addresses",
    remove: (s) => {
      const bridge = s.bridge('pub');
      const shown = () =>
        json<{ addr_info: { local: string; scope: string }[] }[]>(s.bed.host, [
          ...['ip', '-j', 'addr', 'show', 'dev', bridge],
        ]).flatMap(({ addr_info }) => addr_info.filter(({ scope }) => scope === 'global'));
      const had = shown().map(({ local }) => local);
      must(s.bed.host, ['ip', 'addr', 'flush', 'dev', bridge, 'scope', 'global']);
      return () => had.every((address) => shown().some(({ local }) => local === address));
    },
  },
  {
    what: 'forwarding of all devices',
    remove: (s) => {
      must(s.bed.host, ['sysctl', '-qw', 'net.ipv4.ip_forward=0']);
      const forwards = () =>
        must(s.bed.host, ['sysctl', '-n', `net.ipv4.conf.${s.bridge('pub')}.forwarding`]);
      return () => {
        if (forwards().trim() !== '1') return false;
        must(s.bed.host, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
        return true;
      };
    },
  },
  {
    what: 'a bridge, deleted',
    remove: (s) => {
      const bridge = s.bridge('itn');
      must(s.bed.host, ['ip', 'link', 'del', bridge]);
      return () =>
        run(s.bed.host, ['ip', 'link', 'show', 'dev', bridge]).code === 0 &&
        s.link(s.bed.host, s.veth('i1')).master === bridge &&
        filtered(s, bridge, 'egress');
    },
  },
  {
    what: 'a hook of sockets',
    remove: (s) => {
      const pin = join(s.pins, 'cgroup-connect4');
      const id = (): number =>
        json<{ id: number }>(null, ['bpftool', '-j', 'link', 'show', 'pinned', pin]).id;
      const before = id();
      must(null, ['bpftool', 'link', 'detach', 'pinned', pin]);
      return () => readdirSync(s.pins).includes('cgroup-connect4') && id() !== before;
    },
  },
];

/** A second, and then some for a machine that does several things at once. */
const BACK_MS = 4_000;
const METRICS = ['--metrics', '127.0.0.1:9477'];
const CASES = REMOVALS.map((removal) => [removal.what, removal] as const);

describe.each([
  ['links', METRICS],
  ['filters', [...METRICS, '--without', 'tcx']],
])('programs as %s', (mode, flags) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.start(flags);
  });
  afterAll(() => scene.bed.stop());

  const settled = () =>
    until(() => scene.bed.list<{ rows: { error: number } }>('status').rows.error === 0, 'all is in place');

  /** While what must not pass is sent, and does not. */
  async function closed(task: () => Promise<void>): Promise<void> {
    const end = await scene.probe();
    const { sent, passed } = await task().then(end, (e: unknown) => end().then(() => Promise.reject(e)));
    expect(sent).toBeGreaterThan(500);
    expect(passed).toEqual({});
  }

  it.each(CASES)('daemon alive: %s', async (_, removal) => {
    const talks = removal.ends === true ? [] : await scene.talk();
    const before = scene.repairs();
    await closed(async () => {
      await sleep(300);
      const isBack = removal.remove(scene);
      await until(isBack, `${removal.what} is back`, BACK_MS);
      await sleep(200);
    });
    expect(scene.repairs()).toBeGreaterThan(before);
    await settled();
    for (const talk of talks) expect([talk.ended, talk.err]).toEqual([false, '']);
    for (const talk of talks) await talk.stop('SIGKILL');
  });

  it.each(CASES)('daemon dead, then starting: %s', async (_, removal) => {
    await closed(async () => {
      await scene.bed.killDaemon();
      const isBack = removal.remove(scene);
      await sleep(500);
      await scene.bed.startDaemon();
      await until(isBack, `${removal.what} is back`, BACK_MS);
    });
    await settled();
    for (const talk of await scene.talk()) await talk.stop('SIGKILL');
  });

  // a start does the same whatever the programs are attached by
  it.each(mode === 'links' ? CASES : [])('daemon starting: %s', async (_, removal) => {
    await closed(async () => {
      await scene.bed.killDaemon();
      const started = scene.bed.startDaemon();
      // somewhere between its first look and its last change
      await sleep(400 + Math.random() * 800);
      const isBack = removal.remove(scene);
      await started;
      await until(isBack, `${removal.what} is back`, BACK_MS);
    });
    await settled();
    for (const talk of await scene.talk()) await talk.stop('SIGKILL');
  });
});
