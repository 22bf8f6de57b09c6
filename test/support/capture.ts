// SPDX-License-Identifier: Apache-2.0
/** What went over an interface, decoded by scapy with every checksum verified. */
import { join } from 'node:path';
import { Background, must, sleep } from './process.js';

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

export class Capture {
  readonly #tcpdump: Background;
  readonly #file: string;

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
    return new Capture(tcpdump, file);
  }

  /** Ends it; the datagrams, their fragments put together. Filter by protocol, not by port. */
  async datagrams(): Promise<Datagram[]> {
    await sleep(200);
    await this.#tcpdump.stop('SIGINT');
    return JSON.parse(must(null, ['/usr/bin/python3', DATAGRAMS, 'verify', this.#file])) as Datagram[];
  }

  /** Ends it; ARP and ICMP errors included unless the filter left them out. */
  async packets(): Promise<Packet[]> {
    await sleep(100);
    await this.#tcpdump.stop('SIGINT');
    return JSON.parse(must(null, ['/usr/bin/python3', PACKETS, 'decode', this.#file])) as Packet[];
  }
}

/** Sends frames given as scapy expressions. */
export function inject(netns: string, iface: string, ...expressions: string[]): void {
  must(netns, ['/usr/bin/python3', PACKETS, 'send', iface], expressions.join('\n'));
}
