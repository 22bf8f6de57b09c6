// SPDX-License-Identifier: Apache-2.0
/**
 * The real programs and maps without any daemon, pin or device: for
 * BPF_PROG_TEST_RUN. Maps are there from the start; a program is verified when
 * it is first asked for, because most tests need one and verifying all takes a second.
 */
import { join } from 'node:path';
import { type Dispensable, type KernelFeatures, probeKernel } from '../../src/loader/features.js';
import { kernelConstants } from '../../src/loader/objects.js';
import { type BpfMap, type LoadedObject, loadObject, type Program } from '../../src/loader/programs.js';
import { encodeConfig } from '../../src/maps/config.js';
import { type DataplaneMaps, dataplaneMaps, mapNames } from '../../src/maps/dataplane.js';
import {
  device_kind,
  drop_reason,
  network_flag,
  outcome,
  port_table,
} from '../../src/maps/generated/enums.js';
import type { Config } from '../../src/maps/generated/types.js';
import type { TypedMap } from '../../src/maps/typed.js';
import { bpfNative, type ProgramInfo } from '../../src/native/bpf.js';
import { packageRoot } from '../../src/native/load.js';

export const CONTAINER = '10.64.0.2';
export const CONTAINER_MAC = '02:42:0a:40:00:02';
export const GATEWAY = '10.64.0.1';
export const GATEWAY_MAC = '02:00:00:00:00:01';
export const HOST = '192.0.2.1';
export const CLIENT = '198.51.100.7';
export const CONTAINER6 = 'fd00:64::2';
export const GATEWAY6 = 'fd00:64::1';
export const HOST6 = '2001:db8::1';
export const CLIENT6 = '2001:db8:ffff::7';
/** Verdicts of tcx. */
export const NEXT = -1;
/** Ends tc there: of what endpoint_ingress lets through. */
export const PASS = 0;
export const DROP = 2;
export const REDIRECT = 7;
/** Where a test run says the packet came in. */
const LOOPBACK = 1;

/** BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY */
const ARRAYS: ReadonlySet<number> = new Set([2, 6]);
const LARGE = 4096;

const NAMES = [
  'endpoint_ingress',
  'bridge_egress',
  'uplink_ingress',
  'uplink_egress',
  'reassembly_ingress',
  'socket4',
  'socket6',
  'uplink_xdp',
  'collector',
] as const;
export type Name = (typeof NAMES)[number];

/** `share`: maps to use; `flows`: entries of each flow table that is made. */
function open(
  name: string,
  config: Partial<Config>,
  share: ReadonlyMap<string, BpfMap>,
  flows = 0,
): Promise<LoadedObject> {
  return loadObject(bpfNative(), {
    path: join(packageRoot(), 'dist/bpf', `${name}.bpf.o`),
    share,
    sizes: { flows4: flows, flows4_new: flows, flows6: flows, flows6_new: flows },
    rodata: encodeConfig(config),
  });
}

export class TestDataplane {
  readonly maps: DataplaneMaps;
  readonly #share: ReadonlyMap<string, BpfMap>;
  readonly #config: Partial<Config>;
  readonly #features: KernelFeatures;
  readonly #objects: LoadedObject[];
  readonly #loading = new Map<Name, Promise<LoadedObject>>();
  readonly #touched = new Map<string, Set<unknown>>();

  private constructor(types: LoadedObject, features: KernelFeatures, config: Partial<Config>) {
    // as the daemon loads them on this kernel
    this.#config = { ...kernelConstants(features), ...config };
    this.#features = features;
    this.#share = types.maps;
    this.#objects = [types];
    this.maps = dataplaneMaps(bpfNative(), types.maps);
    this.#noteTouched();
  }

  /** `flows`: entries of each flow table; `without`: features of the kernel that are not used. */
  static async load(
    config: Partial<Config> = {},
    flows = 1024,
    without: readonly Dispensable[] = [],
  ): Promise<TestDataplane> {
    const features = await probeKernel({ without });
    // the object of the types has every map and no program
    return new TestDataplane(await open('abi', config, new Map(), flows), features, config);
  }

