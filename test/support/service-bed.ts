// SPDX-License-Identifier: Apache-2.0
/** Services as users make them, by the commands of a daemon, and programs that use them. */
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import { type Background, until } from './process.js';
import { SERVICES } from './services.js';
import { type Container, Testbed } from './testbed.js';

/** The flags of a daemon by what serves containers' connections. */
export const WAYS: [name: string, flags: string[]][] = [
  ['at the socket', []],
  ['packet by packet', ['--no-socket-services']],
];

export interface Load {
  names: Record<string, number>;
  errors: Record<string, number>;
}

/** A program of services.py that says a line for each line it is sent. */
export class Conversation {
  readonly #process: Background;
  #said = 0;

  constructor(process: Background) {
    this.#process = process;
  }

  async next(): Promise<string> {
    const { child } = this.#process;
    child.stdin?.write('\n');
    const at = this.#said++;
    await until(() => this.#process.out.split('\n').length > at + 1, `line ${at} is there`);
    return this.#process.out.split('\n')[at] as string;
  }

  stop(): Promise<number> {
    return this.#process.stop('SIGKILL');
  }
}

export class ServiceBed {
  readonly bed: Testbed;
  readonly #loads: Conversation[] = [];

  private constructor(bed: Testbed) {
    this.bed = bed;
  }

  /** With the networks `web` and `other`. */
  static async start(...daemonFlags: string[]): Promise<ServiceBed> {
    const bed = await Testbed.start({ daemonFlags: ['--metrics', '127.0.0.1:9477', ...daemonFlags] });
    bed.ok('network', 'create', 'web', '--subnet', '10.64.0.0/24', '--subnet', 'fd00:64::/64');
    bed.ok('network', 'create', 'other', '--ipv6');
    return new ServiceBed(bed);
  }

  stop(): Promise<void> {
    return this.bed.stop();
  }

  /** The name of its endpoint on `web`. */
  endpoint(name: string): string {
    return `web.${this.bed.box(name)}`;
  }

  /** A sandbox that answers TCP and UDP at port 8080 with its name. */
  async backend(name: string): Promise<Container> {
    const made = this.bed.container(name, 'web');
    await this.serve(name);
    return made;
  }

  async serve(name: string): Promise<void> {
    const command = ['/usr/bin/python3', SERVICES, 'serve', name, '8080'];
    await this.bed.background(this.bed.box(name), command).says(/ready/);
  }

  /** `shop`, of TCP and UDP, by the VIP's port 80 and the host's 8000. */
  create(...flags: string[]): ServiceObject {
    const ports = ['--port', '80:8080', '--port', '80:8080/udp'];
    const published = ['--publish', '8000:80/tcp', '--publish', '8000:80/udp'];
    this.bed.ok('service', 'create', 'shop', '--network', 'web', ...ports, ...published, ...flags);
    return this.shop();
  }

  shop(): ServiceObject {
    const [service] = JSON.parse(this.bed.ok('service', 'inspect', 'shop')) as [ServiceObject];
    return service;
  }

  talk(kind: 'talk' | 'converse', ns: string, address: string, port: number): Conversation {
    const command = ['/usr/bin/python3', SERVICES, kind, address, String(port)];
    return new Conversation(this.bed.background(ns, command));
  }

  /** Connections one after another, until the bed stops. */
  load(ns: string, address: string, port: number): void {
    const command = ['/usr/bin/python3', SERVICES, 'load', address, String(port)];
    this.#loads.push(new Conversation(this.bed.background(ns, command)));
  }

  /** What each of the loads has met since it was asked last; each has begun and ended another connection since. */
  async met(): Promise<Load[]> {
    const met = await Promise.all(this.#loads.map((load) => load.next()));
    return met.map((line) => JSON.parse(line) as Load);
  }

  /** As met(), for as long as it takes each of the loads to meet all of these. */
  async metAll(...names: string[]): Promise<Load[]> {
    const all: Load[] = this.#loads.map(() => ({ names: {}, errors: {} }));
    const add = (to: Record<string, number>, more: Record<string, number>): void => {
      for (const [name, n] of Object.entries(more)) to[name] = (to[name] ?? 0) + n;
    };
    await until(async () => {
      for (const [i, met] of (await this.met()).entries()) {
        add((all[i] as Load).names, met.names);
        add((all[i] as Load).errors, met.errors);
      }
      return all.every((load) => names.every((name) => name in load.names));
    }, `each load meets ${names}`);
    return all;
  }
}
