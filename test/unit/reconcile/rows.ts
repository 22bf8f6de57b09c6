// SPDX-License-Identifier: Apache-2.0
import type { Owner, Row } from '../../../src/cnm/rows.js';

export const NETWORK: Owner = { kind: 'network', id: 'n1' };
export const SANDBOX: Owner = { kind: 'sandbox', id: 's1' };

export function networkRows(): Row[] {
  return [
    { kind: 'attachment', link: 'slb1', hook: 'bridge_egress' },
    { kind: 'bridge', link: 'slb1', mac: '02:00:00:00:00:01', mtu: null, addresses: ['10.64.0.1/24'] },
    {
      kind: 'dp-network',
      net: 1,
      link: 'slb1',
      mac: '02:00:00:00:00:01',
      gateway4: '10.64.0.1',
      gateway6: null,
      masquerade: true,
      internal: false,
      icc: true,
      hostAccess: true,
    },
  ];
}

export function endpointOwner(n: number): Owner {
  return { kind: 'endpoint', id: `e${n}` };
}

export function endpointRows(n: number, publishes = 1): Row[] {
  const link = `slv${n}`;
  const mac = `02:42:0a:40:00:${(n + 1).toString(16).padStart(2, '0')}`;
  const ipv4 = `10.64.0.${n + 1}`;
  return [
    ...Array.from(
      { length: publishes },
      (_, i): Row => ({
        kind: 'publish',
        service: false,
        id: n * 100 + i + 1,
        slot: n,
        generation: n,
        protocol: 'tcp',
        hostIp: null,
        hostPort: 8000 + n * 100 + i,
        hostPortEnd: 8000 + n * 100 + i,
        port: 80,
        ipv4,
        ipv6: null,
        allow: [],
      }),
    ),
    { kind: 'attachment', link, hook: 'endpoint_ingress' },
    {
      kind: 'dp-endpoint',
      slot: n,
      generation: n,
      net: 1,
      member: n,
      sandbox: n,
      mac,
      ipv4,
      ipv6: null,
      maxFlows: null,
      newFlowsPerSecond: null,
      link,
    },
    { kind: 'neighbour', link: 'slb1', address: ipv4, mac },
    { kind: 'fdb', link, mac },
    {
      kind: 'port',
      link,
      bridge: 'slb1',
      netns: '/run/netns/x',
      interface: 'eth0',
      mac,
      mtu: null,
      addresses: [`${ipv4}/24`],
      gateways: ['10.64.0.1'],
      ipv6: false,
    },
  ];
}
