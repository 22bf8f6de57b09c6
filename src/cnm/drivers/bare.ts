// SPDX-License-Identifier: Apache-2.0
/** What the drivers without links and addresses have in common. */
import { SluiceError } from '../../base/errors.js';
import type { Driver } from './driver.js';
import { refuseOptions } from './options.js';

/** `why` tells users who try to publish a port. */
export function bareDriver(name: string, why: { ports: string; hint: string }): Omit<Driver, 'validateJoin'> {
  const refuse = (field: string, message: string, hint: string): never => {
    throw new SluiceError('invalid_argument', message, { field, hint });
  };
  return {
    name,
    single: true,
    alone: true,
    addressed: false,
    dataplane: false,
    validateNetwork({ subnets = [], ipv6, internal, options = {} }) {
      if (ipv6) refuse('ipv6', `a ${name} network has no addresses of its own`, 'leave IPv6 out');
      if (internal) refuse('internal', `a ${name} network cannot be internal`, 'use a bridge network');
      if (subnets.length > 0) refuse('subnets', `a ${name} network has no subnets`, 'leave the subnet out');
      refuseOptions(name, options);
    },
    validateEndpoint({ ipv4, ipv6, mac, ports = [] }, network) {
      const on = `on ${name} network '${network.name}'`;
      if (ports.length > 0) refuse('ports', `ports cannot be published ${on}: ${why.ports}`, why.hint);
      if (ipv4 !== undefined)
        refuse('ipv4', `an endpoint ${on} has no address of its own`, 'leave the address out');
      if (ipv6 !== undefined)
        refuse('ipv6', `an endpoint ${on} has no address of its own`, 'leave the address out');
      if (mac !== undefined)
        refuse('mac', `an endpoint ${on} has no interface of its own`, 'leave the MAC out');
    },
    linkName: () => null,
    parent: () => null,
    defaultHostIp: () => '',
    planNetwork: () => [],
    planEndpoint: () => [],
  };
}
