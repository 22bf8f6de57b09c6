// SPDX-License-Identifier: Apache-2.0
/** HTTP over the daemon's socket. */
import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import type { ErrorObject } from '../api/schemas/objects.js';
import { EXIT, Failure } from './failure.js';

export type Query = Readonly<Record<string, string | boolean | undefined>>;

interface Body {
  readonly type: string;
  readonly text: string;
}

function json(body: object | undefined): Body | undefined {
  return body && { type: 'application/json', text: JSON.stringify(body) };
}

export class Client {
  readonly socket: string;

  constructor(socket: string) {
    this.socket = socket;
  }

  get<T>(path: string, query?: Query): Promise<T> {
    return this.#json<T>('GET', path, query);
  }

  post<T>(path: string, body?: object, query?: Query): Promise<T> {
    return this.#json<T>('POST', path, query, json(body));
  }

  patch<T>(path: string, body?: object, query?: Query): Promise<T> {
    return this.#json<T>('PATCH', path, query, json(body));
  }

  delete<T>(path: string, body?: object, query?: Query): Promise<T> {
    return this.#json<T>('DELETE', path, query, json(body));
  }

  /** Sends text that is not JSON. */
  postText<T>(path: string, type: string, text: string, query?: Query): Promise<T> {
    return this.#json<T>('POST', path, query, { type, text });
  }

  /** What is not JSON, in pieces as it comes in. */
  async *pieces(path: string): AsyncGenerator<Buffer, void> {
    const response = await this.#send('GET', path);
    if (response.statusCode !== 200) throw this.#refusal(response, await text(response));
    try {
      yield* response as AsyncIterable<Buffer>;
    } catch (e) {
      throw this.#lost(e);
    }
    if (!response.complete) throw this.#lost(null);
  }

  /** The answer's lines as they come in. */
  async *lines(path: string, query?: Query): AsyncGenerator<string, void> {
    const response = await this.#send('GET', path, query);
    if (response.statusCode !== 200) throw this.#refusal(response, await text(response));
    try {
      yield* createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
    } catch (e) {
      throw this.#lost(e);
    }
    if (!response.complete) throw this.#lost(null);
  }

  async #json<T>(method: string, path: string, query?: Query, body?: Body): Promise<T> {
    const response = await this.#send(method, path, query, body);
    let answer: string;
    try {
      answer = await text(response);
    } catch (e) {
      throw this.#lost(e);
    }
    const status = response.statusCode ?? 0;
    if (status === 204) return undefined as T;
    if (status >= 300) throw this.#refusal(response, answer);
    return this.#parse<T>(answer);
  }

  #send(method: string, path: string, query: Query = {}, body?: Body): Promise<IncomingMessage> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) search.set(name, String(value));
    return new Promise((resolve, reject) => {
      const sending = request({
        socketPath: this.socket,
        method,
        path: `/v1/${path}${search.size > 0 ? `?${search}` : ''}`,
        // One request a connection: a pooled one would keep the process alive.
        agent: false,
        headers: {
          host: 'localhost',
          ...(body === undefined
            ? {}
            : { 'content-type': body.type, 'content-length': Buffer.byteLength(body.text) }),
        },
      });
      sending.on('response', resolve);
      sending.on('error', (e) => reject(this.#unreachable(e)));
      sending.end(body?.text);
    });
  }

  #refusal(response: IncomingMessage, answer: string): Failure {
    const { code, message, hint, field } = this.#parse<Partial<ErrorObject>>(answer);
    if (code === undefined || message === undefined) {
      return this.#stranger(`status ${response.statusCode}`);
    }
    return new Failure(EXIT.failed, code, message, {
      ...(hint === undefined ? {} : { hint }),
      ...(field === undefined ? {} : { field }),
    });
  }

  #parse<T>(answer: string): T {
    try {
      return JSON.parse(answer) as T;
    } catch (e) {
      throw this.#stranger('no JSON', e);
    }
  }

  #stranger(what: string, cause?: unknown): Failure {
    return new Failure(
      EXIT.unreachable,
      'unavailable',
      `what answers at ${this.socket} is no Sluice daemon: ${what}`,
      {
        hint: 'name its socket with --socket',
        cause,
      },
    );
  }

  #lost(cause: unknown): Failure {
    return new Failure(EXIT.unreachable, 'unavailable', 'the daemon went away before it had answered', {
      hint: 'see whether it runs, and with ls what was done',
      cause,
    });
  }

  #unreachable(e: NodeJS.ErrnoException): Failure {
    const [why, hint] = REASONS[e.code ?? ''] ?? [e.message, 'name its socket with --socket'];
    if (e.code === 'ECONNRESET') return this.#lost(e);
    return new Failure(EXIT.unreachable, 'unavailable', `no daemon answers at ${this.socket}: ${why}`, {
      hint,
      cause: e,
    });
  }
}

const START = 'start sluiced, or name its socket with --socket';
const REASONS: Readonly<Record<string, readonly [string, string]>> = {
  ENOENT: ['there is no such socket', START],
  ENOTDIR: ['there is no such socket', START],
  ECONNREFUSED: ['nobody listens', START],
  EACCES: ['permission denied', 'run as root, or join the group sluice'],
  ENOTSOCK: ['that is no socket', 'name its socket with --socket'],
};

async function text(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** A name or id as a part of a path. */
export function part(ref: string): string {
  return encodeURIComponent(ref);
}
