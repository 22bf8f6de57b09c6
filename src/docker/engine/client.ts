// SPDX-License-Identifier: Apache-2.0
/**
 * The Engine's HTTP API over its socket: what we ask of it, in the version that
 * both speak. Reads only. A failure is an EngineError; nothing is tried twice.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Clock } from '../../base/clock.js';
import { Lines } from './lines.js';
import {
  type ContainerInspect,
  type ContainerSummary,
  type EngineEvent,
  type EngineVersion,
  type ImageInspect,
  type NetworkInspect,
  readContainer,
  readContainers,
  readEvent,
  readImage,
  readNetwork,
  readNetworks,
  readVersion,
} from './shapes.js';

/** The address of an Engine; `url` is for people. */
export interface EngineAddress {
  readonly url: string;
  readonly at: { readonly socketPath: string } | { readonly host: string; readonly port: number };
}

/** `status`: what the Engine answered; null: it did not. */
export class EngineError extends Error {
  readonly status: number | null;

  constructor(message: string, status: number | null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'EngineError';
    this.status = status;
  }
}

/** The versions of the API that we read: Docker 18.09 and newer. */
const OLDEST = [1, 39] as const;
const NEWEST = [1, 51] as const;

/** An inspect waits for the container's lock, which a start holds until it is through. */
const PATIENCE = 30_000;
const MAX_PARALLEL = 8;
/** Of an idle event stream over TCP: a dead peer is noticed by the kernel's probes. */
const KEEPALIVE = 15_000;

export interface EventStream {
  /** Until the Engine ends it (returns) or the connection breaks (throws). */
  readonly events: AsyncIterable<EngineEvent[]>;
  close(): void;
}

export class EngineClient {
  readonly #address: EngineAddress;
  readonly #clock: Clock;
  readonly #agent = new Agent({ keepAlive: false, maxSockets: MAX_PARALLEL });
  #prefix = '';

  constructor(address: EngineAddress, clock: Clock) {
    this.#address = address;
    this.#clock = clock;
  }

  /** Agrees on a version of the API; before anything else, and after each reconnection. */
  async negotiate(): Promise<EngineVersion> {
    this.#prefix = '';
    const version = readVersion(await this.#get('/version'));
    const newest = parseVersion(version.api);
    const oldest = parseVersion(version.minimumApi ?? '1.12');
    if (newest === null || oldest === null || less(newest, OLDEST)) {
      throw new EngineError(`it speaks version ${version.api} of the API, 1.39 is needed`, null);
    }
    if (less(NEWEST, oldest)) {
      throw new EngineError(`it speaks only versions from ${version.minimumApi} of the API`, null);
    }
    const chosen = less(newest, NEWEST) ? newest : NEWEST;
    this.#prefix = `/v${chosen.join('.')}`;
    return { ...version, api: chosen.join('.') };
  }

  /** All of them, those that do not run too. */
  async containers(): Promise<ContainerSummary[]> {
    return readContainers(await this.#get('/containers/json?all=1'));
  }

  /** null: there is none. */
  async container(id: string): Promise<ContainerInspect | null> {
    return found(this.#get(`/containers/${encodeURIComponent(id)}/json`), readContainer);
  }

  async networks(): Promise<NetworkInspect[]> {
    return readNetworks(await this.#get('/networks'));
  }

  /** By id or name; with its containers. null: there is none. */
  async network(ref: string): Promise<NetworkInspect | null> {
    return found(this.#get(`/networks/${encodeURIComponent(ref)}`), readNetwork);
  }

  async image(ref: string): Promise<ImageInspect | null> {
    return found(this.#get(`/images/${encodeURIComponent(ref)}/json`), readImage);
  }

  /** Resolves once the Engine listens for us: what happens from then on comes as an event. */
  async events(filters: Readonly<Record<string, readonly string[]>>): Promise<EventStream> {
    const query = new URLSearchParams({ filters: JSON.stringify(filters) });
    const response = await this.#send(`/events?${query}`, null);
    if (response.statusCode !== 200) throw await refusal(response);
    response.socket.setKeepAlive(true, KEEPALIVE);
    return { events: decode(response), close: () => response.destroy() };
  }

  close(): void {
    this.#agent.destroy();
  }

  async #get(path: string): Promise<unknown> {
    const response = await this.#send(path, this.#agent);
    const timer = this.#clock.after(PATIENCE, () => response.destroy(new Error('it takes too long')));
    try {
      if (response.statusCode !== 200) throw await refusal(response);
      return JSON.parse(await textOf(response));
    } catch (e) {
      if (e instanceof EngineError) throw e;
      throw new EngineError(`GET ${path}: ${(e as Error).message}`, null, e);
    } finally {
      timer.cancel();
    }
  }

  /** `agent` null: a connection of its own. */
  #send(path: string, agent: Agent | null): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sending = request({
        ...this.#address.at,
        path: `${this.#prefix}${path}`,
        agent: agent ?? false,
        headers: { host: 'docker', accept: 'application/json' },
      });
      const timer = this.#clock.after(PATIENCE, () => sending.destroy(new Error('it does not answer')));
      sending.on('response', (response) => {
        timer.cancel();
        resolve(response);
      });
      sending.on('error', (e: NodeJS.ErrnoException) => {
        timer.cancel();
        reject(new EngineError(reason(e), null, e));
      });
      sending.end();
    });
  }
}

async function* decode(response: IncomingMessage): AsyncGenerator<EngineEvent[]> {
  const lines = new Lines();
  try {
    for await (const chunk of response) {
      const events = lines.push(chunk as Buffer).flatMap((line) => readEvent(JSON.parse(line)) ?? []);
      if (events.length > 0) yield events;
    }
  } catch (e) {
    throw new EngineError(`the stream of events broke: ${(e as Error).message}`, null, e);
  }
}

async function found<T>(answer: Promise<unknown>, read: (value: unknown) => T): Promise<T | null> {
  try {
    return read(await answer);
  } catch (e) {
    if (e instanceof EngineError && e.status === 404) return null;
    throw e;
  }
}

async function refusal(response: IncomingMessage): Promise<EngineError> {
  const text = await textOf(response);
  let message = text.trim();
  try {
    message = String((JSON.parse(text) as { message?: unknown }).message ?? message);
  } catch {
    // What is no JSON is shown as it is.
  }
  return new EngineError(`it answers ${response.statusCode}: ${message}`, response.statusCode ?? null);
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function reason(e: NodeJS.ErrnoException): string {
  switch (e.code) {
    case 'ENOENT':
      return 'there is no such socket';
    case 'ECONNREFUSED':
      return 'nobody listens';
    case 'EACCES':
      return 'permission denied';
    default:
      return e.message;
  }
}

type Version = readonly [number, number];

function parseVersion(text: string): Version | null {
  const match = /^(\d+)\.(\d+)$/.exec(text);
  return match && [Number(match[1]), Number(match[2])];
}

function less(a: Version, b: Version): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
