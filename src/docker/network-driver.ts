// SPDX-License-Identifier: Apache-2.0
/**
 * Docker's NetworkDriver: its words for what the model does. No answer waits
 * for the container, whose lock Docker holds meanwhile, or for its namespace,
 * which may not exist yet.
 */
import { SluiceError } from '../base/errors.js';
import { remoteId } from '../cnm/remote/types.js';
import type { RemoteObjects } from '../cnm/remote.js';
import type { NetworkCreate } from '../cnm/types.js';
import { checkEndpointOptions, GENERIC, networkOptions, wantedPorts } from './options.js';
import {
  AllocateNetwork,
  CreateEndpoint,
  CreateNetwork,
  type IpamData,
  Join,
  OfEndpoint,
  OfNetwork,
  ProgramExternalConnectivity,
  reader,
} from './protocol.js';
import type { Methods } from './server.js';

const read = {
  createNetwork: reader(CreateNetwork),
  allocateNetwork: reader(AllocateNetwork),
  network: reader(OfNetwork),
  createEndpoint: reader(CreateEndpoint),
  endpoint: reader(OfEndpoint),
  join: reader(Join),
  program: reader(ProgramExternalConnectivity),
};

/** Who decides about networks: this host's Docker, or the manager of a Swarm. */
export type Scope = 'local' | 'global';

export function networkDriver(objects: RemoteObjects, scope: Scope): Methods {
  const endpointId = (body: unknown): string => remoteId(read.endpoint(body).EndpointID);
  return {
    // A swarm has names of containers on networks of global connectivity only.
    GetCapabilities: async () => ({ Scope: scope, ConnectivityScope: scope }),
    CreateNetwork: async (body) => {
      const { NetworkID, Options, IPv4Data, IPv6Data } = read.createNetwork(body);
      const subnets = [...addresses(IPv4Data, 4), ...addresses(IPv6Data, 6)];
      await objects.createNetwork({ id: remoteId(NetworkID), subnets, ...networkOptions(Options) });
      return {};
    },
    DeleteNetwork: async (body) => {
      await objects.removeNetwork(remoteId(read.network(body).NetworkID));
      return {};
    },
    CreateEndpoint: async (body) => ({ Interface: await createEndpoint(objects, read.createEndpoint(body)) }),
    DeleteEndpoint: async (body) => {
      await objects.removeEndpoint(endpointId(body));
      return {};
    },
    // Docker asks for it and does nothing with it; see docs/DOCKER.md.
    EndpointOperInfo: async () => ({ Value: {} }),
    Join: async (body) => {
      const { EndpointID, SandboxKey, Options } = read.join(body);
      return join(objects, remoteId(EndpointID), SandboxKey, wantedPorts(Options));
    },
    Leave: async (body) => {
      await objects.leave(endpointId(body));
      return {};
    },
    ProgramExternalConnectivity: async (body) => {
      const { EndpointID, Options } = read.program(body);
      await objects.publish(remoteId(EndpointID), wantedPorts(Options));
      return {};
    },
    RevokeExternalConnectivity: async (body) => {
      await objects.unpublish(endpointId(body));
      return {};
    },
    DiscoverNew: async () => ({}),
    DiscoverDelete: async () => ({}),
    // What a manager is answered are the options that nodes are told at CreateNetwork.
    AllocateNetwork: async (body) => {
      const { Options } = read.allocateNetwork(body);
      networkOptions({ [GENERIC]: Options });
      return { Options: Options ?? {} };
    },
    FreeNetwork: async () => ({}),
  };
}

async function createEndpoint(
  objects: RemoteObjects,
  { NetworkID, EndpointID, Interface, Options }: CreateEndpoint,
): Promise<{ MacAddress?: string }> {
  if (NetworkID === EndpointID) {
    throw new SluiceError('invalid_argument', 'the endpoint has the id of its network', {
      field: 'EndpointID',
    });
  }
  checkEndpointOptions(Options);
  const { Address, AddressIPv6, MacAddress } = Interface ?? {};
  if (!Address) {
    throw new SluiceError('unsupported', 'an endpoint without an IPv4 address is not supported', {
      hint: "use --ipam-driver sluice, or Docker's default",
    });
  }
  const mac = await objects.createEndpoint({
    id: remoteId(EndpointID),
    network: remoteId(NetworkID),
    ipv4: withoutLength(Address),
    ipv6: AddressIPv6 ? withoutLength(AddressIPv6) : null,
    mac: MacAddress || null,
    ports: wantedPorts(Options),
  });
  // What Docker has chosen must not come back, not even the same.
  return MacAddress ? {} : { MacAddress: mac };
}

async function join(
  objects: RemoteObjects,
  id: string,
  sandbox: string,
  ports: ReturnType<typeof wantedPorts>,
): Promise<object> {
  const { name, gateway4, gateway6, internal } = await objects.join(id, sandbox);
  // Without a gateway of IPv4 Docker would give the container a second interface for its way out, and never ask for the ports.
  const alone = gateway4 === null && !internal;
  if (alone) await objects.publish(id, ports);
  return {
    InterfaceName: { SrcName: name, DstPrefix: 'eth' },
    ...(gateway4 !== null && { Gateway: gateway4 }),
    ...(gateway6 !== null && { GatewayIPv6: gateway6 }),
    ...(alone && { DisableGatewayService: true }),
  };
}

function addresses(
  data: readonly IpamData[] | null | undefined,
  family: 4 | 6,
): NonNullable<NetworkCreate['subnets']> {
  const subnets = (data ?? []).flatMap(({ Pool, Gateway }) =>
    Pool ? [{ cidr: Pool, ...(Gateway && { gateway: withoutLength(Gateway) }) }] : [],
  );
  if (family === 4 && subnets.length === 0) {
    throw new SluiceError('unsupported', 'a network without IPv4 is not supported', {
      hint: 'leave --ipv4=false out, and use an IPAM driver that has addresses',
    });
  }
  return subnets;
}

function withoutLength(cidr: string): string {
  return cidr.split('/')[0] as string;
}
