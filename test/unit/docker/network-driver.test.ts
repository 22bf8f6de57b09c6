// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it } from 'vitest';
import { FaultyStore } from '../support/model.js';
import {
  endpoint,
  endpointId,
  join,
  NET,
  network,
  OTHER_NET,
  type Plugin,
  port,
  program,
  ref,
  startPlugin,
} from './support.js';

let plugin: Plugin;

beforeEach(async () => {
  plugin = await startPlugin();
});

/** A container that runs: what Docker says for `docker run`. */
async function start(n: number, address: string, list = [port(8080, 80)], net = NET): Promise<void> {
  await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(n, address, list, net));
  await plugin.ok('NetworkDriver.Join', join(n, `box${n}`, list, net));
  await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(n, list, net));
}

const published = () =>
  plugin.realizer
    .rows('publish')
    .map(({ hostPort, hostPortEnd, port, ipv4 }) => [hostPort, hostPortEnd, port, ipv4]);

describe('a network', () => {
  it('is one of ours, under the id and by the options that Docker gives', async () => {
    const options = {
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.bridge.name': 'web0',
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.enable_ip_masquerade': 'false',
      'com.docker.network.bridge.host_binding_ipv4': '192.0.2.1',
      'host-access': 'false',
    };
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET, '10.50.0.0/24', options));
    expect(plugin.model.network(NET)).toMatchObject({
      id: NET,
      name: 'docker-aaaaaaaaaaaa',
      origin: 'docker',
      interface: 'web0',
      subnets: [{ cidr: '10.50.0.0/24', gateway: '10.50.0.1' }],
    });
    expect(plugin.realizer.rows('dp-network')).toMatchObject([
      { icc: false, masquerade: false, hostAccess: false },
    ]);
    expect(plugin.realizer.rows('bridge')).toMatchObject([{ link: 'web0', mtu: 1400 }]);
  });

  it('of a swarm has the options that its manager was answered, which are its own', async () => {
    plugin = await startPlugin({ scope: 'global' });
    expect(await plugin.ok('NetworkDriver.GetCapabilities')).toMatchObject({ Scope: 'global' });
    const NetworkID = 'ilmzd20mu6v7jgc2yw9r050bt';
    const IPv4Data = [{ AddressSpace: '', Gateway: '10.77.0.1/24', Pool: '10.77.0.0/24' }];
    const allocate = (Options: object | null) => ({ NetworkID, Options, IPv4Data, IPv6Data: null });
    const allocated = await plugin.ok('NetworkDriver.AllocateNetwork', allocate({ mtu: '1400' }));
    expect(allocated).toEqual({ Options: { mtu: '1400' } });
    expect(await plugin.ok('NetworkDriver.AllocateNetwork', allocate(null))).toEqual({ Options: {} });
    expect(await plugin.refused('NetworkDriver.AllocateNetwork', allocate({ driver: 'ring' }))).toMatch(
      /'ring' is not a driver/,
    );
    expect(await plugin.ok('NetworkDriver.FreeNetwork', { NetworkID })).toEqual({});
    expect(plugin.model.networks()).toEqual([]);
  });

  it('with an id of swarm’s has one of ours that stays the same', async () => {
    await plugin.ok('NetworkDriver.CreateNetwork', network('x0q8iy7fzzhj4bmqxq3hnsx6l'));
    const id = plugin.model.networks()[0]?.id;
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    await plugin.ok('NetworkDriver.CreateNetwork', network('x0q8iy7fzzhj4bmqxq3hnsx6l'));
    await plugin.ok('NetworkDriver.DeleteNetwork', { NetworkID: 'x0q8iy7fzzhj4bmqxq3hnsx6l' });
    expect(plugin.model.networks()).toEqual([]);
  });

  it.each([
    [
      'an unknown option',
      network(NET, '10.50.0.0/24', { colour: 'red' }),
      /'colour' is not an option of a bridge/,
    ],
    ['an unknown driver', network(NET, '10.50.0.0/24', { driver: 'ring' }), /'ring' is not a driver/],
    ['no IPv4', { ...network(NET), IPv4Data: [] }, /without IPv4 is not supported/],
    [
      'two subnets',
      { ...network(NET), IPv4Data: [{ Pool: '10.1.0.0/24' }, { Pool: '10.2.0.0/24' }] },
      /one subnet per/,
    ],
    ['no id', { Options: {} }, /Docker's request/],
    ['nothing at all', undefined, /Docker's request/],
  ])('is refused for %s', async (_, request, why) => {
    expect(await plugin.refused('NetworkDriver.CreateNetwork', request)).toMatch(why);
    expect(plugin.model.networks()).toEqual([]);
    expect(plugin.realizer.owners.size).toBe(0);
  });

  it('and its endpoints are Docker’s to change', async () => {
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    await start(1, '10.50.0.2');
    const { model } = plugin;
    const name = model.endpoint(endpointId(1)).name;
    const box = model.sandboxes()[0]?.name ?? '';
    for (const change of [
      () => model.removeNetwork(NET),
      () => model.createEndpoint({ name: 'x', network: NET }),
      () => model.leave(name),
      () => model.removeEndpoint(name),
      () => model.publish(name, ['81:81']),
      () => model.unpublish(name, ['8080:80']),
      () => model.connect(box, { network: NET }),
    ]) {
      await expect(change()).rejects.toMatchObject({ code: 'forbidden' });
    }
    expect(await model.pruneNetworks()).toEqual([]);
    await model.removeNetwork(NET, false, true);
    expect(model.endpoints()).toEqual([]);
    expect(plugin.realizer.owners.size).toBe(0);
  });

  it('goes with what was never removed from it', async () => {
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    await start(1, '10.50.0.2');
    await plugin.ok('NetworkDriver.DeleteNetwork', { NetworkID: NET });
    expect(plugin.model.endpoints()).toEqual([]);
    expect(plugin.realizer.owners.size).toBe(0);
  });

  it('goes though the kernel refuses at first', async () => {
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    plugin.realizer.failingRemovals = 1;
    await plugin.ok('NetworkDriver.DeleteNetwork', { NetworkID: NET });
    expect(plugin.model.networks()).toEqual([]);
  });
});

