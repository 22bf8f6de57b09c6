// SPDX-License-Identifier: Apache-2.0
/** The programs and maps of one daemon: loaded, sized, pinned, and the collector set going. */
import { existsSync, readdirSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { mappedPrefix, parsePrefix } from '../base/addresses.js';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Hook, SocketHook } from '../cnm/rows.js';
import type { Config } from '../config/options.js';
import { CarriedMaps } from '../loader/carry.js';
import type { KernelFeatures } from '../loader/features.js';
import type { GuardProgram } from '../loader/guards.js';
import { COLLECTOR, GUARDS_OBJECT, kernelConstants, MAPS_OBJECT, objectFiles } from '../loader/objects.js';
import { type LoadedObject, loadObject, type Program } from '../loader/programs.js';
import { encodeConfig } from '../maps/config.js';
import { type DataplaneMaps, dataplaneMaps } from '../maps/dataplane.js';
import type { ExemptKey } from '../maps/generated/types.js';
import type { BpfNative } from '../native/bpf.js';
import type { Programs, SocketPrograms } from '../reconcile/kernel.js';
import type { Layer } from '../reconcile/layer.js';
import { namespacePlace } from '../reconcile/ops/socket-member.js';
import type { KernelClock } from './kernel-clock.js';
import { MAPS_DIR, OBJECTS } from './places.js';

/** Bytes of one entry with its share of the bucket array, and of what goes by before the kernel's slab rounds. */
const ENTRY_BYTES = 144;
/** Of the machine's memory, for both address families together. */
const MEMORY_SHARE = 0.01;
/** Its entries are half as large again, and its flows fewer. */
const IPV6_SHARE = 0.5;
const FEWEST_ENTRIES = 16_384;
const MOST_ENTRIES = 4_194_304;

/**
 * Entries of the flow tables; a flow has two. Proven flows get two thirds of
 * the memory: short ones are many but their time is short.
 */
export function flowTableSizes(
  conntrackMax: number | null,
  memory = availableMemory(),
): { flows4: number; flows4_new: number; flows6: number; flows6_new: number } {
  const family = (share: number): { proven: number; fresh: number } => {
    if (conntrackMax !== null) return { proven: 2 * conntrackMax, fresh: conntrackMax };
    const entries = (memory * MEMORY_SHARE * share) / ENTRY_BYTES;
    return { proven: powerOfTwo((entries * 2) / 3), fresh: powerOfTwo(entries / 3) };
  };
  const [v4, v6] = [family(1 - IPV6_SHARE), family(IPV6_SHARE)];
  return { flows4: v4.proven, flows4_new: v4.fresh, flows6: v6.proven, flows6_new: v6.fresh };
}

/** Of the machine, or of the control group that the kernel charges the tables to. */
function availableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Bytes of what a backend got, on each CPU. */
const BACKEND_BYTES = 16;
const BACKEND_SHARE = 1 / 64;
const FEWEST_BACKENDS = 1024;
const MOST_BACKENDS = 131_072;

/**
 * Entries of the tables that have one for each backend. Of one of them the
 * kernel has a copy for each CPU that there may ever be, which on large
 * machines are hundreds, on virtual ones often many more than there are.
 */
export function backendTableSizes(
  cpus: number,
  memory = availableMemory(),
): { service_backends: number; backend_load: number; backend_traffic: number } {
  const fit = 2 ** Math.floor(Math.log2((memory * BACKEND_SHARE) / (BACKEND_BYTES * cpus)));
  const entries = Math.min(Math.max(fit, FEWEST_BACKENDS), MOST_BACKENDS);
  return { service_backends: entries, backend_load: entries, backend_traffic: entries };
}

/** The kernel's bucket arrays are rounded up to one anyway. */
function powerOfTwo(entries: number): number {
  const below = 2 ** Math.floor(Math.log2(Math.max(entries, 1)));
  return Math.min(Math.max(below, FEWEST_ENTRIES), MOST_ENTRIES);
}

export interface DataplaneOptions {
  native: BpfNative;
  config: Config;
  features: KernelFeatures;
  time: KernelClock;
  log: Log;
}

export class Dataplane implements Programs, SocketPrograms {
  readonly maps: DataplaneMaps;
  /** Maps that had another layout. */
  readonly recreated: readonly string[];
  /** What maps of an earlier layout hold. */
  readonly carried: CarriedMaps;
  readonly cgroup: string | null;
  readonly #native: BpfNative;
  readonly #pins: string;
  readonly #load: (name: string, layer: Layer) => Promise<LoadedObject>;
  readonly #mapsObject: LoadedObject;
  readonly #collector: string;
  readonly #objects: Map<string, LoadedObject>;
  readonly #time: KernelClock;
  readonly #loading = new Map<string, Promise<Program>>();

  /** Programs for devices with Ethernet header; the few others come when first asked for. */
  static async load({ native, config, features, time, log }: DataplaneOptions): Promise<Dataplane> {
    const maps = await loadObject(native, {
      path: join(OBJECTS, `${MAPS_OBJECT}.bpf.o`),
      pins: join(config.bpffs, MAPS_DIR),
      sizes: { ...flowTableSizes(config.conntrackMax), ...backendTableSizes(native.bpfPossibleCpus()) },
    });
    const load = (name: string, layer: Layer): Promise<LoadedObject> =>
      loadObject(native, {
        path: join(OBJECTS, `${name}.bpf.o`),
        share: maps.maps,
        rodata: encodeConfig({
          ...config.timeouts,
          snat_port_min: config.masqueradePorts.first,
          snat_port_max: config.masqueradePorts.last,
          exempt: config.masqueradeExcept.length > 0 ? 1 : 0,
          socket_services: config.socketServices ? 1 : 0,
          l3_device: layer === 'l3' ? 1 : 0,
          ...kernelConstants(features),
        }),
      });

    const objects = new Map<string, LoadedObject>();
    // the verifier is most of a start, and works on each in a thread of its own
    await Promise.all(
      objectFiles(features)
        .filter(({ atStart }) => atStart)
        .map(async ({ name }) => {
          objects.set(`${name} ethernet`, await load(name, 'ethernet'));
        }),
    );
    const dataplane = new Dataplane(native, config.bpffs, load, maps, objects, features, time, log);
    await dataplane.#exempt(config.masqueradeExcept);
    return dataplane;
  }

