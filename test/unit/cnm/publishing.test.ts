// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import { type Bench, failure, made, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  await made(bench.model.createNetwork({ name: 'web' }));
  for (const name of ['a', 'b']) {
    await made(bench.model.createSandbox({ name }));
    await made(bench.model.connect(name, { network: 'web', name }));
  }
});
const publish = (endpoint: string, ...ports: string[]) => made(bench.model.publish(endpoint, ports));
const unpublish = (endpoint: string, ...ports: string[]) => made(bench.model.unpublish(endpoint, ports));
const published = (endpoint: string) =>
  bench.model
    .endpoint(endpoint)
    .ports.map(({ hostIp, hostPort, hostPortEnd, port, portEnd, protocol }) =>
      [hostIp, `${hostPort}-${hostPortEnd}`, `${port}-${portEnd}`, protocol].join(' '),
    );

describe('publish', () => {
  test('adds to a live endpoint, and touches that one only', async () => {
    bench.realizer.applied.length = 0;
    await publish('a', '8080:80');
    await publish('a', '127.0.0.1:8081:81/udp');
    expect(bench.realizer.applied.map(({ owner }) => owner.id)).toEqual(
      Array(2).fill(bench.model.endpoint('a').id),
    );
    expect(bench.realizer.rows('publish').map(({ hostPort }) => hostPort)).toEqual([8080, 8081]);
    expect(published('a')).toEqual([' 8080-8080 80-80 tcp', '127.0.0.1 8081-8081 81-81 udp']);
  });

  test('keeps named ports from its own ephemeral ones', async () => {
    await publish('a', '80', '49153:81', '82');
    expect(published('a')).toEqual([
      ' 49154-49154 80-80 tcp',
      ' 49153-49153 81-81 tcp',
      ' 49155-49155 82-82 tcp',
    ]);
  });

  test('gives a range in a row, also an ephemeral one', async () => {
    bench.host.sockets = [{ protocol: 'udp', address: '::', port: 49160 }];
    await publish('a', '7000-7009/udp');
    expect(published('a')).toEqual([' 49161-49170 7000-7009 udp']);
  });

  test('uses the host address of the network for mappings without one', async () => {
    const options = { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1' };
    await made(bench.model.createNetwork({ name: 'local', options }));
    await made(bench.model.createSandbox({ name: 'c' }));
    await made(
      bench.model.connect('c', { network: 'local', name: 'c', ports: ['8080:80', '192.0.2.1:8080:80'] }),
    );
    expect(published('c')).toEqual(['127.0.0.1 8080-8080 80-80 tcp', '192.0.2.1 8080-8080 80-80 tcp']);
    expect(bench.realizer.rows('publish').map(({ hostIp }) => hostIp)).toEqual(['127.0.0.1', '192.0.2.1']);
    await unpublish('c', '127.0.0.1:8080:80');
  });

  test.each([
    ['a mapping that is there', ['8080:80'], 'conflict', "endpoint 'a' publishes 8080:80/tcp already"],
    ['the same in other words', ['8080-8080:80/TCP'], 'conflict', 'already'],
    ['the same on every IPv4 address', ['0.0.0.0:8080:80/tcp'], 'port_taken', "endpoint 'a'"],
    ['an IPv6 address without having one', ['[2001:db8::1]:8081:81'], 'invalid_argument', 'no IPv6 address'],
    ['every IPv6 address without having one', ['[::]:8081:81'], 'invalid_argument', 'no IPv6 address'],
    ['SCTP on another port', ['8080:80/sctp'], 'invalid_argument', 'SCTP port is published on'],
    ['SCTP on whatever port', ['80/sctp'], 'invalid_argument', 'SCTP port is published on'],
    ['the same host port for another one', ['8080:81'], 'port_taken', "endpoint 'a'"],
    ['a host port of another endpoint', ['9090:80'], 'port_taken', "endpoint 'b'"],
    ['a range around it', ['9000-9100:1000-1100'], 'port_taken', '9090/tcp'],
    ['a process’s port', ['192.0.2.1:2222:22'], 'port_taken', '2222/tcp is held by a process'],
    ['nothing', [], 'invalid_argument', 'no port mapping'],
  ])('refuses %s', async (_, ports, code, message) => {
    bench.host.sockets = [{ protocol: 'tcp', address: '0.0.0.0', port: 2222 }];
    await publish('a', '8080:80');
    await publish('b', '9090:80');
    const before = await snapshot(bench);
    const error = await failure(bench.model.publish('a', ports));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
    expect(await snapshot(bench)).toBe(before);
  });

  test('tells every address from every address of one family', async () => {
    await made(bench.model.createNetwork({ name: 'six', ipv6: true }));
    await made(bench.model.createSandbox({ name: 'c' }));
    await made(bench.model.connect('c', { network: 'six', name: 'c' }));
    await publish(
      'c',
      '0.0.0.0:8080:80',
      '[::]:8080:80',
      '8081:80',
      '[2001:DB8:0::1]:8082:80',
      '[::1]:8082:80',
    );
    const texts = ['0.0.0.0', '::', '', '2001:db8::1', '::1'];
    expect(bench.model.endpoint('c').ports.map(({ hostIp }) => hostIp)).toEqual(texts);
    expect(bench.realizer.rows('publish').map(({ hostIp }) => hostIp)).toEqual(
      texts.map((text) => (text === '' ? null : text)),
    );
    const ipv6 = bench.model.endpoint('c').ipv6;
    expect(bench.realizer.rows('publish').map((row) => row.ipv6)).toEqual(Array(5).fill(ipv6));
    expect((await failure(bench.model.publish('a', ['8082:80']))).code).toBe('port_taken');
    await unpublish('c', '[::]:8080:80');
    expect(bench.model.endpoint('c').ports.map(({ hostIp }) => hostIp)).toEqual([
      '0.0.0.0',
      '',
      '2001:db8::1',
      '::1',
    ]);
  });

  test.each([
    ['the gateway', '10.64.0.1', /is the gateway of network 'web'/],
    ['a container', '10.64.0.2', /belongs to network 'web'/],
    ['a virtual address', '10.64.0.200', /belongs to network 'web'/],
    ['a broadcast address of a network', '10.64.0.255', /belongs to network 'web'/],
    ['an IPv6 gateway', '[fd00:7::1]', /is the gateway of network 'six'/],
    ['a broadcast address of a link', '198.51.100.255', /is a broadcast address/],
    ['the broadcast address of all links', '255.255.255.255', /is not an address of a host/],
    ['multicast', '224.0.0.1', /is not an address of a host/],
    ['a metadata service', '169.254.169.254', /is that of a cloud's metadata service/],
    ['a metadata service of IPv6', '[fd00:ec2:0::254]', /is that of a cloud's metadata service/],
    ['another machine', '198.51.100.7', /is not an address of this host/],
  ])('is refused at %s', async (_, hostIp, why) => {
    const subnets = [{ cidr: '10.5.0.0/24' }, { cidr: 'fd00:7::/64' }];
    await made(bench.model.createNetwork({ name: 'six', subnets }));
    await made(bench.model.connect('a', { network: 'six', name: 'a6' }));
    bench.host.places.set('198.51.100.255', 'broadcast').set('198.51.100.7', 'elsewhere');
    const before = await snapshot(bench);
    const error = await failure(publish('a6', `${hostIp}:8080:80`));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'ports[0]' });
    expect(error.message).toMatch(why);
    expect(error.hint).toBeTruthy();
    expect(await snapshot(bench)).toBe(before);
    await publish('a6', '192.0.2.1:8080:80', '[2001:db8::1]:8080:80');
  });

  test('is refused for a network whose ports would be at such an address', async () => {
    bench.host.places.set('198.51.100.7', 'elsewhere');
    const options = { 'com.docker.network.bridge.host_binding_ipv4': '198.51.100.7' };
    const error = await failure(made(bench.model.createNetwork({ name: 'local', options })));
    expect(error.message).toMatch(/is not an address of this host/);
    expect(error.field).toBe('options.com.docker.network.bridge.host_binding_ipv4');
  });

  test.each([
    [
      'automatic ports',
      '10000-60999:10000-60999/udp',
      /TCP and UDP.* would have 0 ports left/,
      /ip_local_port_range="1024 65535"/,
    ],
    [
      'automatic ports, by TCP',
      '32768-60000:32768-60000',
      /would have 999 ports left/,
      /ip_local_port_range/,
    ],
    [
      'source ports of containers',
      '36000-65535:36000-65535/udp',
      /UDP of containers.* would have 3232 ports left/,
      /--masquerade-ports 1024-65535/,
    ],
    [
      'all there are',
      '1024-65535:1024-65535/udp',
      /would have 0 ports left/,
      /^publish fewer ports, or others$/,
    ],
  ])('leaves others a part of %s', async (_, ports, why, hint) => {
    if (/containers/.test(_)) bench.host.ranges = { automatic: { first: 1024, last: 35999 }, reserved: '' };
    const before = await snapshot(bench);
    const error = await failure(publish('a', ports));
    expect(error).toMatchObject({ code: 'conflict', field: 'ports[0]' });
    expect(error.message).toMatch(why);
    expect(error.hint).toMatch(hint);
    expect(await snapshot(bench)).toBe(before);
  });

  test('counts what is published and reserved already, and gives back what goes', async () => {
    bench.host.ranges = { automatic: { first: 32768, last: 60999 }, reserved: '60000-60999' };
    await publish('a', '32768-50000:32768-50000/udp');
    expect((await failure(publish('b', '50001-56000:1-6000'))).message).toMatch(/would have 3999 ports left/);
    await publish('b', '50001-55000:1-5000');
    await unpublish('a', '32768-50000:32768-50000/udp');
    await publish('b', '55001-56000:5001-6000');
  });

  test('takes SCTP on the same port, whoever has that of TCP', async () => {
    await publish('a', '8080:80');
    await publish('b', '8080:8080/sctp', '3000-3009:3000-3009/sctp');
    expect(published('b')).toEqual([' 8080-8080 8080-8080 sctp', ' 3000-3009 3000-3009 sctp']);
    expect((await failure(bench.model.publish('a', ['8080:8080/sctp']))).code).toBe('port_taken');
    await unpublish('b', '8080/sctp');
  });

  test('keeps the sources that may use a port with it', async () => {
    const allow = ['192.0.2.0/24', '198.51.100.7', '2001:DB8::/32', '192.0.2.0/24', '2001:db8::1'];
    await made(bench.model.publish('a', ['8080:80', '8081:81'], false, allow));
    await publish('a', '8082:82');
    const read = ['192.0.2.0/24', '198.51.100.7/32', '2001:db8::/32', '2001:db8::1/128'];
    expect(bench.model.endpoint('a').ports.map((port) => port.allow)).toEqual([read, read, []]);
    expect(bench.realizer.rows('publish').map((row) => row.allow)).toEqual([read, read, []]);
    await made(
      bench.model.createEndpoint({ name: 'e', network: 'web', ports: ['83'], allow: ['10.0.0.0/8'] }),
    );
    expect(bench.model.endpoint('e').ports[0]?.allow).toEqual(['10.0.0.0/8']);
    const again = await startModel({ store: bench.store, host: bench.host });
    expect(again.model.endpoint('a').ports.map((port) => port.allow)).toEqual([read, read, []]);
  });

  test.each([
    [['192.0.2.1/24'], 'allow[0]', /behind its prefix/],
    [['192.0.2.0/24', 'office'], 'allow[1]', /'office' is not a range/],
    [[''], 'allow[0]', /not a range/],
    [['10.0.0.0/33'], 'allow[0]', /not a range/],
    [['::ffff:10.0.0.0/104'], 'allow[0]', /stands for IPv4/],
    [Array.from({ length: 17 }, (_, i) => `10.0.${i}.0/24`), 'allow', /17 allowed sources, 16 at most/],
  ])('refuses the sources %j', async (allow, field, message) => {
    const before = await snapshot(bench);
    const error = await failure(bench.model.publish('a', ['8080:80'], false, allow));
    expect(error).toMatchObject({ code: 'invalid_argument', field });
    expect(error.message).toMatch(message);
    expect(await snapshot(bench)).toBe(before);
  });

  test('refuses sources without ports', async () => {
    const error = await failure(
      bench.model.createEndpoint({ name: 'e', network: 'web', allow: ['10.0.0.0/8'] }),
    );
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'allow' });
  });

  test('reserves for an endpoint that has not joined', async () => {
    await made(bench.model.leave('b'));
    await publish('b', '9090:80');
    expect(bench.realizer.rows('publish')).toEqual([]);
    expect((await failure(bench.model.publish('a', ['9090:80']))).code).toBe('port_taken');
    await made(bench.model.join('b', 'b'));
    expect(bench.realizer.rows('publish')).toHaveLength(1);
  });

  test('makes one object of 10,000 ports, in no time', async () => {
    const start = performance.now();
    await publish('a', '10000-19999:20000-29999');
    expect(performance.now() - start).toBeLessThan(50);
    expect(bench.model.endpoint('a').ports).toEqual([
      {
        hostIp: '',
        hostPort: 10000,
        hostPortEnd: 19999,
        port: 20000,
        portEnd: 29999,
        protocol: 'tcp',
        allow: [],
      },
    ]);
    expect(bench.realizer.rows('publish')).toHaveLength(1);
    // Once warm, planning and allocating take microseconds.
    const warm = performance.now();
    for (let i = 0; i < 20; i++) await bench.model.publish('b', ['30000-39999:1000-10999'], true);
    expect((performance.now() - warm) / 20).toBeLessThan(5);
  });
});

