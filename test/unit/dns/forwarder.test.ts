// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import { fstatSync, openSync } from 'node:fs';
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
    expect(silent.seen.length).toBeGreaterThanOrEqual(3);
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

describe('equal questions', () => {
  test('are asked once, and each has its own id and letters back', async () => {
    const slow = await server((bytes) => [reply(bytes, 1)]);
    const one = forwarder();
    const names = ['www.example', 'WWW.example', 'wWw.ExAmPlE'];
    const queries = names.map((name, id) => parseQuery(withId(ask(name).bytes, id)));
    const answers = await Promise.all(
      queries.map((query, i) => one.forward(query, [slow], 'udp', ['a', 'b', 'c'][i] as string)),
    );
    expect(slow.seen).toHaveLength(1);
    expect([one.merged, one.pending]).toEqual([2, 0]);
    for (const [id, answer] of answers.entries()) {
      expect(answer?.readUInt16BE(0)).toBe(id);
      expect(answer?.toString('latin1')).toContain((names[id] as string).split('.')[0] as string);
    }
  });

  test('are not those of another type, flag, size, server or namespace', async () => {
    const slow = await server((bytes) => [reply(bytes, 1)]);
    const upstream = await server(() => []);
    const one = forwarder(fast);
    const checking = Buffer.from(ask('a.example').bytes);
    checking.writeUInt16BE(0x0110, 2);
    const kinds = [
      ask('a.example'),
      ask('b.example'),
      ask('a.example', 28),
      ask('a.example', 1, 1232),
      ask('a.example', 1, 4096),
      parseQuery(checking),
    ];
    const asked = kinds.map((query) => one.forward(query, [slow], 'udp', 'a'));
    asked.push(one.forward(ask('a.example'), [slow, upstream], 'udp', 'a'));
    asked.push(one.forward(ask('a.example'), [slow], 'tcp', 'a'));
    asked.push(one.forward(ask('a.example'), [{ ...slow, netns: '/nowhere' }], 'udp', 'a'));
    await Promise.all(asked);
    expect(slow.seen).toHaveLength(kinds.length + 2);
    expect(one.merged).toBe(0);
  });
});

test('an answer counts that comes after another server was asked, or after the question was said again', async () => {
  const late = await server(() => []);
  // says its answer to the first question when the second comes
  const first: Buffer[] = [];
  const other = await server((bytes) => {
    first.push(bytes);
    return first.length === 2 ? [reply(first[0] as Buffer, 1)] : [];
  });
  expect(await forwarder(faster(4)).forward(ask('a'), [other, late], 'udp', 'a')).not.toBeNull();
});

test('many questions share sockets, each under an id of its own', async () => {
  const upstream = await server((bytes) => [reply(bytes, 1)]);
  const one = forwarder();
  const names = Array.from({ length: 250 }, (_, i) => `n${i}.example`);
  const answers = await Promise.all(names.map((name) => one.forward(ask(name), [upstream], 'udp', 'a')));
  for (const [i, answer] of answers.entries()) {
    expect(answer?.toString('latin1')).toContain(names[i]?.split('.')[0]);
  }
  expect(new Set(upstream.seen.map(({ from }) => from)).size).toBe(64);
});

test('a namespace that cannot be entered holds nobody up for longer than a silent server', async () => {
  let opened: (fd: number) => void = () => undefined;
  const sockets = { socketIn: () => new Promise<number>((resolve) => (opened = resolve)) };
  const one = new Forwarder({ clock: fast, sockets, mark: 1 });
  const inner: Upstream = { address: '127.0.0.1', port: 1, netns: '/run/netns/stuck' };
  expect(await one.forward(ask('a'), [inner], 'udp', 'a')).toBeNull();
  expect(one.pending).toBe(0);
  // what comes too late is closed
  const file = openSync('/dev/null', 'r');
  opened(file);
  await new Promise((resolve) => setImmediate(resolve));
  expect(() => fstatSync(file)).toThrow(/EBADF/);
});

test('no sandbox has all the waiting room, and nobody else waits for it', async () => {
  const silent = await server(() => []);
  const one = forwarder(faster(4));
  const waiting = Array.from({ length: 5_000 }, (_, i) =>
    one.forward(ask(`n${i}`), [silent], 'udp', 'greedy'),
  );
  expect(one.pending).toBe(4_096);
  expect(waiting.filter((answer) => answer === null)).toHaveLength(5_000 - 4_096);
  const good = await server((bytes) => [reply(bytes, 1)]);
  const others = Array.from({ length: 100 }, (_, i) => one.forward(ask(`o${i}`), [good], 'udp', 'other'));
  expect((await Promise.all(others)).filter((answer) => answer?.readUInt16BE(6) === 1)).toHaveLength(100);
  await Promise.all(waiting);
  expect(one.pending).toBe(0);
});

test('a question longer than any is not kept', () => {
  const long = Buffer.concat([ask('a').bytes, Buffer.alloc(5_000)]);
  expect(forwarder().forward(parseQuery(long), [nobody], 'tcp', 'a')).toBeNull();
});
