// SPDX-License-Identifier: Apache-2.0
/**
 * Fragments as on a kernel without netfilter links, tcx and bpf_cast_to_kern_ctx: put together by nf_tables, by
 * programs that are clsact filters; and where there is no way to put them together.
 */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATAGRAMS } from '../support/capture.js';
import { askDatagram, serveDatagrams } from '../support/datagrams.js';
import { must, run, sleep, until } from '../support/process.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const PYTHON = '/usr/bin/python3';
const OLDER = ['tcx', 'kern_ctx', 'netfilter_link'].flatMap((feature) => ['--without', feature]);

let bed: Testbed;
let one: Container;
let mac: string;

function macOf(ns: string, link: string): string {
  return (JSON.parse(must(ns, ['ip', '-j', 'link', 'show', link])) as [{ address: string }])[0].address;
}

/** The reassembly namespace of the daemon. */
function reassembly(): string {
  const links = JSON.parse(must(bed.host, ['ip', '-j', 'link'])) as { ifname: string }[];
  return `sluice-fragments-${links.find(({ ifname }) => ifname.startsWith('slf'))?.ifname.slice(3)}`;
}

const qdiscs = (): string => must(bed.host, ['tc', 'qdisc', 'show', 'dev', 'up0']);
const rules = (ns: string): string => must(ns, ['nft', 'list', 'ruleset']);
const using = (): string | undefined =>
  bed
    .list<{ features: { feature: string; using: string }[] }>('status')
    .features.find(({ feature }) => feature === 'defragmentation')?.using;

function published(): void {
  const [sent, answer] = askDatagram(bed.ext1, HOST, 6000, 20_000);
  expect(answer).toBe(sent);
}

beforeAll(async () => {
  bed = await Testbed.start({ daemonFlags: [...OLDER, '--pass-interval', '1s'] });
  bed.ok('network', 'create', '--ipv6', 'lan');
  one = bed.container('one', 'lan', '-p', '6000:7000/udp');
  mac = macOf(bed.host, 'up0');
  for (const ns of [one.ns, bed.ext1]) bed.offloadsOff(ns, 'eth0');
  await serveDatagrams(bed, bed.ext1, 9000);
  must(bed.host, ['iptables', '-P', 'FORWARD', 'DROP']);
  must(bed.host, ['ip6tables', '-P', 'FORWARD', 'DROP']);
  await until(() => run(one.ns, ['ping', '-c', '1', '-W', '1', EXT1_6]).code === 0, 'IPv6 works');
});
afterAll(() => bed.stop());

describe.each([
  ['IPv4', EXT1, HOST],
  ['IPv6', EXT1_6, HOST_6],
])('%s', (_, remote, host) => {
  it('goes out masqueraded and comes back, cut as it was', async () => {
    const captures = await Promise.all([one.ns, bed.ext1].map((ns) => bed.capture(ns, 'eth0', 'udp or ip6')));
    const [sent, answer] = askDatagram(one.ns, remote, 9000, 20_000);
    expect(answer).toBe(sent);
    const [within, without] = await Promise.all(captures.map((capture) => capture.datagrams()));
    const there = within?.find((d) => d.dst === remote && d.digest === sent);
    expect(there).toMatchObject({ whole: true });
    expect(without?.find((d) => d.dst === remote && d.digest === sent)).toMatchObject({
      src: host,
      sumsOk: true,
      inOrder: true,
      fragments: there?.fragments,
      largest: there?.largest,
      hops: there?.hops.map((h) => h - 1),
    });
  });

  it('comes to a published port in any order', async () => {
    const inside = await serveDatagrams(bed, one.ns, 7000);
    const source = host === HOST ? EXT1 : EXT1_6;
    for (const order of ['reversed', 'shuffled']) {
      const command = ['send', 'eth0', mac, source, host, 4100, 6000, 20_000, order].map(String);
      const sent = must(bed.ext1, [PYTHON, DATAGRAMS, ...command]).trim();
      await inside.says(new RegExp(`${sent} 20000 ${source}`), 3_000);
    }
    await inside.stop('SIGKILL');
  });
});

describe('the table', () => {
  beforeAll(() => serveDatagrams(bed, one.ns, 7000));

  it('is told of, and tracks no connection', () => {
    expect(using()).toMatch(/by nftables$/);
    published();
    expect(must(reassembly(), ['sysctl', '-n', 'net.netfilter.nf_conntrack_count']).trim()).toBe('0');
    expect(rules(reassembly()).match(/ct state != 0x0 notrack/g)).toHaveLength(2);
  });

  it("is none of the host's, whose rules may come and go", () => {
    expect(rules(bed.host)).not.toMatch(/sluice|notrack/);
    for (const command of [
      ['iptables', '-F'],
      ['nft', 'flush', 'ruleset'],
    ])
      must(bed.host, command);
    expect(rules(reassembly())).toContain('notrack');
    published();
    expect(rules(bed.host)).toBe('');
  });

  it('is repaired by the daemon that runs', async () => {
    must(reassembly(), ['nft', 'flush', 'ruleset']);
    await until(() => rules(reassembly()).includes('notrack'), 'the table is back');
    published();
  });

  it('outlives the daemon, and makes way for links where the next one has them', async () => {
    await bed.killDaemon();
    published();
    await bed.startDaemon([]);
    expect(using()).toMatch(/by a netfilter link$/);
    expect(qdiscs()).not.toContain('clsact');
    published();
    await bed.killDaemon();
    await bed.startDaemon([...OLDER]);
    expect(using()).toMatch(/by nftables$/);
    expect(qdiscs()).toContain('clsact');
    published();
  });
});

it('is told to be missing where there is no way, and counted', async () => {
  const namespace = reassembly();
  await bed.killDaemon();
  await bed.startDaemon([...OLDER, '--without', 'nftables']);
  expect(using()).toMatch(/^none: fragments of containers are dropped$/);
  expect(existsSync(`/run/netns/${namespace}`)).toBe(false);
  const before = bed.dropped('fragment');
  expect(askDatagram(one.ns, EXT1, 9000, 4_096)[1]).toBe('nothing');
  await sleep(100);
  expect(bed.dropped('fragment')).toBe(before + 3);
  expect(run(one.ns, ['ping', '-c', '1', '-W', '1', EXT1]).code).toBe(0);
});

it('leaves no qdisc to the host', async () => {
  expect(qdiscs()).toContain('clsact');
  await bed.killDaemon('SIGTERM');
  must(bed.host, bed.daemonCommand('cleanup'));
  expect(qdiscs()).not.toContain('clsact');
});
