// SPDX-License-Identifier: Apache-2.0
/** A host that was started with ipv6.disable=1: no sysctl of IPv6 in any namespace, no netlink family. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Netlink } from '../../../src/link/netlink.js';
import type { NetNative } from '../../../src/native/net.js';
import { Identity } from '../../../src/reconcile/identity.js';
import type { AttachApi, LinkInfo, NetlinkApi, NetnsApi } from '../../../src/reconcile/kernel.js';
import { LinkTable } from '../../../src/reconcile/links.js';
import { disableIpv6, enableIpv6 } from '../../../src/reconcile/ops/ipv6.js';
import { NetnsOps } from '../../../src/reconcile/ops/netns.js';
import { ReassemblyOps, reassemblyRows } from '../../../src/reconcile/ops/reassembly.js';

let bpffs: string;
let written: string[];

beforeEach(() => {
  bpffs = mkdtempSync(join(tmpdir(), 'sluice-no-ipv6-'));
  written = [];
});
afterEach(() => rmSync(bpffs, { recursive: true }));

const failure = (code: string): Error => Object.assign(new Error(code), { kind: 'native', code });

async function write(key: string): Promise<void> {
  if (key.startsWith('net/ipv6/') || key.includes('frag6')) throw failure('ENOENT');
  written.push(key);
}

/** A namespace in which nothing is, and nothing of IPv6 can be. */
const netns: NetnsApi = {
  createNetns: async () => undefined,
  deleteNetns: async () => undefined,
  isNetns: async () => false,
  info: async () => null,
  writeSysctlIn: (_, key) => write(key),
  netlinkIn: async () => netlink,
  defragmentIn: async () => undefined,
  defragmentsIn: async () => false,
};

const inner: LinkInfo = {
  ...{ ifindex: 7, name: 'veth0', kind: 'veth', mac: '02:00:00:00:00:02', mtu: 65535 },
  ...{ up: false, running: false, loopback: false, arphrd: 1, master: 0, linkIndex: 8, alias: '' },
};
const families: (number | string)[] = [];
const netlink = {
  linkByName: async (name: string) => (name === 'veth0' ? inner : undefined),
  createVeth: async ({ name }: { name: string }) => ({ ...inner, name, ifindex: 8, linkIndex: 7 }),
  setLink: async () => undefined,
  setNeighbour: async (_: number, address: string) => {
    if (address.includes(':')) throw failure('EAFNOSUPPORT');
    families.push(4);
  },
  addRoute: async ({ gateway }: { gateway: string }) => {
    if (gateway.includes(':')) throw failure('EOPNOTSUPP');
  },
  addRule: async () => undefined,
  close: () => undefined,
} as unknown as NetlinkApi;

it('makes sandboxes', async () => {
  const ops = new NetnsOps(netns, new Identity(bpffs));
  await ops.update({ kind: 'netns', path: '/run/netns/box' });
  expect(written).toEqual(['net/ipv4/conf/default/rp_filter']);
});

it('puts fragments of IPv4 together', async () => {
  const attached: number[] = [];
  const attach = {
    attachDefragmentation: async ({ family }: { family: number }) => void attached.push(family),
  } as unknown as AttachApi;
  const identity = new Identity(bpffs);
  const links = new LinkTable(netlink);
  const ops = new ReassemblyOps(
    {
      netlink,
      netns,
      attach,
      guards: { put: async () => {} },
      links,
      identity,
      pins: bpffs,
      ipv6: false,
      writeSysctl: write,
    },
    null,
  );
  const row = reassemblyRows(identity, 'link').find((r) => r.kind === 'reassembly');
  if (row?.kind !== 'reassembly') throw new Error('there is no such row');
  await ops.update(row);
  expect(attached).toEqual([4]);
  expect(written).toContain('net/ipv4/ip_forward');
  expect(families).toEqual([4]);
});

it('knows of no device that forwards IPv6, where the kernel does not know the question', async () => {
  const native = {
    netOpen: async () => ({}),
    netRequest: () => Promise.reject(failure('EOPNOTSUPP')),
  } as unknown as NetNative;
  const socket = await Netlink.open(native);
  expect(await socket.forwarding6()).toEqual(new Set());
  await expect(socket.links()).rejects.toThrow('EOPNOTSUPP');
});

it('leaves devices as they are, and says why one cannot have IPv6', async () => {
  await disableIpv6(write, 'slb0');
  await expect(enableIpv6(write, 'slb0', 1500, 'none')).rejects.toMatchObject({
    code: 'environment',
    message: 'the kernel has no IPv6 for slb0',
    hint: expect.stringContaining('ipv6.disable=1'),
  });
});
