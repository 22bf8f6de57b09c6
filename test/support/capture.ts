// SPDX-License-Identifier: Apache-2.0
/** What went over an interface, decoded by scapy with every checksum verified. */
import { join } from 'node:path';
import { Background, must, sleep, until } from './process.js';

const PACKETS = join(import.meta.dirname, 'packets.py');
export const DATAGRAMS = join(import.meta.dirname, 'datagrams.py');

export interface Packet {
  time: number;
  length: number;
  ethSrc?: string;
  ethDst?: string;
  type?: number;
  arp?: { op: number; from: string; to: string };
  src?: string;
  dst?: string;
  ttl?: number;
  id?: number;
  df?: boolean;
  protocol?: 'tcp' | 'udp' | 'icmp' | 'icmp6';
  sport?: number;
  dport?: number;
  /** The layer-4 checksum as it was on the wire. */
  sum?: number;
  flags?: string;
  icmpType?: number;
  icmpCode?: number;
  icmpId?: number;
  payload?: string;
  /** Every checksum that the capture has all bytes of is right. */
  sumsOk?: boolean;
  /** What an ICMP error is about. */
  quoted?: Packet;
  /** Where it says one (3/4, too big). */
  mtu?: number;
}

/** Of UDP and ICMP, the checksum over the whole; the first two words of ICMP count as ports. */
export interface Datagram {
  src: string;
  dst: string;
  protocol: number;
  fragments: number;
  inOrder: boolean;
  /** Nothing is missing or there twice; if not, the rest is absent. */
  whole: boolean;
  /** Bytes of its largest packet. */
  largest: number;
  hops: number[];
  sumsOk?: boolean;
  sport?: number;
  dport?: number;
  /** SHA-256 of what is behind the first 8 bytes. */
  digest?: string;
}

/** What tcpdump says at SIGUSR1: those that it has written, and those that the kernel has kept for it or had no room for. */
const COUNTS = /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel/;
const QUIET_MS = 100;

export class Capture {
  readonly #tcpdump: Background;
  readonly #file: string;
  /** Packets that came before the filter was there count as received, and are written by nobody. */
  #early = 0;

  private constructor(tcpdump: Background, file: string) {
    this.#tcpdump = tcpdump;
    this.#file = file;
  }

  static async start(
    netns: string,
    iface: string,
    directory: string,
    filter = 'ip or arp',
  ): Promise<Capture> {
    const file = join(directory, `${netns}-${iface}-${Math.random().toString(36).slice(2)}.pcap`);
    const command = [
      'tcpdump',
      '-i',
      iface,
      '-U',
      '--immediate-mode',
      '-s',
      '0',
      '-w',
      file,
      ...filter.split(' '),
    ];
    const tcpdump = new Background(netns, command);
    await tcpdump.says(/listening on/);
    const capture = new Capture(tcpdump, file);
    capture.#early = (await capture.#counts()).waiting;
    return capture;
  }

  async #counts(): Promise<{ written: number; waiting: number }> {
    const from = this.#tcpdump.err.length;
    let said: RegExpExecArray | null = null;
    this.#tcpdump.child.kill('SIGUSR1');
    await until(() => {
      said = COUNTS.exec(this.#tcpdump.err.slice(from));
      return said !== null;
    }, 'tcpdump tells its counts');
    const [, written = 0, received = 0, dropped = 0] = (said ?? []).map(Number);
    return { written, waiting: received - written - dropped };
  }

  /** Until nothing has come for a while, and all that came is written. */
  async #end(): Promise<void> {
    const end = Date.now() + 10_000;
    let before = -1;
    for (;;) {
      await sleep(QUIET_MS);
      const { written, waiting } = await this.#counts();
      // of a capture of what never ends, what there is by then
      if ((written === before && waiting <= this.#early) || Date.now() > end) break;
      before = written;
    }
    await this.#tcpdump.stop('SIGINT');
  }

  /** Ends it; the datagrams, their fragments put together. Filter by protocol, not by port. */
  async datagrams(): Promise<Datagram[]> {
    await this.#end();
    return JSON.parse(must(null, ['/usr/bin/python3', DATAGRAMS, 'verify', this.#file])) as Datagram[];
  }

  /** Ends it; ARP and ICMP errors included unless the filter left them out. */
  async packets(): Promise<Packet[]> {
    await this.#end();
    return JSON.parse(must(null, ['/usr/bin/python3', PACKETS, 'decode', this.#file])) as Packet[];
  }
}

/** Sends frames given as scapy expressions. */
export function inject(netns: string, iface: string, ...expressions: string[]): void {
  must(netns, ['/usr/bin/python3', PACKETS, 'send', iface], expressions.join('\n'));
}