describe('an endpoint', () => {
  beforeEach(() => plugin.ok('NetworkDriver.CreateNetwork', network(NET)));

  it('has a MAC of ours where Docker has none, and none comes back where it has', async () => {
    const derived = await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.50.0.2'));
    expect(derived).toEqual({ Interface: { MacAddress: '02:42:0a:32:00:02' } });
    const given = endpoint(2, '10.50.0.3', [], NET, '02:aa:bb:cc:dd:01');
    expect(await plugin.ok('NetworkDriver.CreateEndpoint', given)).toEqual({ Interface: {} });
    expect(plugin.model.endpoint(endpointId(2)).mac).toBe('02:aa:bb:cc:dd:01');
  });

  it('joins a sandbox that need not be there yet, by a pair of which one end is Docker’s', async () => {
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.50.0.2'));
    const answer = await plugin.ok('NetworkDriver.Join', join(1, 'box'));
    const name = `slp${endpointId(1).slice(0, 11)}`;
    expect(answer).toEqual({ InterfaceName: { SrcName: name, DstPrefix: 'eth' }, Gateway: '10.50.0.1' });
    expect(plugin.realizer.rows('lent-port')).toMatchObject([
      { peer: name, mac: '02:42:0a:32:00:02', make: false },
    ]);
    const made = plugin.realizer.applied.flatMap(({ rows }) =>
      rows.filter(({ kind }) => kind === 'lent-port'),
    );
    expect(made).toMatchObject([{ make: true }, { make: false }]);
    expect(plugin.model.sandboxes()).toMatchObject([{ name: 'docker-box', origin: 'docker' }]);
    expect(await plugin.ok('NetworkDriver.Join', join(1, 'box'))).toEqual(answer);
    expect(plugin.realizer.rows('lent-port')).toHaveLength(1);
  });

  it('gets no way out on an internal network, and no ports', async () => {
    const internal = { 'com.docker.network.internal': true };
    await plugin.ok('NetworkDriver.CreateNetwork', network(OTHER_NET, '10.51.0.0/24', {}, internal));
    const list = [port(8080, 80)];
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.51.0.2', list, OTHER_NET));
    const answer = await plugin.ok('NetworkDriver.Join', join(1, 'box', list, OTHER_NET));
    expect(Object.keys(answer)).toEqual(['InterfaceName']);
    expect(plugin.model.endpoint(endpointId(1)).ports).toEqual([]);
  });

  it('is published at once where there is no gateway, since Docker will not ask for it', async () => {
    const { IPv4Data, ...rest } = network(OTHER_NET, '10.51.0.0/24');
    await plugin.ok('NetworkDriver.CreateNetwork', {
      ...rest,
      IPv4Data: IPv4Data.map(({ Pool }) => ({ Pool })),
    });
    const list = [port(8080, 80)];
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.51.0.2', list, OTHER_NET));
    const answer = await plugin.ok('NetworkDriver.Join', join(1, 'box', list, OTHER_NET));
    expect(answer).toMatchObject({ DisableGatewayService: true });
    expect(published()).toEqual([[8080, 8080, 80, '10.51.0.2']]);
  });

  it('that another one forgot to leave its address to takes it', async () => {
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.50.0.2'));
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(2, '10.50.0.2'));
    expect(plugin.model.endpoints().map(({ id }) => id)).toEqual([endpointId(2)]);
  });

  it('does not take the address of one that is alive', async () => {
    await start(1, '10.50.0.2');
    expect(await plugin.refused('NetworkDriver.CreateEndpoint', endpoint(2, '10.50.0.2'))).toMatch(
      /10\.50\.0\.2 belongs to endpoint 'docker-/,
    );
    expect(plugin.model.endpoints()).toHaveLength(1);
  });

  it('is refused for a --driver-opt that nobody knows', async () => {
    const request = {
      ...endpoint(1, '10.50.0.2'),
      Options: { colour: 'red', 'com.docker.network.endpoint.sysctls': 'x' },
    };
    expect(await plugin.refused('NetworkDriver.CreateEndpoint', request)).toMatch(
      /'colour' is not an option/,
    );
  });

  it.each(['Leave', 'DeleteEndpoint', 'RevokeExternalConnectivity', 'EndpointOperInfo'])(
    'that nobody knows does not fail %s',
    async (method) => {
      await plugin.ok(`NetworkDriver.${method}`, ref(9));
    },
  );

  it.each(['Join', 'ProgramExternalConnectivity'])('that nobody knows fails %s', async (method) => {
    const why = await plugin.refused(`NetworkDriver.${method}`, { ...join(9, 'box'), Options: {} });
    expect(why).toMatch(/sluice does not know this endpoint, though Docker does; restart the container/);
  });

  it('may be removed without having left', async () => {
    await start(1, '10.50.0.2');
    await plugin.ok('NetworkDriver.DeleteEndpoint', ref(1));
    expect(plugin.model.sandboxes()).toEqual([]);
    expect(plugin.realizer.rows('lent-port')).toEqual([]);
    await start(2, '10.50.0.2');
  });

  it.each(['lent-port', 'dp-endpoint', 'publish'] as const)(
    'leaves nothing half-made when %s fails',
    async (kind) => {
      const list = [port(8080, 80)];
      await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.50.0.2', list));
      plugin.realizer.failing = { kind, times: 1 };
      const at = kind === 'publish' ? 'ProgramExternalConnectivity' : 'Join';
      if (at !== 'Join') await plugin.ok('NetworkDriver.Join', join(1, 'box', list));
      const before = JSON.stringify([plugin.model.endpoints(), plugin.model.sandboxes()]);
      await plugin.refused(`NetworkDriver.${at}`, join(1, 'box', list));
      expect(JSON.stringify([plugin.model.endpoints(), plugin.model.sandboxes()])).toBe(before);
      expect(published()).toEqual([]);
      await plugin.ok('NetworkDriver.DeleteEndpoint', ref(1));
      await start(2, '10.50.0.2');
    },
  );

  it.each([1, 2, 3])('is there or not there when the store fails at write %d', async (failAfter) => {
    const store = new FaultyStore();
    plugin = await startPlugin({ store });
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    store.failAfter = failAfter;
    for (const call of [
      () => plugin.call('NetworkDriver.CreateEndpoint', endpoint(1, '10.50.0.2', [port(8080, 80)])),
      () => plugin.call('NetworkDriver.Join', join(1, 'box', [port(8080, 80)])),
      () => plugin.call('NetworkDriver.ProgramExternalConnectivity', program(1, [port(8080, 80)])),
    ]) {
      await call();
      const again = await startPlugin({ store, host: plugin.host, clock: plugin.clock });
      expect(again.model.endpoints()).toEqual(plugin.model.endpoints());
    }
    await plugin.ok('NetworkDriver.DeleteEndpoint', ref(1));
    await start(2, '10.50.0.2');
  });
});

