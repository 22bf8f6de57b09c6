// SPDX-License-Identifier: Apache-2.0
/** The API over a socket of its own and a model that needs no kernel; each answer is held to the served document. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Schema from 'typebox/schema';
import { type Listener, listen } from '../../../src/api/listen.js';
import { type ApiDependencies, buildApi } from '../../../src/api/server.js';
import type {
  ConntrackSource,
  FlowFilter,
  FlowRecord,
  StateSource,
  StatusReport,
} from '../../../src/api/sources.js';
import { SluiceError } from '../../../src/base/errors.js';
import { createLog } from '../../../src/base/log.js';
import { type Bench, startModel } from '../support/model.js';

export const STATUS: StatusReport = {
  node: 'testing',
  address: '192.0.2.1',
  version: '0.1.0',
  kernel: '6.18.0',
  uptimeSeconds: 3725.5,
  features: [
    { feature: 'tcx', available: true, using: 'tcx' },
    { feature: 'bpf_wq', available: false, using: 'bpf_timer' },
  ],
  attachModes: [{ link: 'eth0', hook: 'uplink_ingress', mode: 'tcx' }],
  uplinks: [
    { link: 'eth0', layer: 'ethernet', addresses: ['192.0.2.1'] },
    { link: 'tun0', layer: 'l3', addresses: [] },
  ],
  tables: [{ map: 'flows4', entries: 5, capacity: 1000 }],
  drops: { SPOOFED_MAC: { packets: 3, bytes: 180 } },
  rows: { pending: 0, done: 12, error: 0 },
  resolver: { sandboxes: 2, waiting: 0, queries: 7, forwarded: 3, failed: 1 },
  state: { id: 'a1'.repeat(16), revision: 12, lastBackup: null, restored: null },
  problems: [],
};

export function flow(over: Partial<FlowRecord> = {}): FlowRecord {
  return {
    protocol: 'tcp',
    source: '198.51.100.7',
    sourcePort: 40000,
    destination: '192.0.2.1',
    destinationPort: 8080,
    translatedSource: '198.51.100.7',
    translatedSourcePort: 40000,
    translatedDestination: '10.64.0.2',
    translatedDestinationPort: 80,
    direction: 'inbound',
    endpoint: null,
    service: null,
    backend: null,
    state: 'established',
    tier: 'proven',
    ageSeconds: 61.2,
    idleSeconds: 0.4,
    ...over,
  };
}

export class FakeConntrack implements ConntrackSource {
  flowsHeld: FlowRecord[] = [];
  asked: FlowFilter[] = [];
  /** Thrown after this many flows. */
  failAfter = Number.POSITIVE_INFINITY;
  failure: Error = new Error('the table went away');

  async *flows(filter: FlowFilter): AsyncGenerator<FlowRecord> {
    this.asked.push(filter);
    let given = 0;
    for (const held of this.flowsHeld) {
      if (given === this.failAfter) break;
      if (!fits(held, filter)) continue;
      yield held;
      given++;
    }
    if (given >= this.failAfter) throw this.failure;
  }
  async flush(filter: FlowFilter): Promise<number> {
    this.asked.push(filter);
    const before = this.flowsHeld.length;
    this.flowsHeld = this.flowsHeld.filter((held) => !fits(held, filter));
    return before - this.flowsHeld.length;
  }
  async stats() {
    return {
      protocols: { tcp: { opened: 9, promoted: 4, expired: 2, reset: 1 } },
      tables: STATUS.tables,
      sourcePorts: { kept: 7, picked: 2, exhausted: 0 },
    };
  }
}

function fits(held: FlowRecord, { address, port, endpoint, protocol }: FlowFilter): boolean {
  return (
    (address === undefined ||
      [held.source, held.destination, held.translatedDestination].includes(address)) &&
    (port === undefined || [held.sourcePort, held.destinationPort].includes(port)) &&
    (endpoint === undefined || held.endpoint === endpoint) &&
    (protocol === undefined || held.protocol === protocol)
  );
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of all shapes
  readonly body: any;
}

