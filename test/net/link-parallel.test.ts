// SPDX-License-Identifier: Apache-2.0
/** Many at once: each request gets its own answer, and nothing leaks. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Netlink } from '../../src/link/netlink.js';
import { ip, Lab, netns, openFiles } from './link-support.js';

const COUNT = 100;
const hex = (i: number): string => i.toString(16).padStart(2, '0');

describe('100 at once', () => {
  const lab = new Lab();
  let host: string;
  let netlink: Netlink;

  beforeAll(async () => {
    host = await lab.namespace('host');
    netlink = await lab.netlink(host);
  });
  afterAll(() => lab.close());

  test('endpoints, each in a namespace of its own, whole and within the budget', async () => {
    const br = await netlink.createBridge({ name: 'br0', mac: '02:00:00:00:00:01' });
    await netlink.setLink(br.ifindex, { up: true });
    const boxes = await Promise.all(Array.from({ length: COUNT }, (_, i) => lab.namespace(`box${i}`)));
    const files = openFiles();

    const start = performance.now();
    await Promise.all(
      boxes.map(async (box, i) => {
        const peer = { name: 'eth0', mac: `02:00:00:00:01:${hex(i)}`, mtu: 1400, netns: box };
        const port = await netlink.createVeth({ name: `port${i}`, mtu: 1400, peer });
        await netlink.setLink(port.ifindex, {
          alias: `port ${i}`,
          master: br.ifindex,
          addrGenMode: 'none',
          bridgePort: { learning: false, flood: false, mcastFlood: false, bcastFlood: false },
        });
        const inner = await netns.netlinkIn(box);
        await inner.addAddress(port.linkIndex, `10.64.0.${i + 2}/24`);
        await inner.setLink(port.linkIndex, { up: true });
        await inner.addRoute({ dst: null, gateway: '10.64.0.1', ifindex: port.linkIndex });
        inner.close();
        await netlink.setFdb(port.ifindex, peer.mac);
        await netlink.setLink(port.ifindex, { up: true });
      }),
    );
    const milliseconds = performance.now() - start;

    expect(openFiles()).toBe(files);
    const links = await netlink.links();
    for (let i = 0; i < COUNT; i++) {
      const port = links.find((l) => l.name === `port${i}`);
      expect(port).toMatchObject({ alias: `port ${i}`, master: br.ifindex, up: true, mtu: 1400 });
    }
    for (const i of [0, 41, COUNT - 1]) {
      const box = boxes[i] as string;
      const [seen] = ip(box, 'address', 'show', 'dev', 'eth0');
      expect(seen).toMatchObject({
        address: `02:00:00:00:01:${hex(i)}`,
        addr_info: expect.arrayContaining([expect.objectContaining({ local: `10.64.0.${i + 2}` })]),
      });
      expect(ip(box, 'route', 'show', 'default')).toMatchObject([{ gateway: '10.64.0.1' }]);
    }
    const fdb = (await netlink.fdb()).filter((f) => f.static);
    expect(new Set(fdb.map((f) => f.mac)).size).toBe(COUNT);
    // Without programs: half of what creation and join of 100 endpoints may take together.
    expect(milliseconds).toBeLessThan(750);
  });

  test('answers reach those who asked, errors among them, on one socket', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 3 * COUNT }, (_, i) => {
        if (i % 3 === 0) return netlink.linkByName(`port${i / 3}`).then((l) => l?.name);
        if (i % 3 === 1) return netlink.deleteLink(`none${i}`).catch((e: { code: string }) => e.code);
        return netlink.addresses(1).then((a) => a.map((x) => x.address).join());
      }),
    );
    outcomes.forEach((outcome, i) => {
      if (i % 3 === 0) expect(outcome).toBe(`port${i / 3}`);
      if (i % 3 === 1) expect(outcome).toBe('ENODEV');
      if (i % 3 === 2) expect(outcome).toBe('127.0.0.1,::1');
    });
  });

  test('a dump taken while the table changes is whole', async () => {
    let changing = true;
    const change = (async () => {
      for (let i = 0; i < 60; i++) {
        await netlink.createBridge({ name: `flux${i % 3}`, mac: '02:00:00:00:00:02' });
        await netlink.deleteLink(`flux${i % 3}`);
      }
      changing = false;
    })();
    const other = await lab.netlink(host);
    while (changing) {
      const ports = (await other.links()).filter((l) => l.name.startsWith('port'));
      expect(ports).toHaveLength(COUNT);
    }
    await change;
  });

  test('the namespaces go, and the ends in ours with them', async () => {
    const files = openFiles();
    await Promise.all(
      Array.from({ length: COUNT }, (_, i) => netns.deleteNetns(`/run/netns/${lab.prefix}box${i}`)),
    );
    expect(lab.left()).toEqual([`${lab.prefix}host`]);
    expect(openFiles()).toBe(files);
    await expect
      .poll(async () => (await netlink.links()).filter((l) => l.name.startsWith('port')).length, {
        timeout: 20_000,
      })
      .toBe(0);
  }, 30_000);
});
