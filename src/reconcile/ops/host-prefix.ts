// SPDX-License-Identifier: Apache-2.0
import { mappedPrefix, parsePrefix } from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import type { HostPrefixRow } from '../../cnm/rows.js';
import { host_prefix_kind } from '../../maps/generated/enums.js';
import type { HostPrefixKey, HostPrefixValue, KernelMaps } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';
import { NO_ADDRESS, same } from './values.js';

/** What is the host's beside its links' addresses, in `host_prefixes`. */
export class HostPrefixOps implements Ops<HostPrefixRow> {
  readonly #map: KernelMaps['host_prefixes'];

  constructor(maps: Pick<KernelMaps, 'host_prefixes'>) {
    this.#map = maps.host_prefixes;
  }

  update(row: HostPrefixRow): void {
    this.#map.set(keyOf(row.prefix), value(row));
  }

  delete(row: HostPrefixRow): void {
    this.#map.delete(keyOf(row.prefix));
  }

  async read(): Promise<Actual<HostPrefixRow>> {
    const have = new Map<string, { key: HostPrefixKey; value: HostPrefixValue }>();
    for await (const [key, held] of this.#map.entries()) have.set(textOf(key), { key, value: held });
    return {
      holds: (row) => {
        const held = have.get(textOf(keyOf(row.prefix)));
        return held !== undefined && same(held.value, value(row));
      },
      strays: (wanted) =>
        [...have.values()]
          .filter(({ key }) => !wanted(prefixOf(key)))
          .map(({ key }) => ({
            what: `host prefix ${prefixOf(key)}`,
            remove: () => void this.#map.delete(key),
          })),
    };
  }
}

function keyOf(text: string): HostPrefixKey {
  const prefix = parsePrefix(text);
  if (prefix === null) throw new SluiceError('internal', `${text} is no prefix of the host`);
  const { network, length } = mappedPrefix(prefix);
  return { prefix_length: length, addr: network };
}

function value(row: HostPrefixRow): HostPrefixValue {
  const { HOST_PREFIX_BROADCAST, HOST_PREFIX_LOCAL } = host_prefix_kind;
  return {
    kind: row.address === null ? HOST_PREFIX_LOCAL : HOST_PREFIX_BROADCAST,
    addr: row.address ?? NO_ADDRESS,
  };
}

const textOf = (key: HostPrefixKey): string => `${key.addr}/${key.prefix_length}`;

/** As the rows have it. */
function prefixOf({ addr, prefix_length }: HostPrefixKey): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(addr);
  return mapped === null ? `${addr}/${prefix_length}` : `${mapped[1]}/${prefix_length - 96}`;
}
