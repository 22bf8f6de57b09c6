// SPDX-License-Identifier: Apache-2.0
/** Loading object files: maps shared by name through pins, constants set, programs verified. */
import { existsSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeDirectory } from '../base/directories.js';
import { isNativeError, SluiceError } from '../base/errors.js';
import type { BpfNative, MapSpec, ProgramInfo, TestRunResult } from '../native/bpf.js';
import { OwnedFd } from './fd.js';
import { loadError } from './verifier.js';

export interface LoadOptions {
  /** The compiled object. */
  readonly path: string;
  /**
   * Directory of the pinned maps; one that is there with the same layout is
   * used, a missing one is made and pinned. Absent: nothing is pinned.
   */
  readonly pins?: string;
  /** Maps to use by name, before any pin: how several objects share without pins. */
  readonly share?: ReadonlyMap<string, BpfMap>;
  /** Contents of .rodata, from the generated codec. */
  readonly rodata?: Buffer;
  /** max_entries by map, in place of the object's own. */
  readonly sizes?: Readonly<Record<string, number>>;
}

export interface TestRun {
  readonly data?: Buffer;
  /** struct __sk_buff, or whatever the program's type takes. */
  readonly context?: Buffer;
  readonly repeat?: number;
}

export class BpfMap {
  readonly name: string;
  readonly #fd: OwnedFd;

  constructor(name: string, fd: OwnedFd) {
    this.name = name;
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd.fd;
  }

  close(): void {
    this.#fd.close();
  }
}

export class Program {
  readonly name: string;
  readonly #native: BpfNative;
  readonly #fd: OwnedFd;

  constructor(native: BpfNative, name: string, fd: OwnedFd) {
    this.#native = native;
    this.name = name;
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd.fd;
  }

  get id(): number {
    return this.info().id;
  }

  info(): ProgramInfo {
    return this.#native.bpfProgramInfo(this.fd);
  }

  testRun(run: TestRun): Promise<TestRunResult> {
    const data = run.data ?? null;
    // room for headers that the program adds
    return this.#native.bpfProgramTestRun(
      this.fd,
      data,
      run.context ?? null,
      run.repeat ?? 0,
      (data?.length ?? 0) + 256,
    );
  }

  close(): void {
    this.#fd.close();
  }
}

export interface LoadedObject {
  readonly programs: ReadonlyMap<string, Program>;
  readonly maps: ReadonlyMap<string, BpfMap>;
  /** Maps whose pin had another layout and was made anew. */
  readonly recreated: readonly string[];
  /** What those were, which programs that are attached may use yet; whoever has read them closes them. */
  readonly replaced: ReadonlyMap<string, BpfMap>;
  close(): void;
}

function sameLayout(a: MapSpec, b: MapSpec): boolean {
  return (
    a.type === b.type &&
    a.keySize === b.keySize &&
    a.valueSize === b.valueSize &&
    a.maxEntries === b.maxEntries &&
    a.flags === b.flags
  );
}

/** Opens what can be reused; answers the rest for pinning after the load. */
async function findPinned(
  native: BpfNative,
  specs: readonly MapSpec[],
  options: LoadOptions,
): Promise<{ reuse: Map<string, OwnedFd>; replaced: Map<string, BpfMap> }> {
  const reuse = new Map<string, OwnedFd>();
  const replaced = new Map<string, BpfMap>();
  if (options.pins === undefined) return { reuse, replaced };
  makeDirectory(options.pins, 0o700);
  for (const spec of specs) {
    const pin = join(options.pins, spec.name);
    if (options.share?.has(spec.name) || !existsSync(pin)) continue;
    const fd = new OwnedFd(native, native.bpfGetPinned(pin));
    const wanted = { ...spec, maxEntries: options.sizes?.[spec.name] ?? spec.maxEntries };
    if (sameLayout(native.bpfMapInfo(fd.fd), wanted)) {
      reuse.set(spec.name, fd);
    } else {
      replaced.set(spec.name, new BpfMap(spec.name, fd));
    }
  }
  return { reuse, replaced };
}

/**
 * Loads an object. A program that the kernel refuses is a SluiceError
 * `verifier`; a failure leaves neither descriptors nor new pins behind.
 */
export async function loadObject(native: BpfNative, options: LoadOptions): Promise<LoadedObject> {
  if (!existsSync(options.path))
    throw new SluiceError('environment', `${options.path} is missing`, { hint: 'run `npm run setup`' });
  const { maps: specs } = native.bpfObjectInfo(options.path);
  const { reuse, replaced } = await findPinned(native, specs, options);
  const fds: Record<string, number> = {};
  for (const spec of specs) {
    const map = options.share?.get(spec.name) ?? reuse.get(spec.name);
    if (map !== undefined) fds[spec.name] = map.fd;
  }
  const sizes = Object.fromEntries(
    Object.entries(options.sizes ?? {}).filter(
      ([name]) => specs.some((s) => s.name === name) && !(name in fds),
    ),
  );
  let loaded: Awaited<ReturnType<BpfNative['bpfObjectLoad']>>;
  try {
    loaded = await native.bpfObjectLoad(options.path, fds, sizes, options.rodata ?? null);
  } catch (e) {
    for (const map of replaced.values()) map.close();
    throw isNativeError(e) ? await loadError(basename(options.path), e) : e;
  } finally {
    for (const fd of reuse.values()) fd.close();
  }
  const maps = new Map(
    Object.entries(loaded.maps).map(([n, fd]) => [n, new BpfMap(n, new OwnedFd(native, fd))]),
  );
  const programs = new Map(
    Object.entries(loaded.programs).map(([n, fd]) => [n, new Program(native, n, new OwnedFd(native, fd))]),
  );
  const close = (): void => {
    for (const owned of [...maps.values(), ...programs.values(), ...replaced.values()]) owned.close();
  };
  const pinned: string[] = [];
  try {
    for (const { name } of specs) {
      if (options.pins === undefined || name in fds) continue;
      const pin = join(options.pins, name);
      if (replaced.has(name)) await unlink(pin);
      native.bpfPin((maps.get(name) as BpfMap).fd, pin);
      pinned.push(pin);
    }
  } catch (e) {
    for (const pin of pinned) await unlink(pin);
    close();
    throw e;
  }
  return { programs, maps, recreated: [...replaced.keys()], replaced, close };
}