  /** All that the objects hold. */
  async programs(): Promise<{ name: string; info: ProgramInfo }[]> {
    const objects = await Promise.all(NAMES.map((name) => this.#object(name)));
    return objects.flatMap((o) => [...o.programs].map(([name, program]) => ({ name, info: program.info() })));
  }

  async program(name: Name): Promise<Program> {
    return (await this.#object(name)).programs.get(name) as Program;
  }

  /** An object of a test, by the path of its file, with these maps. */
  async foreign(path: string): Promise<LoadedObject> {
    const object = await loadObject(bpfNative(), { path, share: this.#share });
    this.#objects.push(object);
    return object;
  }

  #object(name: Name): Promise<LoadedObject> {
    const known = this.#loading.get(name);
    if (known) return known;
    const file = name === 'collector' ? this.#features.collector : name;
    const loading = open(file, this.#config, this.#share).then((object) => {
      this.#objects.push(object);
      return object;
    });
    this.#loading.set(name, loading);
    return loading;
  }

  /** The device that test runs come from is an uplink, or a container's veth. */
  from(kind: 'uplink' | 'endpoint'): void {
    const mac = '00:00:00:00:00:00';
    this.maps.devices.set(
      LOOPBACK,
      kind === 'uplink'
        ? { kind: device_kind.DEVICE_UPLINK, id: 0, flags: 0, addr4: HOST, mac, addr6: HOST6 }
        : { kind: device_kind.DEVICE_ENDPOINT, id: 1, flags: 0, addr4: '0.0.0.0', mac, addr6: '::' },
    );
  }

  /** One network with one container that publishes 8080→80/tcp and 5300→53/udp. */
  fill(): void {
    const { maps } = this;
    maps.networks.set(1, {
      ifindex: LOOPBACK,
      flags: network_flag.NETWORK_MASQUERADE,
      gateway4: GATEWAY,
      members_end: 2,
      mac: GATEWAY_MAC,
      gateway6: GATEWAY6,
    });
    maps.endpoints.set(1, {
      ifindex: LOOPBACK,
      generation: 7,
      net: 1,
      sandbox: 1,
      addr4: CONTAINER,
      mac: CONTAINER_MAC,
      gateway_mac: GATEWAY_MAC,
      member: 1,
      addr6: CONTAINER6,
      max_flows: 0,
      max_new_flows: 0,
    });
    maps.ep_addr4.set(CONTAINER, 1);
    maps.ep_mac.set({ net: 1, mac: CONTAINER_MAC }, 1);
    maps.host_addr4.set(HOST, LOOPBACK);
    maps.ep_addr6.set(CONTAINER6, 1);
    maps.host_addr6.set(HOST6, LOOPBACK);
    const publish = { endpoint: 1, generation: 7, addr4: CONTAINER, flags: 0, addr6: CONTAINER6 };
    maps.publishes.set(1, { ...publish, host_port: 8080, host_port_end: 8080, port: 80, protocol: 6 });
    maps.publishes.set(2, { ...publish, host_port: 5300, host_port_end: 5309, port: 53, protocol: 17 });
    const v6 = port_table.PORT_TABLES_FAMILY;
    for (const table of [port_table.PORT_TABLE_TCP, v6 + port_table.PORT_TABLE_TCP])
      maps.port_slots.set(table * 65536 + 8080, 1);
    for (const table of [port_table.PORT_TABLE_UDP, v6 + port_table.PORT_TABLE_UDP])
      for (let port = 5300; port < 5310; port++) maps.port_slots.set(table * 65536 + port, 2);
  }

  async run(name: Name, data: Buffer): Promise<{ verdict: number; data: Buffer }> {
    const { retval, data: out } = await (await this.program(name)).testRun({ data, repeat: 1 });
    return { verdict: retval, data: out };
  }

  dropped(reason: keyof typeof drop_reason): number {
    return Number(this.maps.drops.getPerCpu(drop_reason[reason]).reduce((sum, v) => sum + v.packets, 0n));
  }

  outcomes(hook: number, what: number): number {
    return Number(
      this.maps.hook_traffic
        .getPerCpu(hook * outcome.OUTCOMES + what)
        .reduce((sum, v) => sum + v.packets, 0n),
    );
  }

  async flows(): Promise<number> {
    const { flows4, flows4_new, flows6, flows6_new } = this.maps;
    const counts = await Promise.all([flows4, flows4_new, flows6, flows6_new].map((map) => map.count()));
    return counts.reduce((sum, n) => sum + n, 0);
  }

  /**
   * Maps as they were after the load; programs that are loaded stay so. Of
   * large arrays, for which a look takes long, what the test has set, and what
   * programs count in them by source ports.
   */
  async reset(): Promise<void> {
    for (const name of mapNames) {
      const map = this.maps[name] as TypedMap<unknown, unknown>;
      const keys: unknown[] = [];
      if (!ARRAYS.has(map.descriptor.type)) {
        for await (const [key] of map.entries()) keys.push(key);
        map.deleteBatch(keys);
      } else if (map.capacity <= LARGE || name === 'port_use') {
        for await (const [key] of map.used(LARGE)) keys.push(key);
        map.zero(keys);
      } else {
        map.zero([...(this.#touched.get(name) ?? [])]);
      }
    }
    this.#touched.clear();
  }

  #noteTouched(): void {
    for (const name of mapNames) {
      const map = this.maps[name] as TypedMap<unknown, unknown>;
      if (!ARRAYS.has(map.descriptor.type) || map.capacity <= LARGE) continue;
      const set = map.set.bind(map);
      map.set = (key, value, ...more) => {
        const keys = this.#touched.get(name) ?? new Set();
        this.#touched.set(name, keys.add(key));
        set(key, value, ...more);
      };
    }
  }

  close(): void {
    for (const object of this.#objects) object.close();
  }
}
