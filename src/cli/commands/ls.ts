// SPDX-License-Identifier: Apache-2.0
import type {
  EndpointObject,
  NetworkObject,
  SandboxObject,
  ServiceObject,
} from '../../api/schemas/objects.js';
import type { Call } from '../call.js';
import { shortId } from '../output.js';
import { formatPort } from '../ports.js';

type Columns<T> = Readonly<Record<string, (item: T) => string>>;

export async function networkLs(call: Call): Promise<undefined> {
  const columns = (items: readonly NetworkObject[]): Columns<NetworkObject> => ({
    NAME: ({ name }) => name,
    // Who does without Docker does without its columns.
    ...(items.some(({ dockerName }) => dockerName !== undefined)
      ? { 'DOCKER NAME': ({ dockerName }: NetworkObject) => dockerName ?? '-' }
      : {}),
    DRIVER: ({ driver }) => driver,
    SUBNET: ({ subnets }) => list(subnets.map(({ cidr }) => cidr)),
    GATEWAY: ({ subnets }) => list(subnets.map(({ gateway }) => gateway ?? '-')),
    INTERFACE: (network) => network.interface ?? '-',
  });
  await ls(call, 'networks', 'NETWORK ID', columns);
}

export async function sandboxLs(call: Call): Promise<undefined> {
  const columns: Columns<SandboxObject> = {
    NAME: ({ name }) => name,
    NETNS: ({ netns }) => netns,
    ENDPOINTS: ({ endpoints }) => list(endpoints),
  };
  await ls(call, 'sandboxes', 'SANDBOX ID', columns);
}

export async function endpointLs(call: Call): Promise<undefined> {
  const columns = (items: readonly EndpointObject[]): Columns<EndpointObject> => ({
    NAME: ({ name }) => name,
    NETWORK: ({ network }) => network,
    SANDBOX: ({ sandbox }) => sandbox ?? '-',
    ...(items.some(({ container }) => container)
      ? {
          CONTAINER: ({ container }: EndpointObject) => container?.name ?? '-',
          'DOCKER NETWORK': ({ container }: EndpointObject) => container?.network ?? '-',
        }
      : {}),
    ADDRESS: ({ ipv4, ipv6 }) => list([ipv4, ipv6].filter((address) => address !== null)),
    STATE: ({ state }) => state,
    PORTS: ({ ports }) => list(ports.map(formatPort)),
  });
  await ls(call, 'endpoints', 'ENDPOINT ID', columns);
}

export async function serviceLs(call: Call): Promise<undefined> {
  const columns: Columns<ServiceObject> = {
    NAME: ({ name }) => name,
    NETWORK: ({ network }) => network ?? '-',
    ADDRESS: ({ mode, vip, vip6 }) =>
      mode === 'dnsrr' ? 'dnsrr' : list([vip, vip6].filter((address) => address !== null)),
    PORTS: ({ ports }) =>
      list(
        ports.map(({ port, backendPort, protocol }) =>
          port === backendPort ? `${port}/${protocol}` : `${port}->${backendPort}/${protocol}`,
        ),
      ),
    PUBLISH: ({ publish }) =>
      list(
        publish.map(({ hostPort, port, protocol }) =>
          hostPort === port ? `${hostPort}/${protocol}` : `${hostPort}->${port}/${protocol}`,
        ),
      ),
    BACKENDS: ({ backends }) =>
      list(
        ['active', 'starting', 'draining', 'gone'].flatMap((state) => {
          const count = backends.filter((backend) => backend.state === state).length;
          return count > 0 ? [`${count} ${state}`] : [];
        }),
      ),
  };
  await ls(call, 'services', 'SERVICE ID', columns);
}

async function ls<T extends { id: string }>(
  call: Call,
  path: string,
  heading: string,
  columnsOf: Columns<T> | ((items: readonly T[]) => Columns<T>),
): Promise<void> {
  const { client, out, json, options } = call;
  const items = await client.get<T[]>(path);
  const columns = typeof columnsOf === 'function' ? columnsOf(items) : columnsOf;
  const idOf = ({ id }: T): string => (options.flag('no-trunc') ? id : shortId(id));
  if (options.flag('quiet')) for (const item of items) out.line(idOf(item));
  else if (json) out.json(items);
  else {
    out.table(
      [heading, ...Object.keys(columns)],
      items.map((item) => [idOf(item), ...Object.values(columns).map((column) => column(item))]),
    );
  }
}

function list(items: readonly string[]): string {
  return items.join(', ') || '-';
}
