// SPDX-License-Identifier: Apache-2.0
/** The plugin over a model whose kernel and store are pretended. */
import { silentLog } from '../../../src/base/log.js';
import type { Scope } from '../../../src/docker/network-driver.js';
import { buildPlugin } from '../../../src/docker/server.js';
import { type Bench, FakeHost, type FakeRealizer, startModel } from '../support/model.js';

export interface Plugin extends Bench {
  readonly host: PluginHost;
  /** Posts as Docker does: without a content type; undefined: an empty body. */
  call(method: string, request?: unknown): Promise<Record<string, unknown>>;
  /** As call(), for what has to succeed. */
  ok(method: string, request?: unknown): Promise<Record<string, unknown>>;
  /** The text of an error. */
  refused(method: string, request?: unknown): Promise<string>;
}

/** Has the pairs that the kernel was asked for, but for those that got lost. */
class PluginHost extends FakeHost {
  realizer: FakeRealizer | null = null;
  readonly lost = new Set<string>();

  override async linkExists(name: string): Promise<boolean> {
    const made = this.realizer?.rows('lent-port').some(({ link }) => link === name) ?? false;
    return (made && !this.lost.has(name)) || super.linkExists(name);
  }
}

export async function startPlugin({
  scope = 'local',
  ...parts
}: Parameters<typeof startModel>[0] & { scope?: Scope } = {}): Promise<Plugin> {
  const host = parts.host ?? new PluginHost();
  const bench = await startModel({ ...parts, host });
  if (host instanceof PluginHost) host.realizer = bench.realizer;
  const app = buildPlugin({
    remote: bench.model.remote,
    leases: bench.model.leases,
    scope,
    log: silentLog(),
  });
  const call = async (method: string, request?: unknown): Promise<Record<string, unknown>> => {
    const reply = await app.inject({
      method: 'POST',
      url: `/${method}`,
      headers: { host: '', accept: 'application/vnd.docker.plugins.v1.2+json' },
      ...(request === undefined ? {} : { payload: JSON.stringify(request) }),
    });
    if (reply.statusCode !== 200) throw new Error(`${method}: ${reply.statusCode} ${reply.body}`);
    const answer: unknown = JSON.parse(reply.body);
    if (typeof answer !== 'object' || answer === null) throw new Error(`${method}: ${reply.body}`);
    return answer as Record<string, unknown>;
  };
  return {
    ...bench,
    host: host as PluginHost,
    call,
    ok: async (method, request) => {
      const answer = await call(method, request);
      if ('Err' in answer) throw new Error(`${method}: ${answer.Err}`);
      return answer;
    },
    refused: async (method, request) => {
      const { Err, Error: error } = await call(method, request);
      if (typeof Err !== 'string' || Err !== error)
        throw new Error(`${method} was not refused in both words`);
      return Err;
    },
  };
}

export const NET = 'a'.repeat(64);
export const OTHER_NET = 'b'.repeat(64);

export function endpointId(n: number): string {
  return n.toString(16).padEnd(64, '0');
}

/** A network with the addresses of Docker's own IPAM. */
export function network(
  id: string,
  pool = '10.50.0.0/24',
  options: Record<string, string> = {},
  more: object = {},
) {
  return {
    NetworkID: id,
    Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': options, ...more },
    IPv4Data: [{ AddressSpace: 'LocalDefault', Pool: pool, Gateway: pool.replace(/\d+\/(\d+)$/, '1/$1') }],
    IPv6Data: [],
  };
}

export interface Port {
  Proto: number;
  Port: number;
  HostIP: string;
  HostPort: number;
  HostPortEnd: number;
}

/** `PORTSPEC` as Docker has it: host port or range, container port, protocol. */
export function port(hostPort: number, containerPort: number, more: Partial<Port> = {}): Port {
  return { Proto: 6, Port: containerPort, HostIP: '', HostPort: hostPort, HostPortEnd: hostPort, ...more };
}

export function ports(...list: Port[]) {
  return { 'com.docker.network.portmap': list };
}

export function endpoint(n: number, address: string, list: Port[] = [], net = NET, mac = '') {
  return {
    NetworkID: net,
    EndpointID: endpointId(n),
    Interface: { Address: `${address}/24`, AddressIPv6: '', MacAddress: mac },
    Options: ports(...list),
  };
}

export function join(n: number, sandbox: string, list: Port[] = [], net = NET) {
  return { ...ref(n, net), SandboxKey: `/var/run/docker/netns/${sandbox}`, Options: ports(...list) };
}

export function program(n: number, list: Port[] = [], net = NET) {
  return { ...ref(n, net), Options: ports(...list) };
}

export function ref(n: number, net = NET) {
  return { NetworkID: net, EndpointID: endpointId(n) };
}
