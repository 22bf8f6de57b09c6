// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import type { PublishRow } from '../../../src/cnm/rows.js';
import type { HostSocket } from '../../../src/link/sockets.js';
import { GuardedPublishOps } from '../../../src/reconcile/ops/guarded-publish.js';
import type { Ops } from '../../../src/reconcile/ops.js';

const ROW: PublishRow = {
  kind: 'publish',
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

  it.each<[string, Partial<HostSocket>]>([
    ['on every address', {}],
    ['on one address', { address: '192.0.2.1', port: 8089 }],
    ['on both families', { family: 6, address: '::' }],
    ['on a mapped address', { family: 6, address: '::ffff:192.0.2.1' }],
  ])('is closed again where a socket %s was quicker', async (_, socket) => {
    const { ops, done } = bench([socket]);
    await expect(ops.update(ROW, [])).rejects.toMatchObject({ code: 'port_taken' });
    expect(done).toEqual(['open 1', 'reserve 8080', 'look', 'close 1']);
  });

  it.each<[string, Partial<HostSocket>, Partial<PublishRow>]>([
    ['another protocol', { protocol: 'udp' }, {}],
    ['another port', { port: 8090 }, {}],
    ['IPv6 only', { family: 6, address: '::', v6only: true }, {}],
    ['an IPv6 address', { family: 6, address: '::1' }, {}],
    ['another address', { address: '192.0.2.2' }, { hostIp: '192.0.2.1' }],
  ])('does not mind a socket of %s', async (_, socket, row) => {
    const { ops } = bench([socket]);
    await expect(ops.update({ ...ROW, ...row }, [])).resolves.toBeUndefined();
  });

  it('shares a look with the others of the same moment', async () => {
    const { ops, done } = bench();
    await Promise.all([1, 2, 3].map((id) => ops.update({ ...ROW, id }, [])));
    expect(done.filter((what) => what === 'look')).toHaveLength(1);
    expect(done.indexOf('look')).toBeGreaterThan(done.indexOf('open 3'));
  });
});
