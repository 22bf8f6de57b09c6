// SPDX-License-Identifier: Apache-2.0
/**
 * What it takes to move a network of Docker's bridge driver to Sluice: the
 * commands, in an order that keeps downtime small, and the way back. They are
 * for the operator to read and run: nothing here changes anything.
 */
import { SluiceError } from '../../../base/errors.js';
import type { EngineClient } from '../client.js';
import { Document } from '../document.js';
import type { Attachment, NetworkInspect } from '../shapes.js';
import { leftOut } from './create.js';
import { besideIt, inItsPlace } from './order.js';
import { publishedPorts, runCommand } from './run.js';
import { type Adoption, type AdoptOptions, DEFAULT_BRIDGE, type Move, type Moved, PROJECT } from './types.js';

export async function planAdoption(
  client: EngineClient,
  ref: string,
  options: AdoptOptions,
): Promise<Adoption> {
  const network = await client.network(ref);
  if (!network) {
    throw new SluiceError('not_found', `Docker has no network '${ref}'`, { hint: 'see docker network ls' });
  }
  check(network, options);
  const target = options.keepAddresses ? network.name : `${network.name}-sluice`;
  const moved = await membersOf(client, network, target, options);
  const plan = options.keepAddresses ? inItsPlace : besideIt;
  return {
    network: {
      id: network.id,
      name: network.name,
      subnets: network.ipam.pools.map(({ subnet, gateway, ipRange }) => ({ subnet, gateway, ipRange })),
      internal: network.internal,
      ipv6: network.ipv6,
      options: { ...network.options },
      labels: { ...network.labels },
    },
    target,
    containers: moved.map(({ view }) => view),
    ...plan(network, target, moved),
    warnings: warningsOf(network, target, moved, options),
  };
}

function check({ name, driver, scope }: NetworkInspect, { keepAddresses }: AdoptOptions): void {
  if (driver === 'sluice') {
    throw new SluiceError('conflict', `network '${name}' is one of Sluice already`, {
      hint: 'there is nothing to do',
    });
  }
  if (driver !== 'bridge' || scope !== 'local') {
    throw new SluiceError('unsupported', `network '${name}' is of the driver '${driver}', scope ${scope}`, {
      hint: 'networks of the bridge driver of this host can be adopted',
    });
  }
  if (keepAddresses && name === DEFAULT_BRIDGE) {
    throw new SluiceError(
      'unsupported',
      "Docker's default bridge cannot be removed, so nothing can take its place",
      {
        hint: 'leave out --keep-addresses: its containers move to a network beside it',
      },
    );
  }
}

async function membersOf(
  client: EngineClient,
  network: NetworkInspect,
  target: string,
  { keepAddresses }: AdoptOptions,
): Promise<Moved[]> {
  const isMember = ({ networks }: { networks: readonly Attachment[] }): boolean =>
    networks.some(({ networkId, name }) => networkId === network.id || name === network.name);
  const summaries = (await client.containers()).filter(isMember);
  const members = await Promise.all(
    summaries.map(async ({ id }): Promise<Moved[]> => {
      const container = await client.container(id);
      const attachment = container?.networks.find(
        ({ networkId, name }) => networkId === network.id || name === network.name,
      );
      if (!container || !attachment) return [];
      const ports = publishedPorts(container);
      const project = container.labels[PROJECT] ?? null;
      const move: Move = project !== null ? 'compose' : ports.length > 0 ? 'recreate' : 'connect';
      const image = move === 'recreate' ? await client.image(container.image) : null;
      const { id: own, name, state } = container;
      const { ipv4, ipv6, fixedIpv4, fixedIpv6 } = attachment;
      return [
        {
          container,
          attachment,
          run:
            move === 'recreate'
              ? runCommand(container, attachment, image?.config ?? new Document({}), target, keepAddresses)
              : null,
          view: {
            ...{ id: own, name, state, ipv4, ipv6, ports, project, move },
            fixedAddress: fixedIpv4 !== '' || fixedIpv6 !== '',
          },
        },
      ];
    }),
  );
  return members.flat().sort((a, b) => (a.view.name < b.view.name ? -1 : 1));
}

function warningsOf(
  network: NetworkInspect,
  target: string,
  moved: readonly Moved[],
  { keepAddresses }: AdoptOptions,
): string[] {
  const fixed = moved.filter(({ view }) => view.fixedAddress).map(({ view }) => view.name);
  const removed = moved.filter(({ container }) => container.document.object('HostConfig').flag('AutoRemove'));
  const anew = moved.filter(({ run }) => run !== null);
  return [
    ...(fixed.length > 0 && !keepAddresses
      ? [
          `${fixed.join(', ')}: fixed addresses are of the old subnet and are not kept; --keep-addresses keeps them`,
        ]
      : []),
    ...(anew.length > 0
      ? [
          `${anew.map(({ view }) => view.name).join(', ')}: what is in no volume does not come along; it stays in the container set aside`,
        ]
      : []),
    ...removed
      .filter(({ run }) => run !== null)
      .map(
        ({ view }) => `${view.name} was run with --rm: stopped, it is gone, and there is no way back to it`,
      ),
    ...anew.flatMap(({ view, run }) =>
      (run?.lost ?? []).map(
        (name) => `${view.name}: HostConfig.${name} is not in the command; add it by hand`,
      ),
    ),
    ...leftOut(network, keepAddresses),
    ...(moved.some(({ view }) => view.ports.length > 0)
      ? ['`docker port` and `docker ps` do not show ports that Sluice publishes; `sluice endpoint ls` does']
      : []),
    ...(keepAddresses
      ? []
      : [`whatever names the network ${network.name} has to name ${target} from then on`]),
  ];
}
