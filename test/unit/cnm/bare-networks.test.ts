// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { EndpointCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  for (const name of ['web', 'db']) await made(bench.model.createNetwork({ name }));
  for (const name of ['a', 'b']) await made(bench.model.createSandbox({ name }));
});
const connect = (sandbox: string, request: Partial<EndpointCreate> = {}) =>
  made(bench.model.connect(sandbox, { network: 'web', ...request }));

describe('a host network', () => {
  beforeEach(async () => {
    await made(bench.model.createNetwork({ name: 'h', driver: 'host' }));
    await made(bench.model.createSandbox({ name: 'self', netns: '/proc/1/ns/net' }));
  });

  test('is for sandboxes that are the host’s namespace, and changes nothing', async () => {
    bench.realizer.owners.clear();
    const endpoint = await connect('self', { network: 'h' });
    expect(endpoint).toMatchObject({
      ipv4: null,
      mac: '',
      interface: null,
      hostInterface: null,
      state: 'joined',
    });
    expect(bench.realizer.owners.size).toBe(0);
    expect(bench.model.sandbox('self').endpoints).toEqual(['h.self']);
    await bench.model.disconnect('h', 'self');
  });

  test('is for no others, and those for no other network', async () => {
    expect((await failure(connect('a', { network: 'h' }))).hint).toContain('--netns /proc/1/ns/net');
    const error = await failure(connect('self'));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'sandbox' });
    expect(error.message).toContain('own namespace');
  });

  test('publishes nothing, and gives no addresses', async () => {
    const error = await failure(connect('self', { network: 'h', ports: ['80:80'] }));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'ports' });
    expect(error.message).toContain("host's own ports");
    expect(await failure(connect('self', { network: 'h', ipv4: '10.0.0.1' }))).toMatchObject({
      field: 'ipv4',
    });
    expect(await failure(connect('self', { network: 'h', mac: '02:00:00:00:00:01' }))).toMatchObject({
      field: 'mac',
    });
    await connect('self', { network: 'h' });
    expect(await failure(bench.model.publish('h.self', ['80:80']))).toMatchObject({ field: 'ports' });
  });
});

describe('a null network', () => {
  beforeEach(async () => {
    await made(bench.model.createNetwork({ name: 'none', driver: 'null' }));
  });

  test('gives its sandboxes nothing, and must be their only one', async () => {
    expect(await connect('a', { network: 'none' })).toMatchObject({
      ipv4: null,
      interface: null,
      state: 'joined',
    });
    expect(bench.realizer.rows('port')).toEqual([]);
    const error = await failure(connect('a'));
    expect(error).toMatchObject({ code: 'conflict' });
    expect(error.hint).toContain("'none' must be the only network");
    await connect('b');
    expect(await failure(connect('b', { network: 'none' }))).toMatchObject({ code: 'conflict' });
    expect(await failure(bench.model.publish('none.a', ['80']))).toMatchObject({
      code: 'invalid_argument',
      field: 'ports',
    });
  });
});
