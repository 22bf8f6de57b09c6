// SPDX-License-Identifier: Apache-2.0
/** Ids that Docker gives to things of different kinds, and that are the same: nobody waits for himself. */
import { beforeEach, expect, it } from 'vitest';
import { NET, network, OTHER_NET, type Plugin, startPlugin } from './support.js';

let plugin: Plugin;
beforeEach(async () => {
  plugin = await startPlugin();
  await plugin.ok('NetworkDriver.CreateNetwork', network(NET, '10.50.0.0/24'));
  await plugin.ok('NetworkDriver.CreateNetwork', network(OTHER_NET, '10.51.0.0/24'));
});

const create = (NetworkID: string, EndpointID: string) => ({
  NetworkID,
  EndpointID,
  Interface: { Address: NetworkID === NET ? '10.50.0.2/24' : '10.51.0.2/24' },
});

it('refuses an endpoint with the id of its network', async () => {
  expect(await plugin.refused('NetworkDriver.CreateEndpoint', create(NET, NET))).toContain(
    'id of its network',
  );
  for (const method of ['ProgramExternalConnectivity', 'Join']) {
    await plugin.refused(`NetworkDriver.${method}`, { NetworkID: NET, EndpointID: NET, SandboxKey: NET });
  }
  for (const method of ['RevokeExternalConnectivity', 'Leave', 'DeleteEndpoint', 'EndpointOperInfo']) {
    await plugin.ok(`NetworkDriver.${method}`, { NetworkID: NET, EndpointID: NET });
  }
  await plugin.ok('NetworkDriver.DeleteNetwork', { NetworkID: NET });
});

it('serves one with the id of another network, in a sandbox with the same', async () => {
  const of = { NetworkID: NET, EndpointID: OTHER_NET };
  await plugin.ok('NetworkDriver.CreateEndpoint', create(NET, OTHER_NET));
  await plugin.ok('NetworkDriver.Join', { ...of, SandboxKey: OTHER_NET });
  await plugin.ok('NetworkDriver.ProgramExternalConnectivity', of);
  // its network's other half of the pair, at the same time
  await Promise.all([
    plugin.ok('NetworkDriver.Leave', of),
    plugin.ok('NetworkDriver.DeleteNetwork', { NetworkID: OTHER_NET }),
  ]);
  await plugin.ok('NetworkDriver.DeleteEndpoint', of);
  await plugin.ok('NetworkDriver.DeleteNetwork', { NetworkID: NET });
  expect(plugin.model.networks()).toEqual([]);
  expect(plugin.model.endpoints()).toEqual([]);
});
