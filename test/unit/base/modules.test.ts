// SPDX-License-Identifier: Apache-2.0
/** Modules that the kernel could not load are named by whoever asked for what they bring. */
import { expect, it } from 'vitest';
import { Netlink } from '../../../src/link/netlink.js';
import { hostSockets } from '../../../src/link/sockets.js';
import type { NetNative } from '../../../src/native/net.js';

function refusing(code: string, log: string): NetNative {
  return {
    netOpen: async () => ({}),
    netClose: () => undefined,
    netRequest: () => Promise.reject(Object.assign(new Error(code), { kind: 'native', code, log })),
  } as unknown as NetNative;
}

const mac = '02:00:00:00:00:01';

it.each([
  ['bridge', (n: Netlink) => n.createBridge({ name: 'b', mac })],
  [
    'veth',
    (n: Netlink) => n.createVeth({ name: 'v', mtu: 1500, peer: { name: 'p', mac, mtu: 1500, netns: null } }),
  ],
  [
    'macvlan',
    (n: Netlink) => n.createMacvlan({ name: 'm', parent: 2, mode: 'bridge', mac, mtu: 1500, netns: null }),
  ],
] as const)('%s', async (module, create) => {
  const netlink = await Netlink.open(refusing('EOPNOTSUPP', 'Unknown device type'));
  await expect(create(netlink)).rejects.toMatchObject({
    code: 'environment',
    message: `no ${module} can be made: the kernel module ${module} is not loaded and could not be loaded`,
    hint: expect.stringMatching(new RegExp(`^modprobe ${module};`)),
  });
  const other = await Netlink.open(refusing('EOPNOTSUPP', 'Device does not support it'));
  await expect(create(other)).rejects.toMatchObject({ kind: 'native', code: 'EOPNOTSUPP' });
});

it('tcp_diag', async () => {
  await expect(hostSockets(refusing('ENOENT', ''))).rejects.toMatchObject({
    code: 'environment',
    message: expect.stringContaining('the kernel module tcp_diag is not loaded'),
  });
  await expect(hostSockets(refusing('EPERM', ''))).rejects.toMatchObject({ kind: 'native' });
});
