// SPDX-License-Identifier: Apache-2.0
import type { Migration } from '../store/migrate.js';
import type { Json, Operation } from '../store/store.js';

/** What is no object is left as it is: the reader of the records tells what is wrong with it. */
function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A change of the stored records' shape appends one here. */
export const MIGRATIONS: readonly Migration[] = [
  {
    schema: 2,
    what: 'endpoints with an IPv6 address, ports with the sources that may use them',
    async run(store) {
      const entries = await store.list('endpoints/');
      return entries.flatMap(({ key, value }): Operation[] => {
        if (!isObject(value) || !Array.isArray(value.ports)) return [];
        const ports = (value.ports as readonly Json[]).map((port) =>
          isObject(port) ? { ...port, allow: [] } : port,
        );
        return [{ op: 'put', key, value: { ...value, ipv6: null, ports } }];
      });
    },
  },
  {
    schema: 3,
    what: 'services with an address, backends with a number',
    async run(store) {
      const entries = await store.list('services/');
      return entries.flatMap(({ key, value }): Operation[] => {
        if (!isObject(value) || !Array.isArray(value.backends) || !Array.isArray(value.publish)) return [];
        const backends = (value.backends as readonly Json[]).map((backend) => {
          if (!isObject(backend)) return backend;
          const { endpoint = null, weight = 1, ...declared } = backend;
          return { id: null, endpoint, weight, declared };
        });
        const publish = (value.publish as readonly Json[]).map((port) =>
          isObject(port) ? { id: null, hostIp: '', ...port } : port,
        );
        const fresh = {
          network: null,
          mode: 'vip',
          number: null,
          vip: null,
          vip6: null,
          idleTimeout: null,
          selector: {},
          health: null,
        };
        return [{ op: 'put', key, value: { ...fresh, ...value, publish, backends } }];
      });
    },
  },
];
