// SPDX-License-Identifier: Apache-2.0
/** Questions to one server by UDP, from ports that nobody can guess and not more of them than are needed. */
import { createSocket, type Socket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { answersQuestion, type Query, randomId, withId } from './message.js';
import { type Asked, type AskOptions, literally, type Told, type Upstream } from './upstream.js';

/** Each further question beyond so many sockets shares one, under an id of its own. */
const MOST_SOCKETS = 64;
/** Inside a namespace each is made by the one thread that enters namespaces. */
const MOST_INSIDE = 16;
/** A port that was used so often is given up, when what waits there is answered. */
const MOST_USES = 256;
/** What the answers to all these may need, where the host allows it. */
const RECEIVE_BUFFER = 1 << 20;

interface Waiting extends Told {
  readonly query: Query;
}

/** Of one server. */
export class Lanes {
  readonly #o: AskOptions;
  readonly #upstream: Upstream;
  readonly #idle: () => void;
  /** Those that take questions. */
  readonly #open: Lane[] = [];
  #count = 0;

  /** `idle` is called whenever no socket is left. */
  constructor(options: AskOptions, upstream: Upstream, idle: () => void) {
    this.#o = options;
    this.#upstream = upstream;
    this.#idle = idle;
  }

  ask(query: Query, told: Told): Asked {
    const most = this.#upstream.netns === null ? MOST_SOCKETS : MOST_INSIDE;
    const lane =
      this.#open.length < most ? this.#add() : (this.#open[Math.floor(Math.random() * most)] as Lane);
    const asked = lane.ask({ query, ...told });
    if (lane.uses >= MOST_USES) this.#leave(lane);
    return asked;
  }

  #add(): Lane {
    const lane = new Lane(this.#o, this.#upstream, () => {
      this.#leave(lane);
      if (--this.#count === 0) this.#idle();
    });
    this.#count++;
    this.#open.push(lane);
    return lane;
  }

  #leave(lane: Lane): void {
    const at = this.#open.indexOf(lane);
    if (at >= 0) this.#open.splice(at, 1);
  }
}

/** One socket, for as long as a question waits there. */
class Lane {
  uses = 0;
  readonly #upstream: Upstream;
  readonly #closed: () => void;
  readonly #waiting = new Map<number, Waiting>();
  #socket: Socket | null = null;
  #ready = false;
  #over = false;

  constructor(options: AskOptions, upstream: Upstream, closed: () => void) {
    this.#upstream = upstream;
    this.#closed = closed;
    const { address, port, netns } = upstream;
    if (netns === null) {
      const socket = this.#make();
      socket.once('connect', () => this.#begin());
      socket.connect(port, address);
      return;
    }
    const any = address.includes(':') ? '::' : '0.0.0.0';
    options.sockets
      .socketIn(netns, { protocol: 'udp', address: any, port: 0, action: 'bind', mark: options.mark })
      .then((fd) => {
        if (this.#over) closeSync(fd);
        else this.#make().bind({ fd }, () => this.#begin());
      })
      .catch((e: Error) => this.#fail(e));
  }

  #make(): Socket {
    const { address, port, netns } = this.#upstream;
    const socket = createSocket({
      type: address.includes(':') ? 'udp6' : 'udp4',
      lookup: literally,
      recvBufferSize: RECEIVE_BUFFER,
    });
    socket.on('error', (e) => this.#fail(e));
    socket.on('message', (bytes, from) => {
      // a connected socket hears of nobody else
      if (netns !== null && (from.address !== address || from.port !== port)) return;
      const id = bytes.length < 2 ? -1 : bytes.readUInt16BE(0);
      const waiting = this.#waiting.get(id);
      if (waiting === undefined || !answersQuestion(waiting.query, id, bytes)) return;
      this.#end(id);
      waiting.answered(bytes);
    });
    this.#socket = socket;
    return socket;
  }

  ask(waiting: Waiting): Asked {
    let id = randomId();
    while (this.#waiting.has(id)) id = randomId();
    this.uses++;
    this.#waiting.set(id, waiting);
    const here = (): boolean => this.#waiting.get(id) === waiting;
    if (this.#ready) this.#send(id, waiting);
    return {
      again: () => {
        if (here() && this.#ready) this.#send(id, waiting);
      },
      close: () => {
        if (here()) this.#end(id);
      },
    };
  }

  #begin(): void {
    if (this.#over) return;
    this.#ready = true;
    for (const [id, waiting] of this.#waiting) this.#send(id, waiting);
  }

  #send(id: number, waiting: Waiting): void {
    const { address, port, netns } = this.#upstream;
    const bytes = withId(waiting.query.bytes, id);
    const sent = (e: Error | null): void => {
      if (!e || this.#waiting.get(id) !== waiting) return;
      this.#end(id);
      waiting.failed(e);
    };
    if (netns === null) this.#socket?.send(bytes, sent);
    else this.#socket?.send(bytes, port, address, sent);
  }

  #end(id: number): void {
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#close();
  }

  #fail(e: Error): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#close();
    for (const waiting of all) waiting.failed(e);
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket?.close();
    this.#closed();
  }
}