describe('ports', () => {
  beforeEach(async () => {
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    await plugin.ok('NetworkDriver.CreateNetwork', network(OTHER_NET, '10.51.0.0/24'));
  });

  it('are reserved with the endpoint, open with its connectivity, close and stay reserved, and go', async () => {
    const list = [port(8080, 80)];
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(1, '10.50.0.2', list));
    expect(published()).toEqual([]);
    expect(plugin.model.endpoint(endpointId(1)).ports).toMatchObject([{ hostPort: 8080, port: 80 }]);
    await plugin.ok('NetworkDriver.Join', join(1, 'box', list));
    expect(published()).toEqual([]);
    await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(1, list));
    expect(published()).toEqual([[8080, 8080, 80, '10.50.0.2']]);
    await plugin.ok('NetworkDriver.RevokeExternalConnectivity', ref(1));
    expect(published()).toEqual([]);
    expect(await plugin.refused('NetworkDriver.CreateEndpoint', endpoint(2, '10.50.0.3', list))).toMatch(
      /host port 8080\/tcp is published by endpoint 'docker-/,
    );
    await plugin.ok('NetworkDriver.Leave', ref(1));
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(2, '10.50.0.3', list));
  });

  it('of a range are one row, in whatever order they come', async () => {
    const list = [port(7002, 7002), port(7000, 7000), port(7001, 7001), port(9000, 7000)];
    await start(1, '10.50.0.2', list);
    expect(published().sort()).toEqual([
      [7000, 7002, 7000, '10.50.0.2'],
      [9000, 9000, 7000, '10.50.0.2'],
    ]);
    await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(1, [...list].reverse()));
    expect(published()).toHaveLength(2);
  });

  it('are chosen where Docker leaves a choice', async () => {
    plugin.host.sockets.push({ protocol: 'tcp', address: '0.0.0.0', port: 8100 });
    const choice = port(8100, 80, { HostPortEnd: 8101 });
    await start(1, '10.50.0.2', [choice, port(0, 81), port(53, 53, { Proto: 17, HostIP: '127.0.0.1' })]);
    expect(plugin.model.endpoint(endpointId(1)).ports).toMatchObject([
      { protocol: 'udp', hostIp: '127.0.0.1', hostPort: 53 },
      { port: 80, hostPort: 8101 },
      { port: 81, hostPort: 49153 },
    ]);
    expect(await plugin.refused('NetworkDriver.CreateEndpoint', endpoint(2, '10.50.0.3', [choice]))).toMatch(
      /every host port of 8100-8101\/tcp is taken/,
    );
  });

  it.each([
    [{ HostIP: 'ff02::1' }, /is not an address of a host/],
    [{ HostIP: 'nonsense' }, /is not an IPv4 address/],
    [{ HostIP: '::' }, /has no IPv6 address/],
    [{ Proto: 1 }, /port 80 of protocol 1 cannot be published/],
    [{ Proto: 132 }, /an SCTP port is published on the host's port of the same number only/],
  ])('of %o are refused', async (more, why) => {
    const request = endpoint(1, '10.50.0.2', [port(8080, 80, more)]);
    expect(await plugin.refused('NetworkDriver.CreateEndpoint', request)).toMatch(why);
    expect(plugin.model.endpoints()).toEqual([]);
  });

  it('that a process of the host holds are refused with the endpoint', async () => {
    plugin.host.sockets.push({ protocol: 'tcp', address: '0.0.0.0', port: 8080 });
    const why = await plugin.refused(
      'NetworkDriver.CreateEndpoint',
      endpoint(1, '10.50.0.2', [port(8080, 80)]),
    );
    expect(why).toMatch(/host port 8080\/tcp is held by a process of this host/);
    expect(plugin.model.endpoints()).toEqual([]);
  });

  it('move with the way out from one network of a container to another, an ephemeral one too', async () => {
    const list = [port(8080, 80), port(0, 81)];
    await start(1, '10.50.0.2', list);
    const ephemeral = plugin.model.endpoint(endpointId(1)).ports.find((p) => p.port === 81)
      ?.hostPort as number;
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(2, '10.51.0.2', list, OTHER_NET));
    await plugin.ok('NetworkDriver.Join', join(2, 'box1', list, OTHER_NET));
    expect(published()).toHaveLength(2);
    await plugin.ok('NetworkDriver.RevokeExternalConnectivity', ref(1));
    await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(2, list, OTHER_NET));
    expect(published().sort()).toEqual([
      [ephemeral, ephemeral, 81, '10.51.0.2'],
      [8080, 8080, 80, '10.51.0.2'],
    ]);
    expect(plugin.model.endpoint(endpointId(1)).ports).toEqual([]);
    await plugin.ok('NetworkDriver.RevokeExternalConnectivity', ref(2, OTHER_NET));
    await plugin.ok('NetworkDriver.Leave', ref(2, OTHER_NET));
    await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(1, list));
    expect(published().sort()).toEqual([
      [ephemeral, ephemeral, 81, '10.50.0.2'],
      [8080, 8080, 80, '10.50.0.2'],
    ]);
    await plugin.ok('NetworkDriver.DeleteEndpoint', ref(2, OTHER_NET));
    const again = await startPlugin({ store: plugin.store, host: plugin.host, clock: plugin.clock });
    expect(again.model.endpoints()).toEqual(plugin.model.endpoints());
  });

  it('move though Docker does not revoke them first', async () => {
    const list = [port(8080, 80)];
    await start(1, '10.50.0.2', list);
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(2, '10.51.0.2', list, OTHER_NET));
    await plugin.ok('NetworkDriver.Join', join(2, 'box1', list, OTHER_NET));
    await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(2, list, OTHER_NET));
    expect(published()).toEqual([[8080, 8080, 80, '10.51.0.2']]);
    plugin.realizer.failing = { kind: 'publish', times: 1 };
    await plugin.refused('NetworkDriver.ProgramExternalConnectivity', program(1, list));
    expect(published()).toEqual([[8080, 8080, 80, '10.51.0.2']]);
    await plugin.ok('NetworkDriver.ProgramExternalConnectivity', program(1, list));
    expect(published()).toEqual([[8080, 8080, 80, '10.50.0.2']]);
  });

  it('of two containers on two networks are refused when the second one joins', async () => {
    const list = [port(8080, 80)];
    await start(1, '10.50.0.2', list);
    await plugin.ok('NetworkDriver.CreateEndpoint', endpoint(2, '10.51.0.2', list, OTHER_NET));
    expect(await plugin.refused('NetworkDriver.Join', join(2, 'another', list, OTHER_NET))).toMatch(
      /host port 8080\/tcp is published by endpoint/,
    );
    await plugin.ok('NetworkDriver.DeleteEndpoint', ref(2, OTHER_NET));
    expect(published()).toEqual([[8080, 8080, 80, '10.50.0.2']]);
  });

  it('of an endpoint that lost its pair go to the next that asks', async () => {
    const list = [port(8080, 80)];
    await start(1, '10.50.0.2', list);
    plugin.host.lost.add(`slv${endpointId(1).slice(0, 11)}`);
    await start(2, '10.50.0.3', list);
    expect(plugin.model.endpoints().map(({ id }) => id)).toEqual([endpointId(2)]);
  });
});