export interface TestApi extends Bench {
  readonly socket: string;
  readonly directory: string;
  readonly listener: Listener;
  readonly conntrack: FakeConntrack;
  readonly state: FakeState;
  readonly status: { report: StatusReport };
  readonly logged: string[];
  /** Sends, and throws where the answer is not what the OpenAPI document says. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  readonly document: OpenApi;
  close(): Promise<void>;
}

export interface OpenApi {
  readonly openapi: string;
  readonly components: { schemas: Record<string, object> };
  readonly paths: Record<string, Record<string, Operation>>;
}
export interface Operation {
  readonly summary?: string;
  readonly responses: Record<string, { content?: Record<string, { schema?: object }> }>;
}

/** Backs up a store in memory, and notes what it was to go back to. */
export class FakeState implements StateSource {
  text = '{"a":1}\n';
  done = 0;
  restarts = 0;
  readonly restored = { at: 'now', created: 'then', state: null, revision: 3, entries: 1 };

  async backup() {
    return { lines: [this.text], done: () => void this.done++ };
  }
  check(text: string) {
    if (text !== this.text) throw new SluiceError('invalid_argument', 'the file is cut');
    return this.restored;
  }
  async restore(text: string) {
    return { restored: this.check(text), restart: () => void this.restarts++ };
  }
}

export async function startApi(over: Partial<ApiDependencies> = {}): Promise<TestApi> {
  const bench = await startModel();
  const conntrack = new FakeConntrack();
  const state = new FakeState();
  const status = { report: STATUS };
  const logged: string[] = [];
  const app = buildApi({
    cnm: bench.model,
    status: { status: async () => status.report },
    conntrack,
    state,
    log: createLog({ level: 'warn', sink: { write: (line) => logged.push(line) } }),
    ...over,
  });
  const directory = mkdtempSync(join(tmpdir(), 'sluice-api-'));
  const socket = join(directory, 'run', 'sluice.sock');
  const listener = await listen(app, { socket });
  const document = JSON.parse((await send(socket, 'GET', '/openapi.json')).text) as OpenApi;
  return {
    ...bench,
    socket,
    directory,
    listener,
    conntrack,
    state,
    status,
    logged,
    document,
    async call(method, path, body, headers) {
      const answer = await send(socket, method, path, body, headers);
      check(document, method, path, answer);
      return answer;
    },
    async close() {
      await listener.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export function send(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const type = payload === undefined ? {} : { 'content-type': 'application/json' };
    const length = payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload as string) };
    const req = request(
      { socketPath, method, path: `/v1${path}`, agent: false, headers: { ...type, ...length, ...headers } },
      async (res) => {
        try {
          let text = '';
          for await (const chunk of res) text += chunk;
          const json = res.headers['content-type']?.startsWith('application/json') && text !== '';
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            text,
            body: json ? JSON.parse(text) : undefined,
          });
        } catch (e) {
          reject(e);
        }
      },
    );
    req.on('error', reject);
    req.end(payload);
  });
}

/** Statuses that the document leaves to HTTP. */
const OF_HTTP = [404, 413, 415];

function check(
  document: OpenApi,
  method: string,
  path: string,
  { status, headers, body, text }: Answer,
): void {
  const where = `${method} ${path} ${status}`;
  const operation = operationOf(document, method, path);
  const response = operation?.responses[String(status)];
  if (!response) {
    const isError = status >= 400 && (operation === undefined || OF_HTTP.includes(status));
    if (!isError) throw new Error(`${where} is not documented`);
    matches(document, document.components.schemas.Error as object, body, where);
    return;
  }
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  // Others than JSON are told by their type alone.
  if (type !== 'application/json' && response.content?.[type]) return;
  const schema = response.content?.['application/json']?.schema;
  if (schema) matches(document, schema, body, where);
  else if (text !== '') throw new Error(`${where} has a body that is not documented: ${text}`);
}

export function operationOf(document: OpenApi, method: string, path: string): Operation | undefined {
  const [plain = ''] = `/v1${path}`.split('?');
  const templates = Object.keys(document.paths).filter((template) => {
    const pattern = template.replace(/\{[^}]+\}/g, '[^/]+');
    return new RegExp(`^${pattern}$`).test(plain);
  });
  // `/networks/prune` before `/networks/{id}`.
  const [best] = templates.sort((a, b) => Number(a.includes('{')) - Number(b.includes('{')));
  return best === undefined ? undefined : document.paths[best]?.[method.toLowerCase()];
}

function matches(document: OpenApi, schema: object, value: unknown, where: string): void {
  const compiled = Schema.Compile({ components: document.components, ...schema });
  if (compiled.Check(value)) return;
  const [, errors] = compiled.Errors(value);
  throw new Error(`${where} differs from its schema: ${JSON.stringify(errors)}\n${JSON.stringify(value)}`);
}
