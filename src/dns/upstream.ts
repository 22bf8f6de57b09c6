// SPDX-License-Identifier: Apache-2.0
/** One question to one server, by UDP or by TCP, each from a socket of its own: its port is a secret too. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { Socket as TcpSocket } from 'node:net';
import type { Clock } from '../base/clock.js';
import { Frames, framed } from './frames.js';

export interface Upstream {
  readonly address: string;
  readonly port: number;
  /** Path of the namespace to ask from; null: the daemon's own. */
  readonly netns: string | null;
}

/** Makes sockets inside namespaces. */
export interface InnerSockets {
  socketIn(
    path: string,
    request: {
      protocol: 'udp' | 'tcp';
      address: string;
      port: number;
      action: 'bind' | 'listen' | 'connect';
      mark?: number;
    },
  ): Promise<number>;
}

export interface AskOptions {
  readonly clock: Clock;
  readonly sockets: InnerSockets;
  /** Of sockets inside, so that the socket hooks do not lead them back to us. */
  readonly mark: number;
}

/** Whether these bytes are the answer that is waited for. */
type Accept = (bytes: Buffer) => boolean;

/** Rejects when the server cannot be reached, or has not answered within `ms`. */
export async function askUdp(
  { clock, sockets, mark }: AskOptions,
  { address, port, netns }: Upstream,
  question: Buffer,
  accept: Accept,
  ms: number,
): Promise<Buffer> {
  const v6 = address.includes(':');
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: literally });
  const cancel = new Cancel(clock, ms);
  try {
    if (netns === null) {
      await cancel.or(
        new Promise<void>((resolve) => {
          socket.once('connect', resolve);
          socket.connect(port, address);
        }),
        socket,
      );
      return await cancel.or(exchange(socket, question, accept, null), socket);
    }
    const any = v6 ? '::' : '0.0.0.0';
    const fd = await sockets.socketIn(netns, {
      protocol: 'udp',
      address: any,
      port: 0,
      action: 'bind',
      mark,
    });
    await cancel.or(new Promise<void>((resolve) => socket.bind({ fd }, resolve)), socket);
    return await cancel.or(exchange(socket, question, accept, { address, port }), socket);
  } finally {
    cancel.done();
    socket.close();
  }
}

/** `to`: null for a connected socket, which hears of nobody else. */
function exchange(
  socket: UdpSocket,
  question: Buffer,
  accept: Accept,
  to: { address: string; port: number } | null,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.on('message', (bytes, from) => {
      if (to !== null && (from.address !== to.address || from.port !== to.port)) return;
      if (accept(bytes)) resolve(bytes);
    });
    const sent = (e: Error | null): void => {
      if (e) reject(e);
    };
    if (to === null) socket.send(question, sent);
    else socket.send(question, to.port, to.address, sent);
  });
}

/** As askUdp(). */
export async function askTcp(
  { clock, sockets, mark }: AskOptions,
  { address, port, netns }: Upstream,
  question: Buffer,
  accept: Accept,
  ms: number,
): Promise<Buffer> {
  const fd =
    netns === null
      ? undefined
      : await sockets.socketIn(netns, { protocol: 'tcp', address, port, action: 'connect', mark });
  const socket = new TcpSocket(fd === undefined ? {} : { fd, readable: true, writable: true });
  const cancel = new Cancel(clock, ms);
  const frames = new Frames();
  try {
    const answer = new Promise<Buffer>((resolve, reject) => {
      socket.on('data', (chunk) => {
        const whole = frames.push(chunk).find(accept);
        if (whole) resolve(whole);
      });
      socket.on('close', () => reject(new Error('the connection ended')));
    });
    if (fd === undefined) socket.connect(port, address);
    socket.write(framed(question));
    return await cancel.or(answer, socket);
  } finally {
    cancel.done();
    socket.destroy();
  }
}

/** One time limit for several steps. */
class Cancel {
  readonly #expired: Promise<never>;
  readonly done: () => void;

  constructor(clock: Clock, ms: number) {
    let expire: (e: Error) => void = () => undefined;
    this.#expired = new Promise<never>((_, reject) => {
      expire = reject;
    });
    // nobody may be waiting for it any more
    this.#expired.catch(() => undefined);
    const timer = clock.after(ms, () => expire(new Timeout()));
    this.done = () => timer.cancel();
  }

  /** `step`, unless the time is up or the socket fails first. */
  or<T>(step: Promise<T>, socket: UdpSocket | TcpSocket): Promise<T> {
    const failed = new Promise<never>((_, reject) => {
      socket.on('error', reject);
    });
    failed.catch(() => undefined);
    step.catch(() => undefined);
    return Promise.race([step, failed, this.#expired]);
  }
}

export class Timeout extends Error {}

/** Nothing is looked up: these are addresses. */
export function literally(
  address: string,
  _options: unknown,
  callback: (e: null, address: string, family: number) => void,
): void {
  callback(null, address, address.includes(':') ? 6 : 4);
}
