// SPDX-License-Identifier: Apache-2.0
/** Published ports, from the packet: both sides captured, every field and checksum looked at. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { EXT1, EXT2, EXT3, HOST, HOST2, Testbed } from '../support/testbed.js';

let bed: Testbed;
let box: { ns: string; ip: string };

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'web');
  box = bed.container(
    'box',
    'web',
    '-p',
    '8080:80',
    '-p',
    '5300:53/udp',
    '-p',
    '7000-7009:9000-9009',
    '-p',
    `${HOST}:8181:80`,
  );
  await bed.web(box.ns, 80);
  await bed.udpEcho(box.ns, 53);
});
afterAll(() => bed.stop());

describe('TCP', () => {
  it('reaches the server, which sees the address of the client', () => {
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    expect(bed.curl(bed.ext2, `http://${HOST}:8080/`).out).toBe(EXT2);
  });

  it('rewrites destination and nothing else on the way in, source on the way out', async () => {
    bed.offloadsOff(bed.ext1, 'eth0');
    bed.offloadsOff(box.ns, 'eth0');
    const outside = await bed.capture(bed.ext1, 'eth0', 'tcp');
    const inside = await bed.capture(box.ns, 'eth0', 'tcp');
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    const [out, into] = [await outside.packets(), await inside.packets()];
    expect([...out, ...into].every((p) => p.sumsOk)).toBe(true);

    const requests = out.filter((p) => p.src === EXT1);
    const arrived = into.filter((p) => p.src === EXT1);
    expect(requests.length).toBeGreaterThan(4);
    expect(arrived).toHaveLength(requests.length);
    const mac = (JSON.parse(must(box.ns, ['ip', '-j', 'link', 'show', 'eth0'])) as [{ address: string }])[0]
      .address;
    requests.forEach((sent, i) => {
      expect(sent).toMatchObject({ dst: HOST, dport: 8080 });
      const { time, ethSrc, ethDst, sum, ...fields } = sent;
      expect(arrived[i]).toMatchObject({
        ...fields,
        dst: box.ip,
        dport: 80,
        ttl: (sent.ttl as number) - 1,
        ethDst: mac,
      });
    });

    const replies = into.filter((p) => p.src === box.ip);
    const delivered = out.filter((p) => p.src === HOST);
    expect(delivered).toHaveLength(replies.length);
    replies.forEach((sent, i) => {
      const { time, ethSrc, ethDst, sum, ...fields } = sent;
      expect(delivered[i]).toMatchObject({
        ...fields,
        src: HOST,
        sport: 8080,
        ttl: (sent.ttl as number) - 1,
      });
    });
  });

  it('carries megabytes with offloads on', () => {
    must(bed.ext1, ['ethtool', '-K', 'eth0', 'tx', 'on', 'rx', 'on', 'tso', 'on', 'gso', 'on', 'gro', 'on']);
    must(box.ns, ['ethtool', '-K', 'eth0', 'tx', 'on', 'rx', 'on', 'tso', 'on', 'gso', 'on', 'gro', 'on']);
    const r = bed.curl(
      bed.ext1,
      `http://${HOST}:8080/${32 << 20}`,
      '-o',
      '/dev/null',
      '-w',
      '%{size_download}',
    );
    expect(r.out).toBe(String(32 << 20));
  });

  it('answers on every address of the host, and on the one given only there', () => {
    expect(bed.curl(bed.ext3, `http://${HOST2}:8080/`).out).toBe(EXT3);
    expect(bed.curl(bed.ext1, `http://${HOST}:8181/`).out).toBe(EXT1);
    expect(bed.curl(bed.ext3, `http://${HOST2}:8181/`).code).not.toBe(0);
  });

  it('maps a range with a constant offset', async () => {
    const server = await bed.web(box.ns, 9004);
    expect(bed.curl(bed.ext1, `http://${HOST}:7004/`).out).toBe(EXT1);
    await server.stop('SIGKILL');
    const [endpoint] = bed.list<
      [{ ports: { hostPort: number; hostPortEnd: number; port: number; portEnd: number }[] }]
    >('endpoint', 'ls');
    expect(endpoint.ports).toContainEqual(
      expect.objectContaining({ hostPort: 7000, hostPortEnd: 7009, port: 9000, portEnd: 9009 }),
    );
  });

  it('leaves ports that nobody published to the host', async () => {
    const server = await bed.web(bed.host, 8443);
    expect(bed.curl(bed.ext1, `http://${HOST}:8443/`).out).toBe(EXT1);
    await server.stop('SIGKILL');
    expect(bed.curl(bed.ext1, `http://${HOST}:8444/`).code).toBe(7);
  });
});

describe('UDP', () => {
  it('is answered from the published port, whatever the checksum', async () => {
    expect(bed.udp(bed.ext1, HOST, 5300, { sport: 4444 })).toBe(`${EXT1}:4444 hello`);
    const inside = await bed.capture(box.ns, 'eth0', 'udp');
    const outside = await bed.capture(bed.ext2, 'eth0', 'udp');
    const mac = (JSON.parse(must(bed.host, ['ip', '-j', 'link', 'show', 'up0'])) as [{ address: string }])[0]
      .address;
    bed.inject(
      bed.ext2,
      'eth0',
      `Ether(dst='${mac}')/IP(src='${EXT2}',dst='${HOST}')/UDP(sport=5555,dport=5300,chksum=0)/Raw(b'zero')`,
      `Ether(dst='${mac}')/IP(src='${EXT2}',dst='${HOST}')/UDP(sport=5556,dport=5300)/Raw(b'summed')`,
    );
    const arrived = (await inside.packets()).filter((p) => p.src === EXT2);
    expect(arrived).toHaveLength(2);
    expect(arrived[0]).toMatchObject({ dst: box.ip, sport: 5555, dport: 53, sum: 0, payload: '7a65726f' });
    expect(arrived[1]).toMatchObject({ dst: box.ip, sport: 5556, dport: 53, sumsOk: true });
    expect(arrived[1]?.sum).not.toBe(0);
    const answers = (await outside.packets()).filter((p) => p.src === HOST && p.protocol === 'udp');
    expect(answers.map((p) => [p.sport, p.dport])).toEqual([
      [5300, 5555],
      [5300, 5556],
    ]);
  });
});

describe('publish and unpublish on a live endpoint', () => {
  it('opens and closes a port, and tells which', () => {
    const name = `web.${box.ns}`;
    expect(bed.curl(bed.ext1, `http://${HOST}:8282/`).code).not.toBe(0);
    bed.ok('publish', name, '8282:80');
    expect(bed.curl(bed.ext1, `http://${HOST}:8282/`).out).toBe(EXT1);
    bed.ok('unpublish', name, '8282:80');
    expect(bed.curl(bed.ext1, `http://${HOST}:8282/`).code).not.toBe(0);
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
  });

  it('keeps the publish of one address when that of another goes', () => {
    const name = `web.${box.ns}`;
    bed.ok('publish', name, `${HOST}:8383:80`);
    bed.ok('publish', name, `${HOST2}:8383:80`);
    bed.ok('unpublish', name, `${HOST}:8383:80`);
    expect(bed.curl(bed.ext3, `http://${HOST2}:8383/`).out).toBe(EXT3);
    expect(bed.curl(bed.ext1, `http://${HOST}:8383/`).code).not.toBe(0);
    bed.ok('unpublish', name, `${HOST2}:8383:80`);
    expect(bed.curl(bed.ext3, `http://${HOST2}:8383/`).code).not.toBe(0);
  });
});

describe("the container's own address", () => {
  it('is refused from outside, published or not, and counted', () => {
    must(bed.ext1, ['ip', 'route', 'add', box.ip, 'via', HOST]);
    const before = bed.dropped('direct_routing');
    expect(bed.curl(bed.ext1, `http://${box.ip}/`, '-m', '1').code).toBe(28);
    expect(bed.udp(bed.ext1, box.ip, 53, { seconds: 1 })).toBe('');
    expect(bed.dropped('direct_routing')).toBeGreaterThan(before + 1);
    expect(bed.curl(bed.host, `http://${box.ip}/`).out).toContain('.');
  });
});

describe('netfilter', () => {
  it('has no rule of ours', () => {
    expect(must(bed.host, ['iptables-save']).replace(/^#.*\n/gm, '')).not.toMatch(/^-A/m);
    expect(must(bed.host, ['nft', 'list', 'ruleset'])).not.toMatch(/rule|dnat|masquerade/);
  });
});
