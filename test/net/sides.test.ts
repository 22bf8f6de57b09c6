// SPDX-License-Identifier: Apache-2.0
/** A published port from every side of the host, and programs of others on our hooks. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Background, must, run, until } from '../support/process.js';
import { EXT1, EXT2, EXT2_6, EXT3, HOST, HOST_6, HOST2, Testbed } from '../support/testbed.js';

let bed: Testbed;
let box: { ns: string; ip: string };

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'web');
  box = bed.container('box', 'web', '-p', '8080:80', '-p', '5300:53/udp');
  await bed.web(box.ns, 80);
  await bed.udpEcho(box.ns, 53);
});
afterAll(() => bed.stop());

const hooks = (link: string) =>
  bed
    .list<{ attachModes: { link: string; hook: string }[] }>('status')
    .attachModes.filter((at) => at.link === link);
const uplinks = () => bed.list<{ uplinks: { link: string }[] }>('status').uplinks.map((u) => u.link);

describe('a published port', () => {
  it('answers a client on the second interface, which has no default route', () => {
    expect(bed.curl(bed.ext3, `http://${HOST2}:8080/`).out).toBe(EXT3);
    expect(bed.udp(bed.ext3, HOST2, 5300, { sport: 4000 })).toBe(`${EXT3}:4000 hello`);
  });

  it('answers by the interface where the request came in, though the route back is another', async () => {
    // a router behind up1 with a network that the host would reach by up0
    must(bed.ext3, ['ip', 'addr', 'add', '10.200.0.1/32', 'dev', 'lo']);
    expect(bed.curl(bed.ext3, `http://${HOST2}:8080/`, '--interface', '10.200.0.1').out).toBe('10.200.0.1');
  });

  it("answers on the host's other address, asked for by the first interface", () => {
    must(bed.ext1, ['ip', 'route', 'add', HOST2, 'via', HOST]);
    expect(bed.curl(bed.ext1, `http://${HOST2}:8080/`).out).toBe(EXT1);
  });

  it('answers a client in another bridge of the host', async () => {
    const client = bed.namespace(`br-client-${bed.suffix}`);
    must(bed.host, ['ip', 'link', 'add', 'docker0', 'type', 'bridge']);
    must(bed.host, ['ip', 'addr', 'add', '172.30.0.1/24', 'dev', 'docker0']);
    must(bed.host, ['ip', 'link', 'set', 'docker0', 'up']);
    bed.pair(bed.host, 'vethx', null, client, 'eth0', '172.30.0.2/24');
    must(bed.host, ['ip', 'link', 'set', 'vethx', 'master', 'docker0']);
    must(client, ['ip', 'route', 'add', 'default', 'via', '172.30.0.1']);
    await until(() => uplinks().includes('docker0') && !uplinks().includes('vethx'), 'docker0 is an uplink');
    expect(bed.curl(client, `http://${HOST}:8080/`).out).toBe('172.30.0.2');
    expect(bed.curl(client, 'http://172.30.0.1:8080/').out).toBe('172.30.0.2');
  });

  it('answers a client behind a tun device', async () => {
    const client = bed.namespace(`tun-${bed.suffix}`);
    // two tun devices, one in each namespace, joined by a process
    const tun = bed.background(bed.host, [
      '/usr/bin/python3',
      join(import.meta.dirname, '../support/tun.py'),
      client,
    ]);
    await tun.says(/ready/);
    must(bed.host, ['ip', 'addr', 'add', '10.99.0.1/24', 'dev', 'tun0']);
    must(bed.host, ['ip', 'link', 'set', 'tun0', 'up']);
    must(client, ['ip', 'addr', 'add', '10.99.0.2/24', 'dev', 'tun0']);
    must(client, ['ip', 'link', 'set', 'tun0', 'up']);
    await until(() => hooks('tun0').length === 2, 'tun0 is an uplink with its programs');
    expect(bed.curl(client, 'http://10.99.0.1:8080/').out).toBe('10.99.0.2');
    expect(bed.udp(client, '10.99.0.1', 5300, { sport: 4001 })).toBe('10.99.0.2:4001 hello');
    await bed.web(client, 8000);
    expect(bed.curl(box.ns, 'http://10.99.0.2:8000/').out).toBe('10.99.0.1');
    await tun.stop('SIGKILL');
    await until(() => !uplinks().includes('tun0'), 'tun0 is gone');
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
  });
});

describe("others' programs on the uplink", () => {
  const object = () => join(bed.directory, 'count.bpf.o');
  const foreign = (place: 'before' | 'after') =>
    bed.background(bed.host, [
      'node',
      join(import.meta.dirname, '../support/foreign.mjs'),
      object(),
      'up0',
      place,
    ]);

  async function count(program: Background): Promise<number> {
    program.out = '';
    program.child.stdin?.write('count\n');
    await program.says(/\d+\n/);
    return Number(program.out);
  }

  it('see what passes ours: before it, after it, and in a clsact filter', async () => {
    const source = join(import.meta.dirname, 'fixtures/count.bpf.c');
    const include = `-I/usr/include/${must(null, ['uname', '-m']).trim()}-linux-gnu`;
    must(null, ['clang', '-O2', '-g', '-target', 'bpf', include, '-c', source, '-o', object()]);
    const before = foreign('before');
    const after = foreign('after');
    await before.says(/ready/);
    await after.says(/ready/);
    must(bed.host, ['tc', 'qdisc', 'add', 'dev', 'up0', 'clsact']);
    must(bed.host, [
      'tc',
      'filter',
      'add',
      'dev',
      'up0',
      'ingress',
      'bpf',
      'da',
      'obj',
      object(),
      'sec',
      'tc',
    ]);

    const counts = async () => [await count(before), await count(after), clsact()];
    const first = await counts();
    expect(run(bed.ext1, ['ping', '-c', '3', '-i', '0.2', '-W', '10', HOST]).code).toBe(0);
    const second = await counts();
    second.forEach((n, i) => {
      expect(n - (first[i] as number)).toBeGreaterThanOrEqual(3);
    });
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    await before.stop('SIGKILL');
    await after.stop('SIGKILL');
  });

  it('are not touched when ours come and go', async () => {
    await bed.killDaemon('SIGTERM');
    must(bed.host, bed.daemonCommand('cleanup'));
    expect(must(bed.host, ['tc', 'filter', 'show', 'dev', 'up0', 'ingress'])).toContain('count');
    expect(run(bed.ext1, ['ping', '-c', '1', '-W', '10', HOST]).code).toBe(0);
  });

  /** Packets that the filter's own map has seen. */
  function clsact(): number {
    const [filter] = (
      JSON.parse(must(bed.host, ['tc', '-j', 'filter', 'show', 'dev', 'up0', 'ingress'])) as {
        options?: { prog: { id: number } };
      }[]
    ).filter((f) => f.options !== undefined);
    const id = String(filter?.options?.prog.id);
    const program = JSON.parse(must(null, ['bpftool', '-j', 'prog', 'show', 'id', id])) as {
      map_ids: number[];
    };
    const dump = JSON.parse(
      must(null, ['bpftool', '-j', 'map', 'dump', 'id', String(program.map_ids[0])]),
    ) as {
      formatted: { value: number };
    }[];
    return dump[0]?.formatted.value ?? 0;
  }
});

