// SPDX-License-Identifier: Apache-2.0
/**
 * A bridge of the host with the gateway's address, a veth pair for each joined
 * endpoint, and the dataplane's programs and tables around them.
 */
import { type Family, familyOf, macFromId } from '../../base/addresses.js';
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

  validateNetwork({ subnets = [], ipv6, options = {} }) {
    const { mtu } = parseBridgeOptions(options);
    const hasIpv6 = ipv6 || subnets.some(({ cidr }) => cidr !== undefined && familyOf(cidr) === 6);
    if (!hasIpv6 || mtu === null || mtu >= IPV6_MIN_MTU) return;
    throw new SluiceError('invalid_argument', `an MTU of ${mtu} is too small for IPv6`, {
      field: 'options.mtu',
      hint: `give ${IPV6_MIN_MTU} bytes or more (RFC 8200)`,
    });
  },

  validateEndpoint({ ports = [] }, network) {
    if (!network.internal || ports.length === 0) return;
    throw new SluiceError(
      'invalid_argument',
      `ports cannot be published on internal network '${network.name}': nothing outside reaches it`,
      { field: 'ports', hint: 'leave the port mapping out, or use a network that is not internal' },
    );
  },

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
    const { mtu, masquerade, icc, hostAccess } = parseBridgeOptions(network.options);
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
        gateway4: gatewayOf(network, 4),
        gateway6: gatewayOf(network, 6),
        masquerade,
        internal: network.internal,
        icc,
        hostAccess: hostAccess && !network.internal,
      },
      { kind: 'attachment', link, hook: 'bridge_egress' },
    ];
  },

  planEndpoint({ network, endpoint, join, sandbox, defaultRoutes, joining }: EndpointContext) {
    const bridge = bridgeLink(network);
    const link = portLink(endpoint.id);
    const { mac, ipv6 } = endpoint;
    const ipv4 = known(endpoint.ipv4);
    const slot = known(join.slot);
    const { generation } = join;
    const { mtu, icc, maxFlows, newFlowsPerSecond } = parseBridgeOptions(network.options);
    const addresses = ipv6 === null ? [ipv4] : [ipv4, ipv6];
    const port: Row = endpoint.remote
      ? { kind: 'lent-port', link, bridge, peer: peerLink(endpoint.id), mac, mtu, make: joining }
      : {
          kind: 'port',
          link,
          bridge,
          netns: sandbox.netns,
          interface: known(join.interface),
          mac,
          mtu,
          addresses: addresses.map((address) => `${address}/${subnetLength(network, address)}`),
          gateways: defaultRoutes.flatMap((family) => gatewayOf(network, family) ?? []),
          ipv6: network.ipv6,
        };
    const rows: Row[] = [
      port,
      ...addresses.map((address) => ({ kind: 'neighbour', link: bridge, address, mac }) as const),
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
        ipv6,
        link,
        maxFlows,
        newFlowsPerSecond,
      },
      { kind: 'attachment', link, hook: 'endpoint_ingress' },
    ];
    // where containers may not reach one another by their addresses, the VIP stays on their packets
    if (icc) rows.push({ kind: 'socket-member', netns: sandbox.netns, net: known(network.net), slot });
    if (endpoint.remote?.published === false) return rows;
    for (const { id, protocol, hostIp, hostPort, hostPortEnd, port, allow } of endpoint.ports) {
      rows.push({
        kind: 'publish',
        service: false,
        id,
        slot,
        generation,
        protocol,
        hostIp: hostIp === '' ? null : hostIp,
        hostPort,
        hostPortEnd,
        port,
        ipv4,
        ipv6,
        allow: [...allow],
      });
    }
    return rows;
  },
};

/** RFC 8200: the least that a link must carry. */
const IPV6_MIN_MTU = 1280;

function gatewayOf(network: NetworkRecord, family: Family): string | null {
  return network.subnets.find(({ cidr }) => familyOf(cidr) === family)?.gateway ?? null;
}

/** Prefix length of the subnet that an address of the network lies in. */
function subnetLength(network: NetworkRecord, address: string): number {
  return prefixLength(known(network.subnets.find(({ cidr }) => familyOf(cidr) === familyOf(address))).cidr);
}

/** The other side, while it is in the host's namespace to be taken away. */
export function peerLink(endpointId: string): string {
  return `slp${endpointId.slice(0, 11)}`;
}

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
