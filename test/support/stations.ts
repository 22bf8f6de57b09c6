// SPDX-License-Identifier: Apache-2.0
/** Hosts without a stack of their own: frames out, frames in. */
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { Background, must } from './process.js';

export interface Arrival {
  station: string;
  data: Buffer;
  /** False where the kernel left the layer-4 checksum to a device. */
  whole: boolean;
}

/**
 * Containers and outsiders by name. Their kernels answer ARP and neighbour
 * solicitations, and nothing else: what they say is the test's to say.
 */
export class Stations {
  readonly #process: Background;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  private constructor(process: Background) {
    this.#process = process;
    this.#reader = createInterface({ input: process.child.stdout as NodeJS.ReadableStream });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  static async start(
    stations: Record<string, [netns: string, iface: string]>,
    host: string,
  ): Promise<Stations> {
    for (const [netns, iface] of Object.values(stations)) {
      must(netns, ['nft', '-f', '-'], MUTE);
      must(netns, ['ethtool', '-K', iface, 'tx', 'off', 'gro', 'off']);
    }
    const process = new Background(null, ['/usr/bin/python3', join(import.meta.dirname, 'stations.py')]);
    const self = new Stations(process);
    process.child.stdin?.write(`${JSON.stringify({ stations, host })}\n`);
    if ((await self.#answer()) !== 'ready') throw new Error(`the stations did not start: ${process.err}`);
    return self;
  }

  async #answer(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the stations have ended: ${this.#process.err}`);
    return value as string;
  }

  async #ask(command: object): Promise<{ got: [string, string, boolean][]; invalid: number }> {
    this.#process.child.stdin?.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await this.#answer()) as { got: [string, string, boolean][]; invalid: number };
  }

  /** What came to whom, and how many packets conntrack has found invalid so far. */
  async send(
    frames: [station: string, frame: Buffer][],
    quietMs: number,
  ): Promise<{ arrivals: Arrival[]; invalid: number }> {
    const send = frames.map(([station, data]) => [station, data.toString('hex')]);
    const { got, invalid } = await this.#ask({ send, quiet: quietMs / 1000 });
    const arrivals = got.map(([station, data, whole]) => ({
      station,
      data: Buffer.from(data, 'hex'),
      whole,
    }));
    return { arrivals, invalid };
  }

  /** Empties the host's conntrack. */
  async flush(): Promise<void> {
    await this.#ask({ flush: true });
  }

  async stop(): Promise<void> {
    this.#reader.close();
    await this.#process.stop('SIGKILL');
  }
}

/** Packet sockets send past netfilter. */
const MUTE = `table inet mute {
  chain output {
    type filter hook output priority 0; policy drop;
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}`;
