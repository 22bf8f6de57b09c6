// SPDX-License-Identifier: Apache-2.0
/** Backends that come, drain and go under load, at the socket and packet by packet. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep, until } from '../support/process.js';
import { type Load, ServiceBed, WAYS } from '../support/service-bed.js';
import { ask, SERVICES } from '../support/services.js';
import { type Container, HOST, type Testbed } from '../support/testbed.js';

/** The loads that are served at the socket: the host's always. */
const TRANSLATED: Record<string, number[]> = { 'at the socket': [0, 1, 3], 'packet by packet': [3] };

describe.each(WAYS)('%s', (way, flags) => {
  let services: ServiceBed;
  let bed: Testbed;
  let client: Container;
  let vip: string;
  let vip6: string;
  const sockets = way === 'at the socket';

  beforeAll(async () => {
    services = await ServiceBed.start(...flags);
    ({ bed } = services);
    client = bed.container('client', 'web');
    for (const name of ['a', 'b']) await services.backend(name);
    const shop = services.create(...['a', 'b'].flatMap((n) => ['--backend', services.endpoint(n)]));
    vip = shop.vip as string;
    vip6 = shop.vip6 as string;
    services.load(client.ns, vip, 80);
    services.load(client.ns, vip6, 80);
    services.load(bed.ext1, HOST, 8000);
    services.load(bed.host, HOST, 8000);
  });
  afterAll(() => services?.stop());

  const change = (command: string, name: string, ...more: string[]): string =>
    bed.ok('service', command, 'shop', services.endpoint(name), ...more);
  const state = (name: string): string | undefined =>
    services.shop().backends.find(({ endpoint }) => endpoint === services.endpoint(name))?.state;

  /** Each load has met these alone, and no error. */
  const only = (loads: Load[], ...names: string[]): void => {
    for (const { names: met, errors } of loads) {
      expect(errors).toEqual({});
      expect(Object.keys(met).every((name) => names.includes(name))).toBe(true);
      expect(Object.values(met).reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0);
    }
  };

  it('replaces a backend without one failed request; those that are open go on to their end', async () => {
    change('rm-backend', 'b');
    await services.met();
    const old = [
      services.talk('talk', client.ns, vip, 80),
      services.talk('talk', bed.ext1, HOST, 8000),
      services.talk('converse', client.ns, vip, 80),
    ];
    for (const one of old) expect(await one.next()).toBe('a');
    await services.backend('new');
    change('add-backend', 'new');
    await sleep(300);
    only(await services.met(), 'a', 'new');
    expect(new Set(ask(client.ns, 'tcp', vip, 80, 40).names)).toEqual(new Set(['a', 'new']));

    change('set-backend', 'a', '--drain');
    expect(state('a')).toBe('draining');
    await services.met();
    await sleep(500);
    only(await services.met(), 'new');
    expect(new Set(ask(client.ns, 'connected', vip6, 80, 40).names)).toEqual(new Set(['new']));
    for (const one of old) expect(await one.next()).toBe('a');
    for (const one of old) await one.stop();
    change('rm-backend', 'a');
    await sleep(500);
    only(await services.met(), 'new');
  });

  it('goes on at the others where a backend’s sandbox is removed, and ends what was open to it', async () => {
    await services.backend('doomed');
    change('add-backend', 'b');
    change('add-backend', 'doomed', '--weight', '8');
    for (const name of ['b', 'new']) change('set-backend', name, '--drain');
    const doomed = [
      services.talk('talk', client.ns, vip, 80),
      services.talk('talk', client.ns, vip6, 80),
      services.talk('talk', bed.ext1, HOST, 8000),
      services.talk('talk', bed.host, HOST, 8000),
    ];
    const datagrams = [
      services.talk('converse', client.ns, vip, 80),
      services.talk('converse', client.ns, vip6, 80),
      services.talk('converse', bed.ext1, HOST, 8000),
    ];
    const held = bed.background(client.ns, ['/usr/bin/python3', SERVICES, 'hold', 'tcp', vip, '80']);
    await held.says(/name/);
    for (const one of [...doomed, ...datagrams]) expect(await one.next()).toBe('doomed');
    for (const name of ['b', 'new']) change('set-backend', name, '--drain=false');
    await services.met();
    await sleep(300);
    only(await services.met(), 'b', 'new', 'doomed');
    bed.ok('disconnect', 'web', bed.box('doomed'));
    bed.ok('sandbox', 'rm', bed.box('doomed'));
    if (sockets) {
      await until(() => held.ended, 'the socket has been ended', 5_000);
      expect(held.out).toContain('ECONNABORTED');
    }
    const start = Date.now();
    for (const one of doomed) expect(await one.next()).toMatch(/^(ECONNABORTED|ECONNRESET|EPIPE|closed)$/);
    expect(Date.now() - start).toBeLessThan(5_000);
    for (const one of datagrams) expect(await one.next()).toMatch(/^(b|new)$/);
    expect(services.shop().backends.map(({ endpoint }) => endpoint)).not.toContain(
      services.endpoint('doomed'),
    );
    for (const [i, { errors }] of (await services.met()).entries()) {
      const { ECONNABORTED = 0, ECONNRESET = 0, timeout = 0, ...others } = errors;
      expect(others).toEqual({});
      // at most the one that was on its way
      expect(ECONNABORTED + ECONNRESET + timeout).toBeLessThan(2);
      // Who waits for an answer and sends nothing learns nothing where nobody ends the socket.
      if (TRANSLATED[way]?.includes(i)) expect(timeout).toBe(0);
    }
    await sleep(500);
    only(await services.met(), 'b', 'new');
  });
});
