// SPDX-License-Identifier: Apache-2.0
/** Where one namespace is served: a UDP and a TCP socket at 127.0.0.11 in it. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { isNativeError } from '../base/errors.js';
import { Frames, framed } from './frames.js';
import { type InnerSockets, literally } from './upstream.js';

export const RESOLVER_ADDRESS = '127.0.0.11';

const MOST_CONNECTIONS = 128;
/** Of one connection; it is read no further until some are answered. */
const MOST_UNANSWERED = 64;
const IDLE_MS = 10_000;

/** `reply` may be called once, later too, or never. */
export type Serve = (message: Buffer, transport: 'udp' | 'tcp', reply: (answer: Buffer) => void) => void;

export interface StandSockets extends InnerSockets {
  /** Packets that this UDP socket had no room for. */
  drops(fd: number): number;
}

export interface Ports {
  readonly udp: number;
  readonly tcp: number;
}

export class Stand {
  readonly ports: Ports;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #drops: () => number;
  readonly #connections = new Set<Socket>();

  /** On the ports that are given, where nobody else has taken them. */
  static async open(
    sockets: StandSockets,
    netns: string,
    before: Ports | null,
    serve: Serve,
  ): Promise<Stand> {
    const udpFd = await bound(sockets, netns, 'udp', before?.udp ?? 0);
    const udp = createSocket({ type: 'udp4', lookup: literally });
    let tcp: Server | null = null;
    try {
      await settled(udp, 'listening', () => udp.bind({ fd: udpFd }));
      const tcpFd = await bound(sockets, netns, 'tcp', before?.tcp ?? 0);
      const server = createServer();
      tcp = server;
      await settled(server, 'listening', () => server.listen({ fd: tcpFd }));
      return new Stand(udp, server, serve, () => sockets.drops(udpFd));
    } catch (e) {
      udp.close();
      tcp?.close();
      throw e;
    }
  }

  private constructor(udp: UdpSocket, tcp: Server, serve: Serve, drops: () => number) {
    this.#drops = drops;
    this.#udp = udp;
    this.#tcp = tcp;
    this.ports = { udp: udp.address().port, tcp: (tcp.address() as AddressInfo).port };
    // a client that is gone is told of by the kernel, and of no consequence
    udp.on('error', () => undefined);
    udp.on('message', (message, { address, port }) =>
      serve(message, 'udp', (answer) => {
        if (!this.#closed) udp.send(answer, port, address, () => undefined);
      }),
    );
    tcp.maxConnections = MOST_CONNECTIONS;
    tcp.on('error', () => undefined);
    tcp.on('connection', (socket) => this.#converse(socket, serve));
  }

  #closed = false;

  get dropped(): number {
    return this.#closed ? 0 : this.#drops();
  }

  #converse(socket: Socket, serve: Serve): void {
    const frames = new Frames();
    /** What was read before it was known that no more can be answered. */
    let read: Buffer[] = [];
    let unanswered = 0;
    let working = false;
    const full = (): boolean => unanswered >= MOST_UNANSWERED || socket.writableNeedDrain;
    // a client that does not read its answers is not read either
    const work = (): void => {
      if (working) return;
      working = true;
      let at = 0;
      while (at < read.length && !full() && socket.writable) answer(read[at++] as Buffer);
      read = read.slice(at);
      working = false;
      if (full()) socket.pause();
      else socket.resume();
    };
    const answer = (message: Buffer): void => {
      unanswered++;
      serve(message, 'tcp', (bytes) => {
        unanswered--;
        if (socket.writable) socket.write(framed(bytes));
        work();
      });
    };
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('drain', work);
    socket.on('data', (chunk) => {
      read.push(...frames.push(chunk));
      work();
    });
  }

  close(): void {
    this.#closed = true;
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
  }
}

async function bound(
  sockets: InnerSockets,
  netns: string,
  protocol: 'udp' | 'tcp',
  port: number,
): Promise<number> {
  const request = {
    protocol,
    address: RESOLVER_ADDRESS,
    port,
    action: protocol === 'tcp' ? 'listen' : 'bind',
  } as const;
  try {
    return await sockets.socketIn(netns, request);
  } catch (e) {
    if (port === 0 || !isNativeError(e) || e.code !== 'EADDRINUSE') throw e;
    return sockets.socketIn(netns, { ...request, port: 0 });
  }
}

/** Once `start` has had its effect. */
function settled(
  emitter: Pick<NodeJS.EventEmitter, 'once' | 'off'>,
  event: string,
  start: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    emitter.once('error', reject);
    emitter.once(event, () => {
      emitter.off('error', reject);
      resolve();
    });
    start();
  });
}
