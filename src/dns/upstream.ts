// SPDX-License-Identifier: Apache-2.0
/** Who is asked, and one question to one server by TCP. */
import { Socket as TcpSocket } from 'node:net';
import { Frames, framed } from './frames.js';
import { answersQuestion, type Query, randomId, withId } from './message.js';
import type { Shares } from './shares.js';

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
  readonly sockets: InnerSockets;
  /** Of sockets inside, so that the socket hooks do not lead them back to us. */
  readonly mark: number;
}

/** What becomes of a question, told once at most. */
export interface Told {
  answered(bytes: Buffer): void;
  /** The server cannot be reached. That it is silent, nobody tells. */
  failed(e: Error): void;
}

/** A question that has been put to a server. */
export interface Asked {
  /** Says it once more, where it may have been lost. */
  again(): void;
  /** Nobody waits for the answer any more. */
  close(): void;
}

/** On a connection of its own, for which it waits until there is room for one of `asker`'s. */
export function askTcp(
  { sockets, mark }: AskOptions,
  room: Shares,
  asker: string,
  { address, port, netns }: Upstream,
  query: Query,
  told: Told,
): Asked {
  const id = randomId();
  let socket: TcpSocket | null = null;
  let holds = false;
  let over = false;
  const close = (): void => {
    if (over) return;
    over = true;
    withdraw();
    socket?.destroy();
    if (holds) room.give(asker);
  };
  const failed = (e: Error): void => {
    if (over) return;
    close();
    told.failed(e);
  };
  const converse = (fd: number | null): void => {
    socket = new TcpSocket(fd === null ? {} : { fd, readable: true, writable: true });
    if (over) {
      socket.destroy();
      return;
    }
    const frames = new Frames();
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('the connection ended')));
    socket.on('data', (chunk) => {
      const whole = frames.push(chunk).find((bytes) => answersQuestion(query, id, bytes));
      if (whole === undefined || over) return;
      close();
      told.answered(whole);
    });
    if (fd === null) socket.connect({ port, host: address, lookup: literally });
    socket.write(framed(withId(query.bytes, id)));
  };
  const withdraw = room.wait(asker, () => {
    holds = true;
    if (netns === null) converse(null);
    else {
      sockets
        .socketIn(netns, { protocol: 'tcp', address, port, action: 'connect', mark })
        .then(converse)
        .catch(failed);
    }
  });
  return { again: () => undefined, close };
}

/** Nothing is looked up: these are addresses. */
export function literally(
  address: string,
  _options: unknown,
  callback: (e: null, address: string, family: number) => void,
): void {
  callback(null, address, address.includes(':') ? 6 : 4);
}
