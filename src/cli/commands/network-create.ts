// SPDX-License-Identifier: Apache-2.0
import type { NetworkCreateRequest } from '../../api/schemas/requests.js';
import { type Call, given } from '../call.js';
import { usage } from '../failure.js';
import { create } from './shared/create.js';

export async function networkCreate(call: Call): Promise<undefined> {
  const { options, args } = call;
  const request: NetworkCreateRequest = {
    name: args[0] as string,
    ...given({
      driver: options.text('driver'),
      subnets: subnets(options.list('subnet'), options.list('gateway'), options.list('ip-range')),
      ipv6: options.flag('ipv6'),
      internal: options.flag('internal'),
      ipamDriver: options.text('ipam-driver'),
      options: options.pairs('opt'),
      labels: options.pairs('label'),
    }),
  };
  await create(call, 'networks', request);
}

type Subnet = NonNullable<NetworkCreateRequest['subnets']>[number];

/** A gateway and a range belong to the subnet of their address family, given or to be chosen. */
function subnets(cidrs: readonly string[], gateways: readonly string[], ranges: readonly string[]): Subnet[] {
  const all: Subnet[] = cidrs.map((cidr) => ({ cidr }));
  const place = (flag: string, values: readonly string[], key: 'gateway' | 'ipRange'): void => {
    for (const value of values) {
      const isSame = ({ cidr, gateway, ipRange }: Subnet): boolean =>
        isIpv6(cidr ?? gateway ?? ipRange ?? '') === isIpv6(value);
      let subnet = all.find((candidate) => isSame(candidate) && candidate[key] === undefined);
      if (subnet === undefined && all.some(isSame)) {
        throw usage(`${flag} ${value}: there is one already`, `give one ${flag} per subnet`);
      }
      if (subnet === undefined) {
        subnet = {};
        all.push(subnet);
      }
      subnet[key] = value;
    }
  };
  place('--gateway', gateways, 'gateway');
  place('--ip-range', ranges, 'ipRange');
  return all;
}

function isIpv6(text: string): boolean {
  return text.includes(':');
}
