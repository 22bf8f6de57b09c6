// SPDX-License-Identifier: Apache-2.0
/** The maps that the programs share, each with its types. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SluiceError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import type { MapDescriptor } from './codec.js';
import { maps as descriptors } from './generated/maps.js';
import { TypedMap } from './typed.js';

type Typed<D> = D extends MapDescriptor<infer K, infer V> ? TypedMap<K, V> : never;
export type DataplaneMaps = { readonly [N in keyof typeof descriptors]: Typed<(typeof descriptors)[N]> };
export type MapName = keyof typeof descriptors;
export const mapNames = Object.keys(descriptors) as MapName[];

/** From loaded objects, which own the descriptors. */
export function dataplaneMaps(
  native: BpfNative,
  maps: ReadonlyMap<string, { readonly fd: number }>,
): DataplaneMaps {
  const typed = mapNames.map((name) => {
    const map = maps.get(name);
    if (map === undefined) throw new SluiceError('internal', `no object has the map ${name}`);
    return [name, new TypedMap(native, descriptors[name] as MapDescriptor<unknown, unknown>, () => map.fd)];
  });
  return Object.fromEntries(typed) as DataplaneMaps;
}

/** From a directory of pins; what is not pinned is absent. Close when done. */
export function pinnedMaps(
  native: BpfNative,
  directory: string,
): { maps: Partial<DataplaneMaps>; close(): void } {
  const present = new Set(readdirSync(directory));
  const fds: number[] = [];
  const typed = mapNames
    .filter((name) => present.has(name))
    .map((name) => {
      const fd = native.bpfGetPinned(join(directory, name));
      fds.push(fd);
      return [name, new TypedMap(native, descriptors[name] as MapDescriptor<unknown, unknown>, () => fd)];
    });
  return {
    maps: Object.fromEntries(typed) as Partial<DataplaneMaps>,
    close: () => {
      for (const fd of fds.splice(0)) native.bpfCloseFd(fd);
    },
  };
}