describe('XDP on the uplinks', () => {
  it('drops early what is for a container itself, and nothing else', async () => {
    // ext2 may be answered by containers themselves
    const exempt = [`${EXT2}/32`, `${EXT2_6}/128`].flatMap((cidr) => ['--masquerade-except', cidr]);
    const guarded = await Testbed.start({ daemonFlags: ['--xdp', ...exempt] });
    try {
      guarded.ok('network', 'create', '--ipv6', 'web');
      guarded.ok('network', 'create', '--ipv6', '-o', 'masquerade=false', 'routed');
      const inner = guarded.container('inner', 'web', '-p', '8080:80');
      const open = guarded.container('open', 'routed');
      for (const box of [inner, open]) {
        await guarded.web(box.ns, 80);
        for (const ext of [guarded.ext1, guarded.ext2]) {
          must(ext, ['ip', 'route', 'add', box.ip, 'via', HOST]);
          must(ext, ['ip', 'route', 'add', box.ip6, 'via', HOST_6]);
        }
      }
      const [link] = JSON.parse(must(guarded.host, ['ip', '-j', '-d', 'link', 'show', 'up0'])) as [
        { xdp?: { mode: number } },
      ];
      expect(link.xdp?.mode).toBe(1); // native
      expect(guarded.curl(guarded.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
      expect(guarded.curl(guarded.ext1, `http://${open.ip}/`).out).toBe(EXT1);
      const behind = await guarded.capture(
        guarded.host,
        'up0',
        `dst host ${inner.ip} or dst host ${inner.ip6}`,
      );
      for (const address of [inner.ip, `[${inner.ip6}]`])
        expect(guarded.curl(guarded.ext1, `http://${address}/`, '-m', '3').code).not.toBe(0);
      // a capture sits behind XDP: nothing got that far
      expect(await behind.packets()).toEqual([]);
      expect(guarded.dropped('direct_routing')).toBeGreaterThanOrEqual(4);

      for (const family of [4, 6] as const) await guarded.web(guarded.ext2, 8000 + family, family);
      expect(guarded.curl(inner.ns, `http://${EXT2}:8004/`).out).toBe(inner.ip);
      expect(guarded.curl(inner.ns, `http://[${EXT2_6}]:8006/`).out).toBe(inner.ip6);
      // it has not been asked to come, and is dropped by the next program
      const before = guarded.dropped('direct_routing');
      expect(guarded.curl(guarded.ext2, `http://${inner.ip}/`, '-m', '1').code).not.toBe(0);
      expect(guarded.dropped('direct_routing')).toBeGreaterThan(before);
    } finally {
      await guarded.stop();
    }
  });
});