  private constructor(
    native: BpfNative,
    bpffs: string,
    load: (name: string, layer: Layer) => Promise<LoadedObject>,
    maps: LoadedObject,
    objects: Map<string, LoadedObject>,
    features: KernelFeatures,
    time: KernelClock,
    log: Log,
  ) {
    this.#native = native;
    this.#pins = join(bpffs, MAPS_DIR);
    this.#load = load;
    this.maps = dataplaneMaps(native, maps.maps);
    this.recreated = maps.recreated;
    this.carried = new CarriedMaps(native, maps.replaced, maps.maps, log);
    this.#mapsObject = maps;
    this.#objects = objects;
    this.cgroup = features.socketHooks.cgroup;
    this.#collector = features.collector;
    this.#time = time;
  }

  loaded(hook: Hook, layer: Layer): Program | undefined {
    return this.#objects.get(`${hook} ${layer}`)?.programs.get(hook);
  }

  load(hook: Hook, layer: Layer): Promise<Program> {
    const known = this.loaded(hook, layer);
    if (known !== undefined) return Promise.resolve(known);
    const key = `${hook} ${layer}`;
    let loading = this.#loading.get(key);
    if (loading === undefined) {
      loading = this.#load(hook, layer)
        .then((object) => {
          this.#objects.set(key, object);
          return programOf(object, hook);
        })
        .finally(() => this.#loading.delete(key));
      this.#loading.set(key, loading);
    }
    return loading;
  }

  socketProgram(hook: SocketHook): Program {
    return programOf(this.#objects.get(`socket${hook.at(-1)} ethernet`), hook);
  }

  guard(name: GuardProgram): Program {
    return programOf(this.#objects.get(`${GUARDS_OBJECT} ethernet`), name);
  }

  /** From now on the socket hooks act on sockets of this network namespace, the daemon's own. */
  serveSocketsOf(cookie: bigint): void {
    this.maps.socket_netns.set(0, cookie);
    this.maps.socket_namespaces.set(namespacePlace(cookie), 1);
  }

  /** The hooks lead questions to our resolvers for some seconds from now on, or no more. */
  beatResolver(answers: boolean): void {
    this.maps.resolver_heartbeat.set(0, answers ? this.#time.now() : 0n);
  }

  /** Brings the exemptions that an earlier daemon left up to date with these. */
  async #exempt(cidrs: readonly string[]): Promise<void> {
    const { masquerade_exempt: map } = this.maps;
    const text = (key: ExemptKey): string => `${key.destination}/${key.prefix_length}`;
    const wanted = new Map(cidrs.map(exemptKey).map((key) => [text(key), key]));
    for (const key of wanted.values()) map.set(key, 1);
    const strays: ExemptKey[] = [];
    for await (const [key] of map.entries()) if (!wanted.has(text(key))) strays.push(key);
    for (const key of strays) map.delete(key);
  }

  /** Sets the collector's clock going, or hands it over from an earlier version's programs to these. */
  async startCollector(): Promise<void> {
    const object = this.#objects.get(`${this.#collector} ethernet`);
    const { retval } = await programOf(object, COLLECTOR).testRun({});
    if (retval !== 0)
      throw new SluiceError('kernel', `the collector of old flows does not start: error ${retval}`);
  }

  /** Run time of each program, summed over its variants; the kernel counts only while told to. */
  runTimes(): { program: string; seconds: number; runs: number }[] {
    const sums = new Map<string, { program: string; seconds: number; runs: number }>();
    for (const object of this.#objects.values()) {
      for (const program of object.programs.values()) {
        const sum = sums.get(program.name) ?? { program: program.name, seconds: 0, runs: 0 };
        const { runTimeNs, runCount } = program.info();
        sum.seconds += Number(runTimeNs) / 1e9;
        sum.runs += Number(runCount);
        sums.set(program.name, sum);
      }
    }
    return [...sums.values()];
  }

  /** Puts back the pins of maps that somebody took away, and answers how many. */
  restorePins(): number {
    const present = new Set(existsSync(this.#pins) ? readdirSync(this.#pins) : []);
    const missing = [...this.#mapsObject.maps.values()].filter(({ name }) => !present.has(name));
    if (missing.length > 0) makeDirectory(this.#pins, 0o700);
    for (const { name, fd } of missing) this.#native.bpfPin(fd, join(this.#pins, name));
    return missing.length;
  }

  /** Descriptors only: what is pinned stays and works on. */
  close(): void {
    for (const object of [...this.#objects.values(), this.#mapsObject]) object.close();
  }
}

function exemptKey(cidr: string): ExemptKey {
  const prefix = parsePrefix(cidr);
  if (prefix === null) throw new SluiceError('internal', `${cidr} is no prefix`);
  const { network, length } = mappedPrefix(prefix);
  return { prefix_length: length, destination: network };
}

function programOf(object: LoadedObject | undefined, name: string): Program {
  const program = object?.programs.get(name);
  if (program !== undefined) return program;
  throw new SluiceError('environment', `there is no program ${name}`, { hint: 'run npm run build:bpf' });
}
