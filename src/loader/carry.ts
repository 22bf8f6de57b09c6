// SPDX-License-Identifier: Apache-2.0
/**
 * What maps of another layout hold that nobody can write anew: flows, and what
 * sockets were told. It is converted before the programs are exchanged, and
 * again while they are, so that what the old programs noted meanwhile is not lost.
 */
import { isNativeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Codec, MapDescriptor } from '../maps/codec.js';
import { type Convert, converter, layoutOf } from '../maps/convert.js';
import { BPF_ANY, BPF_NOEXIST, TypedMap } from '../maps/typed.js';
import type { BpfNative, MapInfo } from '../native/bpf.js';
import type { BpfMap } from './programs.js';

/** include/uapi/linux/bpf.h: BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH */
const HASHES = new Set([1, 9]);
const PAUSE_MS = 5;

interface Carried {
  readonly name: string;
  readonly old: BpfMap;
  readonly fd: number;
  readonly was: MapInfo;
  readonly is: MapInfo;
  readonly key: Convert;
  readonly value: Convert;
}

export class CarriedMaps {
  readonly #native: BpfNative;
  readonly #carried: Carried[] = [];
  readonly #log: Log;
  #going: Promise<void> | null = null;
  #ended = false;

  /** `made`: the maps that stand for the replaced ones, by name. */
  constructor(
    native: BpfNative,
    replaced: ReadonlyMap<string, BpfMap>,
    made: ReadonlyMap<string, BpfMap>,
    log: Log,
  ) {
    this.#native = native;
    this.#log = log;
    for (const [name, old] of replaced) {
      const [was, map] = [native.bpfMapInfo(old.fd), made.get(name)];
      if (map === undefined || !HASHES.has(was.type)) continue;
      const is = native.bpfMapInfo(map.fd);
      const [key, value] = [this.#convert(was, is, 'key'), this.#convert(was, is, 'value')];
      if (!HASHES.has(is.type) || key === null || value === null)
        log.warn(`what the map ${name} held is lost: its layout cannot be told from the one before`);
      else this.#carried.push({ name, old, fd: map.fd, was, is, key, value });
    }
  }

  /** Everything that is there, over what has been converted before. */
  async all(): Promise<void> {
    for (const map of this.#carried) {
      const entries = await this.#copy(map, BPF_ANY);
      if (entries > 0) this.#log.info(`${entries} entries of the map ${map.name} converted`);
    }
  }

  /** From now on what is new, until end(): the programs are being exchanged. */
  begin(): void {
    if (this.#carried.length === 0) return;
    this.#going = (async () => {
      while (!this.#ended) {
        await this.#news();
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      await this.#news();
    })().catch((e: unknown) => this.#log.error('maps of another layout are not converted whole', { err: e }));
  }

  /** No program uses the old maps any more. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#going;
    for (const { old } of this.#carried) old.close();
    this.#carried.length = 0;
  }

  async #news(): Promise<void> {
    for (const map of this.#carried) await this.#copy(map, BPF_NOEXIST);
  }

  #convert(was: MapInfo, is: MapInfo, part: 'key' | 'value'): Convert | null {
    if (was.btf === 0 || is.btf === 0) return null;
    const [from, to] = [was, is].map((info) =>
      layoutOf(
        this.#native.bpfBtf(info.btf),
        part === 'key' ? info.keyType : info.valueType,
        part === 'key' ? info.keySize : info.valueSize,
      ),
    );
    return from === undefined || to === undefined ? null : converter(from, to, part === 'key');
  }

  async #copy({ old, fd, was, is, key, value }: Carried, flags: number): Promise<number> {
    const [newKey, newValue] = [Buffer.alloc(is.keySize), Buffer.alloc(is.valueSize)];
    let copied = 0;
    const entries = new TypedMap(this.#native, bytesOf(was), () => old.fd).entries();
    for await (const [oldKey, oldValue] of entries) {
      key(oldKey, 0, newKey, 0);
      value(oldValue, 0, newValue, 0);
      try {
        this.#native.bpfMapUpdate(fd, newKey, newValue, flags);
        copied++;
      } catch (e) {
        // there already; or the new table is smaller, and full
        if (!isNativeError(e) || (e.code !== 'EEXIST' && e.code !== 'E2BIG' && e.code !== 'ENOMEM')) throw e;
      }
    }
    return copied;
  }
}

/** Entries as they are. */
function bytesOf({
  name,
  type,
  maxEntries,
  flags,
  keySize,
  valueSize,
}: MapInfo): MapDescriptor<Buffer, Buffer> {
  const bytes = (size: number): Codec<Buffer> => ({
    size,
    encode: (value, to, at) => void value.copy(to, at),
    decode: (from, at) => Buffer.from(from.subarray(at, at + size)),
  });
  return { name, type, maxEntries, flags, key: bytes(keySize), value: bytes(valueSize) };
}
