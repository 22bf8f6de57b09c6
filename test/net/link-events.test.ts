// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { followEvents, type NetEvent } from '../../src/link/events.js';
import type { Netlink } from '../../src/link/netlink.js';
import { eventually, inside, Lab, native, openFiles } from './link-support.js';

describe('events', () => {
  const lab = new Lab();
  let host: string;
  let box: string;
  let netlink: Netlink;

  beforeAll(async () => {
    host = await lab.namespace('host');
    box = await lab.namespace('box');
    netlink = await lab.netlink(host);
  });
  afterAll(() => lab.close());

  /** Runs `act` while following, until an event is as `last` wants it. */
  async function during(act: () => Promise<unknown>, last: (e: NetEvent) => boolean): Promise<NetEvent[]> {
    const seen: NetEvent[] = [];
    const follower = await followEvents(native, (e) => seen.push(e), host);
    try {
      await act();
      await eventually(() => seen.some(last));
      return seen;
    } finally {
      follower.close();
    }
  }

  test('a link of somebody else: made, renamed, gone; and none of other namespaces', async () => {
    const seen = await during(
      async () => {
        inside(host, 'ip', ['link', 'add', 'first', 'type', 'veth', 'peer', 'name', 'inner', 'netns', box]);
        inside(host, 'ip', ['link', 'set', 'first', 'name', 'second']);
        inside(host, 'ip', ['link', 'delete', 'second']);
      },
      (e) => e.type === 'link' && e.gone && e.link.name === 'second',
    );
    const names = seen.flatMap((e) => (e.type === 'link' ? [`${e.gone ? '-' : '+'}${e.link.name}`] : []));
    expect(names).toContain('+first');
    expect(names).toContain('+second');
    expect(names.join()).not.toContain('inner');
    const indexes = seen.flatMap((e) => (e.type === 'link' ? [e.link.ifindex] : []));
    expect(new Set(indexes).size).toBe(1);
    expect(seen.find((e) => e.type === 'link')).toMatchObject({
      link: { kind: 'veth', mac: expect.any(String) },
    });
  });

  test('leaving a bridge, which the kernel tells as family AF_BRIDGE too, does not look like the link going', async () => {
    const br = await netlink.createBridge({ name: 'br0', mac: '02:00:00:00:00:01' });
    const peer = { name: 'eth9', mac: '02:00:00:00:00:02', mtu: 1500, netns: box };
    const port = await netlink.createVeth({ name: 'port', mtu: 1500, peer });
    const seen = await during(
      async () => {
        await netlink.setLink(port.ifindex, { master: br.ifindex });
        await netlink.setLink(port.ifindex, { master: 0 });
        await netlink.setLink(port.ifindex, { up: true });
      },
      (e) => e.type === 'link' && e.link.up,
    );
    const gone = seen.filter((e) => e.type === 'link' && e.gone);
    expect(gone).toEqual([]);
    const ofPort = seen.flatMap((e) =>
      e.type === 'link' && e.link.ifindex === port.ifindex ? [e.link] : [],
    );
    for (const link of ofPort) expect(link).toMatchObject({ name: 'port', kind: 'veth', mac: port.mac });
    await netlink.deleteLink('br0');
    await netlink.deleteLink('port');
  });

  test('addresses and routes of both families', async () => {
    const seen = await during(
      async () => {
        await netlink.createBridge({ name: 'br1', mac: '02:00:00:00:00:01' });
        inside(host, 'ip', ['address', 'add', '10.64.9.1/24', 'dev', 'br1']);
        inside(host, 'ip', ['address', 'add', 'fd00:9::1/64', 'dev', 'br1', 'nodad']);
        inside(host, 'ip', ['link', 'set', 'br1', 'up']);
        inside(host, 'ip', ['route', 'add', '192.0.2.0/24', 'via', '10.64.9.2']);
        inside(host, 'ip', ['-6', 'route', 'add', '2001:db8::/32', 'via', 'fd00:9::2']);
        inside(host, 'ip', ['route', 'delete', '192.0.2.0/24']);
        inside(host, 'ip', ['address', 'delete', '10.64.9.1/24', 'dev', 'br1']);
      },
      (e) => e.type === 'address' && e.gone && e.address.address === '10.64.9.1',
    );
    const address = (gone: boolean, text: string) =>
      expect.objectContaining({ type: 'address', gone, address: expect.objectContaining({ address: text }) });
    const route = (gone: boolean, dst: string, gateway: string) =>
      expect.objectContaining({ type: 'route', gone, route: expect.objectContaining({ dst, gateway }) });
    expect(seen).toEqual(
      expect.arrayContaining([
        address(false, '10.64.9.1'),
        address(false, 'fd00:9::1'),
        address(true, '10.64.9.1'),
        route(false, '192.0.2.0/24', '10.64.9.2'),
        route(true, '192.0.2.0/24', '10.64.9.2'),
        route(false, '2001:db8::/32', 'fd00:9::2'),
      ]),
    );
  });

  test('more than the socket holds is an overrun, and what comes later is told again', async () => {
    const seen: NetEvent[] = [];
    const follower = await followEvents(native, (e) => seen.push(e), host);
    try {
      const { ifindex } = await netlink.createBridge({ name: 'br2', mac: '02:00:00:00:00:01' });
      // A change of the alias is announced while the device is up.
      await netlink.setLink(ifindex, { up: true });
      // This process reads nothing while it waits for the batch.
      const batch = Array.from({ length: 20_000 }, (_, i) => `link set dev br2 alias a${i}`).join('\n');
      inside(host, 'ip', ['-batch', '-'], batch);
      await eventually(() => seen.some((e) => e.type === 'overrun'));
      await sleep(50);
      await netlink.setLink(ifindex, { alias: 'after' });
      await eventually(() => seen.some((e) => e.type === 'link' && e.link.alias === 'after'));
    } finally {
      follower.close();
    }
  });

  test('nothing is told after close, which a listener may call itself, and no file stays open', async () => {
    const before = openFiles();
    for (let i = 0; i < 5; i++) {
      const seen: NetEvent[] = [];
      const follower = await followEvents(
        native,
        (e) => {
          seen.push(e);
          follower.close();
        },
        host,
      );
      inside(host, 'ip', ['link', 'add', `ev${i}`, 'type', 'bridge']);
      inside(host, 'ip', ['link', 'delete', `ev${i}`]);
      await eventually(() => seen.length > 0);
      await sleep(20);
      follower.close();
    }
    expect(openFiles()).toBe(before);
  });
});
