// SPDX-License-Identifier: Apache-2.0
/** A Docker Engine as far as we ask it: HTTP on a unix socket, with containers that the test turns. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FakeContainer {
  id: string;
  name: string;
  labels: Record<string, string>;
  state: string;
  health: string | null;
  created: number;
  startedAt: number;
  stopTimeout: number | null;
  stopSignal: string;
  networks: Record<string, { networkId: string; endpointId: string; ip: string; aliases?: string[] }>;
  /** Further members of the inspect, by section. */
  config: object;
  hostConfig: object;
  mounts: object[];
}

export interface FakeNetwork {
  id: string;
  name: string;
  [member: string]: unknown;
}

export const id = (text: string): string => Buffer.from(text).toString('hex').padEnd(64, '0');

export class FakeEngine {
  readonly directory = mkdtempSync(join(tmpdir(), 'sluice-engine-'));
  readonly socket = join(this.directory, 'docker.sock');
  readonly containers = new Map<string, FakeContainer>();
  readonly networks = new Map<string, FakeNetwork>();
  readonly images = new Map<string, object>();
  readonly asked: string[] = [];
  version: object = { Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' };
  /** Cuts every event into pieces of this many bytes, each written on its own. */
  pieces = Number.POSITIVE_INFINITY;
  /** Waits before it answers an inspect, as while a container starts. */
  gate: Promise<void> | null = null;
  /** By the Engine's own clock, in milliseconds. */
  time = Date.UTC(2026, 0, 1);
  #server: Server | null = null;
  readonly #streams = new Set<ServerResponse>();
  readonly #sockets = new Set<Socket>();

  get address() {
    return { url: `unix://${this.socket}`, at: { socketPath: this.socket } };
  }

  get listeners(): number {
    return this.#streams.size;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.socket, resolve));
    this.#server = server;
  }

  /** As when dockerd dies: every connection breaks. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    this.#streams.clear();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Adds a container that runs, and tells. */
  run(name: string, over: Partial<FakeContainer> = {}): FakeContainer {
    const container = this.add(name, over);
    this.event(container, 'create');
    this.event(container, 'start');
    return container;
  }

  /** As run(), but nobody is told. */
  add(name: string, over: Partial<FakeContainer> = {}): FakeContainer {
    this.time += 1000;
    const container: FakeContainer = {
      id: id(name),
      name,
      labels: {},
      state: 'running',
      health: null,
      created: this.time,
      startedAt: this.time,
      stopTimeout: null,
      stopSignal: '',
      networks: {},
      config: {},
      hostConfig: {},
      mounts: [],
      ...over,
    };
    this.containers.set(container.id, container);
    return container;
  }

  die(container: FakeContainer): void {
    this.time += 10;
    container.state = 'exited';
    for (const attachment of Object.values(container.networks)) attachment.endpointId = '';
    this.event(container, 'die', { exitCode: '0' });
  }

  restart(container: FakeContainer): void {
    this.time += 10;
    container.state = 'running';
    container.startedAt = this.time;
    this.event(container, 'start');
  }

  health(container: FakeContainer, health: string): void {
    container.health = health;
    this.event(container, `health_status: ${health}`);
  }

  destroy(container: FakeContainer): void {
    this.containers.delete(container.id);
    this.event(container, 'destroy');
  }

  event({ id: actor, name, labels }: FakeContainer, action: string, attributes: object = {}): void {
    this.time += 1;
    this.send({
      Type: 'container',
      Action: action,
      Actor: { ID: actor, Attributes: { name, ...labels, ...attributes } },
    });
  }

  send(event: object): void {
    const line = Buffer.from(
      `${JSON.stringify({ ...event, time: Math.floor(this.time / 1000), timeNano: this.time * 1e6 })}\n`,
    );
    for (const stream of this.#streams) {
      for (let at = 0; at < line.length; at += this.pieces) stream.write(line.subarray(at, at + this.pieces));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://docker');
    this.asked.push(`${url.pathname}${url.search}`);
    const path = url.pathname.replace(/^\/v[\d.]+/, '');
    const [, kind, ref = '', last] = path.split('/').map(decodeURIComponent);
    const send = (value: object | null | undefined): void => {
      const body = JSON.stringify(value ?? { message: `No such ${kind}: ${ref}` });
      response.writeHead(value ? 200 : 404, { 'content-type': 'application/json' }).end(body);
    };
    if (path === '/version') return send(this.version);
    if (path === '/containers/json') return send([...this.containers.values()].map(summary));
    if (path === '/networks') return send([...this.networks.values()].map(networkOf));
    if (kind === 'containers' && last === 'json') {
      const found = this.containers.get(ref);
      // As it was when it was asked for, however late that is told.
      const answer = found && inspect(found);
      await this.gate;
      return send(answer);
    }
    if (kind === 'networks') {
      const found = [...this.networks.values()].find((n) => n.id === ref || n.name === ref);
      return send(found && { ...networkOf(found), Containers: this.#members(found) });
    }
    if (kind === 'images') return send(this.images.get(ref));
    if (path === '/events') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      this.#streams.add(response);
      response.on('close', () => this.#streams.delete(response));
      return;
    }
    send(null);
  }

  #members(network: FakeNetwork): object {
    const members = [...this.containers.values()].flatMap((container) => {
      const found = Object.values(container.networks).find((n) => n.networkId === network.id && n.endpointId);
      return found
        ? [
            [
              container.state === 'created' ? `ep-${found.endpointId}` : container.id,
              { Name: container.name, EndpointID: found.endpointId, IPv4Address: `${found.ip}/24` },
            ],
          ]
        : [];
    });
    return Object.fromEntries(members);
  }
}

function settings({ networks, state }: FakeContainer): object {
  return {
    Networks: Object.fromEntries(
      Object.entries(networks).map(([name, { networkId, endpointId, ip, aliases = null }]) => [
        name,
        {
          NetworkID: networkId,
          // A container that is created but does not run is in the listing of its network only.
          EndpointID: state === 'created' ? '' : endpointId,
          IPAddress: ip,
          Aliases: aliases,
          IPAMConfig: null,
        },
      ]),
    ),
  };
}

function summary(container: FakeContainer): object {
  const { id: own, name, labels, state, health, created } = container;
  const suffix = health === null ? '' : health === 'starting' ? ' (health: starting)' : ` (${health})`;
  return {
    Id: own,
    Names: [`/other/link-to-${name}`, `/${name}`],
    Labels: labels,
    State: state,
    Status: state === 'running' ? `Up 2 seconds${suffix}` : 'Exited (0) 2 seconds ago',
    Created: Math.floor(created / 1000),
    NetworkSettings: settings(container),
  };
}

function inspect(container: FakeContainer): object {
  const { id: own, name, labels, state, health, created, startedAt, stopTimeout, stopSignal } = container;
  return {
    Id: own,
    Name: `/${name}`,
    Created: new Date(created).toISOString().replace('Z', '123456Z'),
    Image: 'sha256:image',
    State: {
      Status: state,
      StartedAt: startedAt === 0 ? '0001-01-01T00:00:00Z' : new Date(startedAt).toISOString(),
      ...(health === null ? {} : { Health: { Status: health } }),
    },
    Config: {
      Labels: labels,
      StopSignal: stopSignal,
      ...(stopTimeout === null ? {} : { StopTimeout: stopTimeout }),
      ...container.config,
    },
    HostConfig: container.hostConfig,
    Mounts: container.mounts,
    NetworkSettings: settings(container),
  };
}

function networkOf({ id: own, name, ...rest }: FakeNetwork): object {
  return { Id: own, Name: name, Driver: 'bridge', Scope: 'local', Options: {}, Labels: {}, ...rest };
}
