// SPDX-License-Identifier: Apache-2.0
/** Connected UDP sockets whose target starts later, moves and is replaced: their datagrams follow, and nobody has to connect anew. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Background, until } from '../support/process.js';
import { SERVICES } from '../support/services.js';
import { type Container, HOST, HOST_6, Testbed } from '../support/testbed.js';

const STAY = join(import.meta.dirname, '../support/udp-stay.py');
const PORT = '5300';
const VIP = '10.64.0.200';
const VIP6 = 'fd00:64::200';

let bed: Testbed;
let client: Container;
let first: Container;
let second: Container;

async function box(name: string, network: string): Promise<Container> {
  const made = bed.container(name, network);
  await bed.background(made.ns, ['/usr/bin/python3', SERVICES, 'serve', name, '53']).says(/ready/);
  return made;
}

class Clients {
  readonly all = new Map<string, Background>();

  add(name: string, ns: string, ...args: string[]): void {
    this.all.set(name, bed.background(ns, ['/usr/bin/python3', STAY, ...args]));
  }

  /** Who answered each of them last. */
  get heard(): Record<string, string> {
    return Object.fromEntries(
      [...this.all].map(([name, { out, err }]) => [name, err || (out.trim().split('\n').at(-1) ?? '')]),
    );
  }

  async hear(who: string): Promise<void> {
    const wanted = Object.fromEntries([...this.all.keys()].map((name) => [name, who]));
    await until(() => Object.values(this.heard).every((x) => x === who), `all hear ${who}`, 5_000).catch(
      () => undefined,
    );
    expect(this.heard).toEqual(wanted);
  }

  async stop(): Promise<void> {
    for (const client of this.all.values()) await client.stop('SIGKILL');
  }
}

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'web', '--subnet', '10.64.0.0/24', '--subnet', 'fd00:64::/64');
  bed.ok('network', 'create', 'side', '--ipv6');
  client = bed.container('client', 'web');
  first = await box('first', 'web');
  second = await box('second', 'side');
});
afterAll(() => bed?.stop());

describe('a published port', () => {
  const clients = new Clients();
  const publish = (what: 'publish' | 'unpublish', network: string, to: Container, port = PORT): void => {
    bed.ok(what, `${network}.${to.ns}`, `${port}:53/udp`);
  };
  afterAll(() => clients.stop());

  it('takes sockets up that were connected before it was there', async () => {
    clients.add('loopback', bed.host, '127.0.0.1', PORT);
    clients.add('address', bed.host, HOST, PORT);
    clients.add('loopback of IPv6', bed.host, '::1', PORT);
    clients.add('address of IPv6', bed.host, HOST_6, PORT);
    clients.add('mapped address', bed.host, `::ffff:${HOST}`, PORT);
    clients.add('bound to an address', bed.host, HOST, PORT, HOST);
    clients.add('one that connects again', bed.host, '--again', '127.0.0.1', PORT);
    await clients.hear('nobody');
    // every packet of theirs passes the programs, which know flows by their ports
    clients.add('container', client.ns, HOST, PORT);
    clients.add('container with IPv6', client.ns, HOST_6, PORT);
    clients.add('outside', bed.ext1, HOST, PORT);
    clients.add('outside with IPv6', bed.ext1, HOST_6, PORT);
    await clients.hear('nobody');
    publish('publish', 'web', first);
    await clients.hear('first');
  });

  it('lets them go when it is taken away', async () => {
    publish('unpublish', 'web', first);
    await clients.hear('nobody');
  });

  it('takes them along when it moves, to another network too', async () => {
    publish('publish', 'side', second);
    await clients.hear('second');
    publish('unpublish', 'side', second);
    publish('publish', 'web', first);
    await clients.hear('first');
  });

  it('takes them along when its container is replaced', async () => {
    bed.ok('disconnect', 'web', first.ns);
    bed.ok('sandbox', 'rm', first.ns);
    const third = bed.container('third', 'web', '-p', `${PORT}:53/udp`);
    await bed.background(third.ns, ['/usr/bin/python3', SERVICES, 'serve', 'third', '53']).says(/ready/);
    await clients.hear('third');
  });

  it('leaves sockets alone that are connected to another port or elsewhere', async () => {
    const others = new Clients();
    others.add('container itself', bed.host, second.ip, '53');
    await others.hear('second');
    publish('publish', 'side', second, '5301');
    await others.hear('second');
    await others.stop();
  });
});

describe("a service's address", () => {
  const clients = new Clients();
  afterAll(() => clients.stop());

  it('takes sockets up, and along to the backends that come', async () => {
    const one = await box('one', 'web');
    const two = await box('two', 'web');
    for (const [name, ns] of [
      ['host', bed.host],
      ['container', client.ns],
    ] as const) {
      clients.add(name, ns, VIP, '5353');
      clients.add(`${name} with IPv6`, ns, VIP6, '5353');
      clients.add(`${name} with a mapped address`, ns, `::ffff:${VIP}`, '5353');
    }
    await clients.hear('nobody');
    const backend = (at: Container): string => `web.${at.ns}`;
    const flags = ['--network', 'web', '--vip', VIP, '--vip', VIP6, '--port', '5353:53/udp'];
    bed.ok('service', 'create', 'names', ...flags, '--backend', backend(one));
    await clients.hear('one');
    bed.ok('service', 'add-backend', 'names', backend(two));
    bed.ok('service', 'rm-backend', 'names', backend(one));
    await clients.hear('two');
    bed.ok('service', 'add-backend', 'names', backend(one));
    bed.ok('disconnect', 'web', two.ns);
    await clients.hear('one');
    bed.ok('service', 'rm', 'names');
    await clients.hear('nobody');
    bed.ok('service', 'create', 'names', ...flags, '--backend', backend(one));
    await clients.hear('one');
  });
});
