// SPDX-License-Identifier: Apache-2.0
/**
 * Containers on the physical network with MAC addresses of their own: a macvlan
 * link in each sandbox, on a link of the host. The kernel does all of it. The
 * packets do not pass the dataplane, so what it would do is refused here.
 */
import { SluiceError } from '../../base/errors.js';
import { peerLink } from './bridge.js';
import type { Driver } from './driver.js';
import { parseMacvlanOptions } from './macvlan-options.js';

export const macvlanDriver: Driver = {
  name: 'macvlan',
  single: false,
  alone: false,
  addressed: true,
  dataplane: false,

  validateNetwork({ options = {}, subnets = [], internal, ipv6 }) {
    parseMacvlanOptions(options);
    if (internal) {
      refuse('internal', 'a macvlan network is part of the physical one and cannot be internal');
    }
    if (ipv6) refuse('ipv6', 'a macvlan network has IPv4 addresses only');
    for (const [i, { cidr = '' }] of subnets.entries()) {
      if (cidr.includes(':')) refuse(`subnets[${i}].cidr`, 'a macvlan network has IPv4 addresses only');
    }
    if (subnets[0]?.cidr === undefined) {
      throw new SluiceError('invalid_argument', 'a macvlan network needs a subnet', {
        field: 'subnets',
        hint: "give the physical network's with --subnet, and its router with --gateway",
      });
    }
  },

  validateEndpoint({ ports = [] }, network) {
    if (ports.length === 0) return;
    throw new SluiceError('unsupported', `ports cannot be published on macvlan network '${network.name}'`, {
      field: 'ports',
      hint: "leave the mapping out: the endpoint's own address is reachable directly",
    });
  },

  validateJoin(network, sandbox) {
    if (!sandbox.host) return;
    throw new SluiceError(
      'invalid_argument',
      `sandbox '${sandbox.name}' is the host's own namespace, which cannot be on macvlan network '${network.name}'`,
      { field: 'sandbox', hint: 'make a sandbox with a namespace of its own' },
    );
  },

  linkName: () => null,

  parent(options) {
    const { parent, mode } = parseMacvlanOptions(options);
    return { link: parent, exclusive: mode === 'passthru' };
  },

  defaultHostIp: () => '',

  planNetwork: () => [],

  planEndpoint({ network, endpoint, join, sandbox, defaultRoutes, joining }) {
    const { parent, mode, mtu } = parseMacvlanOptions(network.options);
    const { id, mac, remote } = endpoint;
    if (remote) return [{ kind: 'lent-macvlan', link: peerLink(id), parent, mode, mac, mtu, make: joining }];
    const [subnet] = network.subnets;
    if (subnet === undefined || endpoint.ipv4 === null || join.interface === null) {
      throw new SluiceError('internal', 'an endpoint of a macvlan network lacks an address or interface');
    }
    const { cidr, gateway } = subnet;
    return [
      {
        kind: 'macvlan',
        parent,
        mode,
        netns: sandbox.netns,
        interface: join.interface,
        mac,
        mtu,
        addresses: [`${endpoint.ipv4}${cidr.slice(cidr.indexOf('/'))}`],
        gateways: defaultRoutes.includes(4) && gateway !== null ? [gateway] : [],
        ipv6: false,
      },
    ];
  },
};

function refuse(field: string, message: string): never {
  throw new SluiceError('unsupported', message, { field, hint: 'leave it out, or use a bridge network' });
}
