// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.js';
import { Forwarder } from '../../../src/dns/forwarder.js';
import { Frames, framed } from '../../../src/dns/frames.js';
import { encodeAnswer, isTruncated, parseQuery, RCODE, rcodeOf, withId } from '../../../src/dns/message.js';
import type { Upstream } from '../../../src/dns/upstream.js';
import { ask } from './support.js';

/** Time passes so many times as fast. */
const faster = (times: number): Clock => ({
  ...systemClock(),
  monotonic: () => performance.now() * times,
  after: (ms, task) => systemClock().after(ms / times, task),
});
const fast = faster(40);
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function forwarder(clock: Clock = systemClock()): Forwarder {
  const sockets = { socketIn: () => Promise.reject(new Error('nothing is inside')) };
  return new Forwarder({ clock, sockets, mark: 1 });
}

const addresses = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ type: 1 as const, address: `192.0.2.${i}` }));
const reply = (bytes: Buffer, count: number, limit = 65_535, rcode = 0): Buffer =>
  encodeAnswer(parseQuery(bytes), { rcode, authoritative: false, ttl: 60, records: addresses(count) }, limit);

/** A server that sends what it is told for a question. */
async function server(
  byUdp: (bytes: Buffer) => readonly Buffer[],
  byTcp: (bytes: Buffer) => readonly Buffer[] = byUdp,
): Promise<Upstream & { seen: { transport: string; id: number; from: number }[] }> {
  const seen: { transport: string; id: number; from: number }[] = [];
  const tcp: Server = createServer((socket) => {
    const frames = new Frames();
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      for (const bytes of frames.push(chunk)) {
        seen.push({ transport: 'tcp', id: bytes.readUInt16BE(0), from: socket.remotePort ?? 0 });
        for (const answer of byTcp(bytes)) socket.write(framed(answer));
      }
    });
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const { port } = tcp.address() as AddressInfo;
  const udp: Socket = createSocket('udp4');
  udp.on('message', (bytes, from) => {
    seen.push({ transport: 'udp', id: bytes.readUInt16BE(0), from: from.port });
    for (const answer of byUdp(bytes)) udp.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  closers.push(() => {
    udp.close();
    tcp.close();
  });
  return { address: '127.0.0.1', port, netns: null, seen };
}

/** A port where nobody is. */
const nobody: Upstream = { address: '127.0.0.1', port: 1, netns: null };

describe('a question', () => {
  test('comes back with its own id, and goes out with others from others ports', async () => {
    const upstream = await server((bytes) => [reply(bytes, 1)]);
    const one = forwarder();
    for (let i = 0; i < 8; i++) {
      const answer = await one.forward(ask('www.example'), [upstream], 'udp', 'a');
      expect([answer?.readUInt16BE(0), answer?.readUInt16BE(6)]).toEqual([0x1234, 1]);
    }
    expect(new Set(upstream.seen.map(({ id }) => id)).size).toBeGreaterThan(6);
    expect(new Set(upstream.seen.map(({ from }) => from)).size).toBeGreaterThan(6);
  });

  test('is passed on with all that it has', async () => {
    let got: Buffer = Buffer.alloc(0);
    const upstream = await server((bytes) => {
      got = bytes;
      return [reply(bytes, 1)];
    });
    const query = ask('WWW.example', 65, 1400);
    await forwarder().forward(query, [upstream], 'udp', 'a');
    expect(withId(got, query.id).equals(query.bytes)).toBe(true);
  });

  test('goes to the next server where nobody is, or one gives up', async () => {
    const bad = await server((bytes) => [reply(bytes, 0, 512, RCODE.SERVFAIL)]);
    const good = await server((bytes) => [reply(bytes, 1)]);
    const answer = await forwarder().forward(ask('a'), [nobody, bad, good], 'udp', 'a');
    expect(answer?.readUInt16BE(6)).toBe(1);
    expect(bad.seen).toHaveLength(1);
    const refused = await forwarder().forward(ask('a'), [bad, nobody], 'udp', 'a');
    expect(refused && rcodeOf(refused)).toBe(RCODE.SERVFAIL);
    expect(await forwarder().forward(ask('a'), [nobody], 'udp', 'a')).toBeNull();
    expect(await forwarder().forward(ask('a'), [nobody], 'tcp', 'a')).toBeNull();
    expect(await forwarder().forward(ask('a'), [], 'udp', 'a')).toBeNull();
  });

  test('that does not exist there is not asked elsewhere', async () => {
    const first = await server((bytes) => [reply(bytes, 0, 512, RCODE.NXDOMAIN)]);
    const second = await server((bytes) => [reply(bytes, 1)]);
    const answer = await forwarder().forward(ask('a'), [first, second], 'udp', 'a');
    expect(answer && rcodeOf(answer)).toBe(RCODE.NXDOMAIN);
    expect(second.seen).toEqual([]);
  });

  test('is asked again, and a silent server last from then on', async () => {
    const silent = await server(() => []);
    const good = await server((bytes) => [reply(bytes, 1)]);
    const one = forwarder(fast);
    expect(await one.forward(ask('a'), [silent, good], 'udp', 'a')).not.toBeNull();
    expect(await one.forward(ask('a'), [silent, good], 'udp', 'a')).not.toBeNull();
    expect([silent.seen.length, good.seen.length]).toEqual([1, 2]);
    expect(await forwarder(fast).forward(ask('a'), [silent], 'udp', 'a')).toBeNull();
    expect(silent.seen).toHaveLength(3);
  });

  test('is answered by nothing but its answer', async () => {
    const upstream = await server((bytes) => {
      const right = reply(bytes, 1);
      const other = withId(reply(ask('other').bytes, 3), bytes.readUInt16BE(0));
      return [withId(reply(bytes, 3), bytes.readUInt16BE(0) ^ 1), other, bytes, Buffer.from('xy'), right];
    });
    const answer = await forwarder().forward(ask('a'), [upstream], 'udp', 'a');
    expect(answer?.readUInt16BE(6)).toBe(1);
  });
});

describe('a long answer', () => {
  test('is fetched by TCP, for who has room', async () => {
    const upstream = await server(
      (bytes) => [reply(bytes, 100, 512)],
      (bytes) => [reply(bytes, 100)],
    );
    const roomy = await forwarder().forward(ask('a', 1, 4096), [upstream], 'udp', 'a');
    expect([roomy?.readUInt16BE(6), roomy && isTruncated(roomy)]).toEqual([100, false]);
    expect(upstream.seen.map(({ transport }) => transport)).toEqual(['udp', 'tcp']);
    const narrow = await forwarder().forward(ask('a'), [upstream], 'udp', 'a');
    expect(narrow && isTruncated(narrow)).toBe(true);
    expect(narrow?.length).toBeLessThanOrEqual(512);
    const whole = await forwarder().forward(ask('a'), [upstream], 'tcp', 'a');
    expect(whole?.readUInt16BE(6)).toBe(100);
  });

  test('stays cut where the server has no TCP', async () => {
    const upstream = await server(
      (bytes) => [reply(bytes, 100, 512)],
      () => [],
    );
    const answer = await forwarder(fast).forward(ask('a', 1, 4096), [upstream], 'udp', 'a');
    expect(answer && isTruncated(answer)).toBe(true);
  });
});

test('no sandbox has all the waiting room', async () => {
  const silent = await server(() => []);
  const one = forwarder(faster(4));
  const waiting = Array.from({ length: 300 }, () => one.forward(ask('a'), [silent], 'udp', 'greedy'));
  expect(one.pending).toBe(256);
  const good = await server((bytes) => [reply(bytes, 1)]);
  expect(await one.forward(ask('a'), [good], 'udp', 'other')).not.toBeNull();
  expect(await Promise.all(waiting)).toEqual(Array(300).fill(null));
  expect(one.pending).toBe(0);
});