describe('unpublish', () => {
  beforeEach(() =>
    publish(
      'a',
      '8080:80',
      '81',
      '9000-9009:90-99/udp',
      '127.0.0.1:8082:82',
      '192.0.2.1:8082:82',
      '8083:83',
      '8084:83',
    ),
  );

  test.each([
    ['both sides', '8080:80', 8080],
    ['the container’s side', '80', 8080],
    ['an ephemeral one by its container port', '81/tcp', 49153],
    ['an ephemeral one by its host port', '49153:81', 49153],
    ['a range', '9000-9009:90-99/udp', 9000],
    ['a range by its container ports', '90-99/udp', 9000],
    ['a host address', '192.0.2.1:8082:82', 8082],
    ['a host port among several', '8084:83', 8084],
  ])('takes %s', async (_, spec, hostPort) => {
    const left = await unpublish('a', spec);
    expect(left.ports).toHaveLength(6);
    const [, protocol = 'tcp'] = spec.split('/');
    expect(
      left.ports.filter((port) => port.hostPort === hostPort && port.protocol === protocol),
    ).toHaveLength(hostPort === 8082 ? 1 : 0);
    expect(bench.realizer.rows('publish')).toHaveLength(6);
    // It is free again at once.
    if (hostPort < 49153) await publish('b', hostPort === 8082 ? spec : `${hostPort}:1/${protocol}`);
  });

  test.each([
    ['another host port', '8081:80', 'not_found'],
    ['another protocol', '8080:80/udp', 'not_found'],
    ['another container port', '8080:81', 'not_found'],
    ['another address', '127.0.0.1:8080:80', 'not_found'],
    ['a part of a range', '9001:91/udp', 'not_found'],
    ['one of several', '83', 'ambiguous'],
    ['one of several addresses', '8082:82', 'ambiguous'],
    ['nonsense', 'x', 'invalid_argument'],
  ])('refuses %s', async (_, spec, code) => {
    const before = await snapshot(bench);
    const error = await failure(bench.model.unpublish('a', [spec]));
    expect(error.code).toBe(code);
    expect(error.hint).toBeTruthy();
    expect(await snapshot(bench)).toBe(before);
  });

  test('takes all or none', async () => {
    const before = await snapshot(bench);
    expect((await failure(bench.model.unpublish('a', ['8080:80', '7:7']))).code).toBe('not_found');
    expect((await failure(bench.model.unpublish('a', ['8080:80', '80']))).code).toBe('not_found');
    expect(await snapshot(bench)).toBe(before);
    expect((await unpublish('a', '8080:80', '81')).ports).toHaveLength(5);
  });

  test('prefers the mapping on every address', async () => {
    await made(bench.model.publish('b', ['127.0.0.1:7000:70', '192.0.2.1:7001:70', '7002:70']));
    expect((await unpublish('b', '70')).ports.map(({ hostPort }) => hostPort)).toEqual([7000, 7001]);
  });

  test('of an endpoint that goes frees its ports', async () => {
    await made(bench.model.leave('a'));
    await bench.model.removeEndpoint('a');
    await publish('b', '8080:80', '9005:5/udp', '8082:82');
  });
});
