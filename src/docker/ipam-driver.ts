// SPDX-License-Identifier: Apache-2.0
/** Docker's IpamDriver: networks of Docker's, whichever driver they have, with addresses of our pools. */
import { SluiceError } from '../base/errors.js';
import type { AddressLeases } from '../cnm/leases.js';
import { checkPoolOptions } from './options.js';
import { ReleaseAddress, ReleasePool, RequestAddress, RequestPool, reader } from './protocol.js';
import type { Methods } from './server.js';

/** Names that stay for ever: Docker keeps them with its networks. */
const LOCAL = 'SluiceLocal';
const GLOBAL = 'SluiceGlobal';

const ADDRESS_TYPE = 'RequestAddressType';
const GATEWAY = 'com.docker.network.gateway';

const read = {
  requestPool: reader(RequestPool),
  releasePool: reader(ReleasePool),
  requestAddress: reader(RequestAddress),
  releaseAddress: reader(ReleaseAddress),
};

export function ipamDriver(leases: AddressLeases): Methods {
  return {
    GetCapabilities: async () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),
    GetDefaultAddressSpaces: async () => ({
      LocalDefaultAddressSpace: LOCAL,
      GlobalDefaultAddressSpace: GLOBAL,
    }),
    RequestPool: async (body) => {
      const { AddressSpace, Pool, SubPool, Options, V6 } = read.requestPool(body);
      const space = AddressSpace || LOCAL;
      if (space !== LOCAL && space !== GLOBAL) {
        throw new SluiceError('invalid_argument', `there is no address space '${space}'`, {
          hint: `the address spaces are ${LOCAL} and ${GLOBAL}`,
        });
      }
      checkPoolOptions(Options);
      const { id, cidr } = await leases.requestPool({
        space,
        cidr: Pool || null,
        range: SubPool || null,
        ipv6: V6 ?? false,
        replayed: space === GLOBAL,
      });
      return { PoolID: id, Pool: cidr, Data: {} };
    },
    ReleasePool: async (body) => {
      await leases.releasePool(read.releasePool(body).PoolID);
      return {};
    },
    RequestAddress: async (body) => {
      const { PoolID, Address, Options } = read.requestAddress(body);
      const use = Options?.[ADDRESS_TYPE] === GATEWAY ? 'gateway' : 'host';
      return { Address: await leases.requestAddress(PoolID, Address || null, use), Data: {} };
    },
    ReleaseAddress: async (body) => {
      const { PoolID, Address } = read.releaseAddress(body);
      await leases.releaseAddress(PoolID, Address);
      return {};
    },
  };
}
