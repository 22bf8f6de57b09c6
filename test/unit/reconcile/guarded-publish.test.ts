// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import type { PublishRow } from '../../../src/cnm/rows.js';
import type { HostSocket } from '../../../src/link/sockets.js';
import { GuardedPublishOps } from '../../../src/reconcile/ops/guarded-publish.js';
import type { Ops } from '../../../src/reconcile/ops.js';

const ROW: PublishRow = {
  kind: 'publish',
  service: false,
  id: 1,
  slot: 1,
  generation: 1,
  protocol: 'tcp',
  hostIp: null,
  hostPort: 8080,
  hostPortEnd: 8089,
  port: 80,
  ipv4: '10.64.0.2',
  ipv6: null,
  allow: [],
};

function bench(sockets: Partial<HostSocket>[] = []) {
  const done: string[] = [];
  const inner: Ops<PublishRow> = {
    update: ({ id }) => void done.push(`open ${id}`),
    delete: ({ id }) => void done.push(`close ${id}`),
    read: async () => ({ holds: () => true, strays: () => [] }),
  };
  const look = async (): Promise<HostSocket[]> => {
    done.push('look');
    return sockets.map((s) => ({
      protocol: 'tcp' as const,
      family: 4 as const,
      address: '0.0.0.0',
      port: 8080,
      v6only: false,
      ...s,
    }));
  };
  const reserved = {
    changed: async ({ hostPort }: { hostPort: number }) => void done.push(`reserve ${hostPort}`),
  };
  return { ops: new GuardedPublishOps(inner, look, reserved), done };
}

describe('a publish', () => {
  it('looks for sockets only when no further one can be bound', async () => {
    const { ops, done } = bench();
    await ops.update(ROW, []);
    await ops.delete(ROW);
    expect(done).toEqual(['open 1', 'reserve 8080', 'look', 'close 1', 'reserve 8080']);
  });

  describe.each<
    [string, Partial<PublishRow>, (string | { v6only: string })[], (string | { v6only: string })[]]
  >([
    [
      'on every address of IPv4',
      {},
      ['0.0.0.0', '127.0.0.1', '192.0.2.1', '::', '::ffff:192.0.2.1', '::ffff:0.0.0.0'],
      [{ v6only: '::' }, '::1', '2001:db8::1'],
    ],
    [
      'on every address of both families',
      { ipv6: 'fd00:64::2' },
      ['0.0.0.0', '192.0.2.1', '::ffff:192.0.2.1', '::', { v6only: '::' }, '::1', '2001:db8::1'],
      [],
    ],
    [
      'on every address of IPv4 alone, of an endpoint with both',
      { ipv6: 'fd00:64::2', hostIp: '0.0.0.0' },
      ['0.0.0.0', '192.0.2.1', '::', '::ffff:192.0.2.1'],
      [{ v6only: '::' }, '::1', '2001:db8::1'],
    ],
    [
      'on every address of IPv6 alone',
      { ipv6: 'fd00:64::2', hostIp: '::' },
      ['::', { v6only: '::' }, '::1', '2001:db8::1'],
      ['0.0.0.0', '127.0.0.1', '192.0.2.1', '::ffff:192.0.2.1'],
    ],
    [
      'on one address of IPv4',
      { ipv6: 'fd00:64::2', hostIp: '192.0.2.1' },
      ['0.0.0.0', '192.0.2.1', '::', '::ffff:192.0.2.1'],
      [{ v6only: '::' }, '192.0.2.2', '127.0.0.1', '::ffff:192.0.2.2', '2001:db8::1'],
    ],
    [
      'on one address of IPv6',
      { ipv6: 'fd00:64::2', hostIp: '2001:db8::1' },
      ['::', { v6only: '::' }, '2001:db8::1'],
      ['0.0.0.0', '192.0.2.1', '2001:db8::2', '::1', '::ffff:192.0.2.1'],
    ],
  ])('%s', (_, where, inTheWay, aside) => {
    const row = { ...ROW, ...where };
    const socketAt = (at: string | { v6only: string }): Partial<HostSocket> => {
      const address = typeof at === 'string' ? at : at.v6only;
      return { address, family: address.includes(':') ? 6 : 4, v6only: typeof at !== 'string', port: 8089 };
    };

    it.each(inTheWay)('is closed again where a socket at %j was quicker', async (at) => {
      const { ops, done } = bench([socketAt(at)]);
      await expect(ops.update(row, [])).rejects.toMatchObject({ code: 'port_taken' });
      expect(done).toEqual(['open 1', 'reserve 8080', 'look', 'close 1']);
    });

    if (aside.length > 0)
      it.each(aside)('does not mind a socket at %j', async (at) => {
        const { ops } = bench([socketAt(at)]);
        await expect(ops.update(row, [])).resolves.toBeUndefined();
      });
  });

  it.each<[string, Partial<HostSocket>]>([
    ['another protocol', { protocol: 'udp' }],
    ['a port above', { port: 8090 }],
    ['a port below', { port: 8079 }],
  ])('does not mind a socket of %s', async (_, socket) => {
    const { ops } = bench([socket]);
    await expect(ops.update(ROW, [])).resolves.toBeUndefined();
  });

  it('shares a look with the others of the same moment', async () => {
    const { ops, done } = bench();
    await Promise.all([1, 2, 3].map((id) => ops.update({ ...ROW, id }, [])));
    expect(done.filter((what) => what === 'look')).toHaveLength(1);
    expect(done.indexOf('look')).toBeGreaterThan(done.indexOf('open 3'));
  });
});
