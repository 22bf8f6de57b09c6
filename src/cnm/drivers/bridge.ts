// SPDX-License-Identifier: Apache-2.0
/**
 * A bridge of the host with the gateway's address, a veth pair for each joined
 * endpoint, and the dataplane's programs and tables around them.
 */
import { macFromId } from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import type { NetworkRecord } from '../records.js';
import type { Row } from '../rows.js';
import type { Driver, EndpointContext } from './driver.js';
import { parseBridgeOptions } from './options.js';

export const bridgeDriver: Driver = {
  name: 'bridge',
  single: false,
  alone: false,
  addressed: true,
  dataplane: true,

  validateNetwork({ options = {} }) {
    parseBridgeOptions(options);
  },

  validateEndpoint() {},

  validateJoin(network, sandbox) {
    if (!sandbox.host) return;
    throw new SluiceError(
      'invalid_argument',
      `sandbox '${sandbox.name}' is the host's own namespace, which cannot be on bridge network '${network.name}'`,
      { field: 'sandbox', hint: 'make a sandbox with a namespace of its own, or use a host network' },
    );
  },

  linkName(id, options) {
    return parseBridgeOptions(options).link ?? `slb${id.slice(0, 11)}`;
  },

  parent: () => null,

  defaultHostIp(network) {
    return parseBridgeOptions(network.options).hostIp;
  },

  planNetwork(network) {
    const { mtu, masquerade } = parseBridgeOptions(network.options);
    const link = bridgeLink(network);
    const mac = macFromId(network.id);
    const gateways = network.subnets.flatMap(({ cidr, gateway }) =>
      gateway === null ? [] : [{ gateway, length: prefixLength(cidr) }],
    );
    return [
      {
        kind: 'bridge',
        link,
        mac,
        mtu,
        addresses: gateways.map(({ gateway, length }) => `${gateway}/${length}`),
      },
      {
        kind: 'dp-network',
        net: known(network.net),
        link,
        mac,
        gateway4: gateways[0]?.gateway ?? null,
        gateway6: null,
        masquerade,
        internal: network.internal,
        icc: true,
        hostAccess: true,
      },
      { kind: 'attachment', link, hook: 'bridge_egress' },
    ];
  },

  planEndpoint({ network, endpoint, join, sandbox, defaultRoute }: EndpointContext) {
    const bridge = bridgeLink(network);
    const link = portLink(endpoint.id);
    const { mac } = endpoint;
    const ipv4 = known(endpoint.ipv4);
    const slot = known(join.slot);
    const { generation } = join;
    const [subnet] = network.subnets;
    const rows: Row[] = [
      {
        kind: 'port',
        link,
        bridge,
        netns: sandbox.netns,
        interface: known(join.interface),
        mac,
        mtu: parseBridgeOptions(network.options).mtu,
        addresses: [`${ipv4}/${prefixLength(known(subnet).cidr)}`],
        gateways: defaultRoute ? network.subnets.flatMap(({ gateway }) => gateway ?? []) : [],
        ipv6: network.ipv6,
      },
      { kind: 'neighbour', link: bridge, address: ipv4, mac },
      { kind: 'fdb', link, mac },
      {
        kind: 'dp-endpoint',
        slot,
        generation,
        net: known(network.net),
        member: known(join.member),
        sandbox: sandbox.number,
        mac,
        ipv4,
        ipv6: null,
        link,
      },
      { kind: 'attachment', link, hook: 'endpoint_ingress' },
    ];
    for (const { id, protocol, hostIp, hostPort, hostPortEnd, port } of endpoint.ports) {
      rows.push({
        kind: 'publish',
        id,
        slot,
        generation,
        protocol,
        hostIp: hostIp === '' || hostIp === '0.0.0.0' ? null : hostIp,
        hostPort,
        hostPortEnd,
        port,
        ipv4,
        ipv6: null,
        allow: [],
      });
    }
    return rows;
  },
};

/** Host side of an endpoint's veth pair. */
export function portLink(endpointId: string): string {
  return `slv${endpointId.slice(0, 11)}`;
}

function bridgeLink(network: NetworkRecord): string {
  return known(network.link);
}

function prefixLength(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** What a bridge network or its joined endpoint always has. */
function known<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) {
    throw new SluiceError('internal', 'an object of a bridge network lacks an address or number');
  }
  return value;
}
