// SPDX-License-Identifier: Apache-2.0
/** Published ports from the host itself: what its programs reach, see and may not take. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must, run } from '../support/process.js';
import { EXT1, EXT3, HOST, HOST2, Testbed } from '../support/testbed.js';

const SCRIPT = join(import.meta.dirname, '../support/sockets.py');
const RESERVED = 'net.ipv4.ip_local_reserved_ports';
const RANGE = 'net.ipv4.ip_local_port_range';
const SERVERS = join(import.meta.dirname, '../support/servers.py');
const GATEWAY = '10.64.0.1';
const SUBNET6 = 'fd00:64::/64';
const GATEWAY6 = 'fd00:64::1';
const HOST6 = '2001:db8:77::1';
const HOST26 = '2001:db8:88::1';
const EXT16 = '2001:db8:77::2';

interface Seen {
  error?: string;
  peer?: string;
  from?: string;
  data?: string;
  body?: string;
  bound?: string;
  ports?: number[];
}

const sockets = (ns: string, ...args: string[]): Seen =>
  JSON.parse(must(ns, ['/usr/bin/python3', SCRIPT, ...args])) as Seen;
/** What nobody is to answer. */
const unanswered = (ns: string, ...args: string[]): string | undefined =>
  (JSON.parse(must(ns, ['env', 'PATIENCE=2', '/usr/bin/python3', SCRIPT, ...args])) as Seen).error;
const sysctl = (ns: string, key: string): string => must(ns, ['sysctl', '-n', key]).trim();
const setSysctl = (ns: string, key: string, value: string): void => {
  must(ns, ['sysctl', '-qw', `${key}=${value}`]);
};

interface Link {
  id: number;
  prog_id: number;
  type: string;
  pinned?: string[];
}
const allLinks = (): Link[] => JSON.parse(must(null, ['bpftool', '-f', '-j', 'link', 'show'])) as Link[];
/** Those of one daemon on cgroups; others may run on this machine. */
const socketLinks = (of: Testbed): Link[] =>
  allLinks().filter((l) => l.type === 'cgroup' && l.pinned?.some((pin) => pin.startsWith(`${of.bpffs}/`)));
const idsOf = (links: Link[]): number[] => links.map(({ id }) => id).sort((a, b) => a - b);
/** Programs that bpftool finds on the machine's cgroups. */
const programsInTree = (): number[] =>
  [...must(null, ['bpftool', 'cgroup', 'tree']).matchAll(/^ *(\d+) +cgroup_/gm)].map(([, id]) => Number(id));
const HOOKS = [
  'bind4',
  'bind6',
  'connect4',
  'connect6',
  'getpeername4',
  'getpeername6',
  'recvmsg4',
  'recvmsg6',
  'sendmsg4',
  'sendmsg6',
];
let bed: Testbed;
let box: { ns: string; ip: string; ip6: string };

/** One of each kind in either family, under the same names. */
interface Family {
  readonly loopback: string;
  readonly host: string;
  readonly host2: string;
  readonly any: string;
  readonly gateway: string;
  readonly ext1: string;
  /** The port that is published in this family only. */
  readonly own: string;
  readonly others: string;
  readonly box: () => string;
}
const IPV4: Family = {
  loopback: '127.0.0.1',
  host: HOST,
  host2: HOST2,
  any: '0.0.0.0',
  gateway: GATEWAY,
  ext1: EXT1,
  own: '8084',
  others: '8086',
  box: () => box.ip,
};
const IPV6: Family = {
  loopback: '::1',
  host: HOST6,
  host2: HOST26,
  any: '::',
  gateway: GATEWAY6,
  ext1: EXT16,
  own: '8086',
  others: '8084',
  box: () => box.ip6,
};
const FAMILIES: [string, Family][] = [
  ['IPv4', IPV4],
  ['IPv6', IPV6],
];
const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address);

beforeAll(async () => {
  bed = await Testbed.start({ daemon: false, daemonFlags: ['--metrics', '127.0.0.1:9477'] });
  for (const [ns, device, address] of [
    [bed.host, 'up0', HOST6],
    [bed.host, 'up1', HOST26],
    [bed.ext1, 'eth0', EXT16],
  ] as const)
    must(ns, ['ip', 'addr', 'add', `${address}/64`, 'dev', device, 'nodad']);
  await bed.startDaemon();
  bed.ok('network', 'create', 'web', '--subnet', SUBNET6);
  const ports = ['8080:80', '5300:53/udp', '7000-7009:9000-9009', '0.0.0.0:8084:80', '[::]:8086:80'];
  for (const { host, loopback } of [IPV4, IPV6])
    ports.push(`${bracketed(host)}:8181:80`, `${bracketed(loopback)}:8182:80`);
  const made = bed.container('box', 'web', ...ports.flatMap((port) => ['-p', port]));
  const [endpoint] = JSON.parse(bed.ok('endpoint', 'inspect', `web.${made.ns}`)) as [{ ipv6: string }];
  box = { ...made, ip6: endpoint.ipv6 };
  await bed.web(box.ns, 80);
  await bed.udpEcho(box.ns, 53);
  for (const server of [
    ['web', '80'],
    ['udp', '53'],
  ])
    await bed.background(box.ns, ['/usr/bin/python3', SERVERS, ...server, '::']).says(/ready/);
});
afterAll(() => bed?.stop());

/** What has to hold whether the daemon lives or not. */
function reaches(): void {
  describe.each(FAMILIES)('TCP over %s', (_, f) => {
    it('reaches the container at every address of the host', () => {
      for (const name of [f.loopback, f.host, f.host2, f.any])
        expect(bed.curl(bed.host, `http://${bracketed(name)}:8080/`).out).toBe(f.gateway);
    });

    it('leaves a program in the belief that it talks to what it named', () => {
      for (const [name, port] of [
        [f.loopback, '8080'],
        [f.host, '8080'],
        [f.box(), '80'],
      ] as const)
        expect(sockets(bed.host, 'tcp', name, port)).toEqual({ peer: `${name} ${port}`, body: f.gateway });
    });

    it('keeps the source that a program has bound', () => {
      expect(sockets(bed.host, 'tcp', f.host, '8080', f.host2).body).toBe(f.host2);
    });

    it('answers a publish on one address at that address only', () => {
      expect(sockets(bed.host, 'tcp', f.host, '8181').peer).toBe(`${f.host} 8181`);
      expect(sockets(bed.host, 'tcp', f.host2, '8181').error).toBe('ECONNREFUSED');
      expect(sockets(bed.host, 'tcp', f.loopback, '8181').error).toBe('ECONNREFUSED');
      expect(sockets(bed.host, 'tcp', f.loopback, '8182').peer).toBe(`${f.loopback} 8182`);
      expect(sockets(bed.host, 'tcp', f.host, '8182').error).toBe('ECONNREFUSED');
    });

    it('answers a publish of one family in that family only', () => {
      for (const name of [f.loopback, f.host, f.any]) {
        expect(sockets(bed.host, 'tcp', name, f.own).body).toBe(f.gateway);
        expect(sockets(bed.host, 'tcp', name, f.others).error).toBe('ECONNREFUSED');
      }
    });

    it('leaves alone what it could not bring there, and what nobody published', () => {
      expect(sockets(bed.host, 'tcp', f.loopback, '8080', f.loopback).error).toBe('ECONNREFUSED');
      expect(sockets(bed.host, 'tcp', f.loopback, '8079').error).toBe('ECONNREFUSED');
      expect(sockets(bed.host, 'tcp', f.loopback, '5300').error).toBe('ECONNREFUSED');
    });

    it('leaves sockets of other namespaces alone', () => {
      expect(sockets(bed.ext1, 'tcp', f.loopback, '8080').error).toBe('ECONNREFUSED');
      expect(sockets(bed.ext1, 'tcp', f.host, '8080')).toEqual({ peer: `${f.host} 8080`, body: f.ext1 });
    });
  });

  describe('TCP', () => {
    it('reaches the container at all of 127.0.0.0/8 and by name', () => {
      for (const name of ['127.9.9.9', 'localhost'])
        expect(bed.curl(bed.host, `http://${name}:8080/`, '-4').out).toBe(GATEWAY);
      expect(sockets(bed.host, 'tcp', '127.0.0.2', '8182').error).toBe('ECONNREFUSED');
    });

    it('does so for IPv6 sockets that name a mapped address', () => {
      expect(sockets(bed.host, 'tcp', '::ffff:127.0.0.1', '8080')).toEqual({
        peer: '::ffff:127.0.0.1 8080',
        body: GATEWAY,
      });
      expect(sockets(bed.host, 'tcp', `::ffff:${HOST}`, '8080').peer).toBe(`::ffff:${HOST} 8080`);
      expect(sockets(bed.host, 'tcp', `::ffff:${HOST}`, IPV4.own).body).toBe(GATEWAY);
      expect(sockets(bed.host, 'tcp', `::ffff:${HOST}`, IPV6.own).error).toBe('ECONNREFUSED');
    });

    it('leaves alone a link-local address, and :: named by a socket that speaks IPv4', () => {
      const [{ addr_info: of }] = JSON.parse(must(bed.host, ['ip', '-j', '-6', 'addr', 'show', 'up0'])) as [
        { addr_info: { local: string; scope: string }[] },
      ];
      const local = of.find(({ scope }) => scope === 'link')?.local;
      expect(sockets(bed.host, 'tcp', `${local}%up0`, '8080').error).toBe('ECONNREFUSED');
      expect(sockets(bed.host, 'connected', `${local}%up0`, '5300').error).toBe('ECONNREFUSED');
      expect(unanswered(bed.host, 'sendto', `${local}%up0`, '5300')).toBe('timeout');
      expect(sockets(bed.host, 'tcp', '::', '8080', `::ffff:${HOST}`).error).toBe('ECONNREFUSED');
    });
  });

  describe('UDP', () => {
    it.each(['127.0.0.1', HOST, '::ffff:127.0.0.1', `::ffff:${HOST}`, '::1', HOST6])(
      'shows the address that was sent to, %s, connected or not',
      (address) => {
        const peer = `${address} 5300`;
        expect(sockets(bed.host, 'sendto', address, '5300')).toEqual({ from: peer, data: 'hello' });
        expect(sockets(bed.host, 'connected', address, '5300')).toEqual({ from: peer, peer, data: 'hello' });
      },
    );

    it.each(FAMILIES)('sends from the address that a program has bound, over %s', (_, f) => {
      expect(sockets(bed.host, 'sendto', f.host, '5300', f.host2).from).toBe(`${f.host} 5300`);
      expect(sockets(bed.host, 'sendto', f.any, '5300').data).toBe('hello');
      expect(unanswered(bed.host, 'sendto', f.loopback, '5300', f.loopback)).toBe('timeout');
    });

    it.each(FAMILIES)("shows the container's address to who named that, over %s", (_, f) => {
      expect(sockets(bed.host, 'sendto', f.box(), '53').from).toBe(`${f.box()} 53`);
      expect(sockets(bed.host, 'connected', f.box(), '53').peer).toBe(`${f.box()} 53`);
    });

    it.each([
      ['socket_peers4', HOST],
      ['socket_peers6', HOST6],
    ])('notes a peer once in %s, however many datagrams go there', (map, host) => {
      const entries = (): number =>
        (
          JSON.parse(
            must(null, ['bpftool', '-j', 'map', 'dump', 'pinned', `${bed.bpffs}/maps/${map}`]),
          ) as unknown[]
        ).length;
      const before = entries();
      expect(sockets(bed.host, 'sendto', host, '5300', '', '50').from).toBe(`${host} 5300`);
      expect(entries()).toBe(before + 1);
    });
  });

  describe('bind', () => {
    it.each([
      ['tcp', '0.0.0.0', '8080'],
      ['tcp', '127.0.0.1', '8080'],
      ['tcp', HOST, '8080'],
      ['tcp', '::', '8080'],
      ['tcp', '::', '8080', 'v6only'],
      ['tcp', '::1', '8080'],
      ['tcp', HOST6, '8080'],
      ['tcp', `::ffff:${HOST}`, '8080'],
      ['tcp', '0.0.0.0', '7009'],
      ['tcp', '::', '7009', 'v6only'],
      ['tcp', '0.0.0.0', '8181'],
      ['tcp', HOST, '8181'],
      ['tcp', '::', '8181'],
      ['tcp', '::', '8181', 'v6only'],
      ['tcp', HOST6, '8181'],
      ['tcp', '127.0.0.1', '8182'],
      ['tcp', '::1', '8182'],
      ['tcp', '0.0.0.0', '8084'],
      ['tcp', '::', '8084'],
      ['tcp', `::ffff:${HOST}`, '8084'],
      ['tcp', '::', '8086'],
      ['tcp', '::', '8086', 'v6only'],
      ['tcp', '::1', '8086'],
      ['udp', '0.0.0.0', '5300'],
      ['udp', '::', '5300'],
      ['udp', '::', '5300', 'v6only'],
      ['udp', '::1', '5300'],
    ])('refuses %s %s %s %s', (...args) => {
      expect(sockets(bed.host, 'bind', ...args).error).toBe('EADDRINUSE');
    });

    it.each([
      ['tcp', '0.0.0.0', '8079'],
      ['tcp', '0.0.0.0', '7010'],
      ['tcp', '::', '7010'],
      ['tcp', '0.0.0.0', '5300'],
      ['tcp', '::', '5300'],
      ['udp', '0.0.0.0', '8080'],
      ['udp', '::', '8080'],
      ['tcp', HOST2, '8181'],
      ['tcp', HOST26, '8181'],
      ['tcp', HOST, '8182'],
      ['tcp', HOST6, '8182'],
      ['tcp', '::', '8084', 'v6only'],
      ['tcp', '::1', '8084'],
      ['tcp', '0.0.0.0', '8086'],
      ['tcp', HOST, '8086'],
      ['tcp', `::ffff:${HOST}`, '8086'],
    ])('grants %s %s %s %s', (...args) => {
      expect(sockets(bed.host, 'bind', ...args).bound).toBe(`${args[1]} ${args[2]}`);
    });

    it.each(FAMILIES)('grants it to other namespaces, over %s', (_, { any }) => {
      expect(sockets(bed.ext1, 'bind', 'tcp', any, '8080').bound).toBe(`${any} 8080`);
      expect(sockets(box.ns, 'bind', 'tcp', any, '8080').bound).toBe(`${any} 8080`);
    });
  });
}

describe('with the daemon', reaches);

describe('publish and unpublish', () => {
  it('takes a port from the host and gives it back', () => {
    const name = `web.${box.ns}`;
    expect(sockets(bed.host, 'bind', 'tcp', '0.0.0.0', '8282').bound).toBe('0.0.0.0 8282');
    bed.ok('publish', name, '8282:80');
    expect(sockets(bed.host, 'bind', 'tcp', '0.0.0.0', '8282').error).toBe('EADDRINUSE');
    expect(sockets(bed.host, 'tcp', '127.0.0.1', '8282').body).toBe(GATEWAY);
    bed.ok('unpublish', name, '8282:80');
    expect(sockets(bed.host, 'bind', 'tcp', '0.0.0.0', '8282').bound).toBe('0.0.0.0 8282');
    expect(sockets(bed.host, 'tcp', '127.0.0.1', '8282').error).toBe('ECONNREFUSED');
  });

  it('is refused where a process was first', async () => {
    const server = await bed.web(bed.host, 8443);
    const refused = bed.cli('publish', `web.${box.ns}`, '8443:80');
    expect(refused.err).toContain('held by a process of this host');
    expect(bed.curl(bed.ext1, `http://${HOST}:8443/`).out).toBe(EXT1);
    await server.stop('SIGKILL');
  });
});

describe('a publish that is limited to some sources', () => {
  it('is open to the host all the same', () => {
    const name = `web.${box.ns}`;
    bed.ok('publish', name, '8484:80', '--allow', '192.0.2.0/24', '--allow', '2001:db8:99::/64');
    expect(bed.curl(bed.ext1, `http://${HOST}:8484/`).code).not.toBe(0);
    expect(bed.curl(bed.ext1, `http://[${HOST6}]:8484/`).code).not.toBe(0);
    for (const [, { loopback, host, gateway }] of FAMILIES)
      for (const address of [loopback, host])
        expect(sockets(bed.host, 'tcp', address, '8484')).toEqual({ peer: `${address} 8484`, body: gateway });
    bed.ok('unpublish', name, '8484:80');
  });
});

describe('a network whose containers do not reach the host', () => {
  it('answers the host at its published ports', async () => {
    bed.ok('network', 'create', 'shy', '-o', 'host-access=false');
    const shy = bed.container('shy', 'shy', '-p', '8585:80', '-p', '5385:53/udp');
    await bed.web(shy.ns, 80);
    await bed.udpEcho(shy.ns, 53);
    expect(sockets(bed.host, 'tcp', '127.0.0.1', '8585').peer).toBe('127.0.0.1 8585');
    expect(sockets(bed.host, 'connected', '127.0.0.1', '5385').data).toBe('hello');
    bed.ok('disconnect', 'shy', shy.ns);
  });
});

describe('a process that contends for the port', () => {
  it('and a publish never have it both', async () => {
    const name = `web.${box.ns}`;
    const rival = bed.background(bed.host, ['/usr/bin/python3', SCRIPT, 'contend', '8383', '60']);
    await rival.says(/ready/);
    let won = 0;
    for (let round = 0; round < 40 && won < 6; round++) {
      if (bed.cli('publish', name, '8383:80').code !== 0) continue;
      won++;
      expect(must(bed.host, ['ss', '-Hltn', 'sport', '=', ':8383'])).toBe('');
      expect(sockets(bed.host, 'tcp', '127.0.0.1', '8383').body).toBe(GATEWAY);
      bed.ok('unpublish', name, '8383:80');
    }
    expect(won).toBe(6);
    await rival.stop('SIGKILL');
  });
});

describe('a forged packet to 127.0.0.1', () => {
  it.each(['0', '1'])('never arrives in the container, route_localnet %s', async (localnet) => {
    setSysctl(bed.host, 'net.ipv4.conf.all.route_localnet', localnet);
    try {
      const inside = await bed.capture(box.ns, 'eth0', `host ${EXT3}`);
      const atHost = await bed.capture(bed.host, 'up1', `src host ${EXT3}`);
      const link = JSON.parse(must(bed.host, ['ip', '-j', 'link', 'show', 'up1'])) as [{ address: string }];
      const packet = (dst: string, to: string): string =>
        `Ether(dst='${link[0].address}')/IP(src='${EXT3}',dst='${dst}')/${to}`;
      bed.inject(
        bed.ext3,
        'eth0',
        packet('127.0.0.1', "TCP(sport=4000,dport=8080,flags='S')"),
        packet('127.0.0.1', "TCP(sport=4001,dport=8182,flags='S')"),
        packet('127.0.0.1', "UDP(sport=4002,dport=5300)/Raw(b'forged')"),
        packet(HOST2, "TCP(sport=4003,dport=8080,flags='S')"),
      );
      // The last one shows that the others had their chance.
      const arrived = (await inside.packets()).filter((p) => p.src === EXT3).map((p) => p.sport);
      expect(new Set(arrived)).toEqual(new Set([4003]));
      expect((await atHost.packets()).filter((p) => p.dst === '127.0.0.1')).toHaveLength(3);
    } finally {
      setSysctl(bed.host, 'net.ipv4.conf.all.route_localnet', '0');
    }
  });
});

describe('a container that forges one', () => {
  it('does not get through to a publish on loopback either', async () => {
    const rogue = bed.container('rogue', 'web');
    const inside = await bed.capture(box.ns, 'eth0', 'tcp dst port 80');
    const [bridge] = JSON.parse(must(bed.host, ['ip', '-j', 'link', 'show', 'type', 'bridge'])) as [
      { address: string },
    ];
    const syn = (dst: string, sport: number, dport: number): string =>
      `Ether(dst='${bridge.address}')/IP(src='${rogue.ip}',dst='${dst}')/TCP(sport=${sport},dport=${dport},flags='S')`;
    bed.inject(
      rogue.ns,
      'eth0',
      syn('127.0.0.1', 4000, 8080),
      syn('127.0.0.1', 4001, 8182),
      syn(HOST, 4003, 8080),
    );
    expect(new Set((await inside.packets()).map((p) => p.sport))).toEqual(new Set([4003]));
    bed.ok('disconnect', 'web', rogue.ns);
  });
});

describe('several addresses of loopback', () => {
  it('have a publish each on the same port', async () => {
    const second = bed.container('second', 'web', '-p', '127.0.0.2:8182:80');
    await bed.web(second.ns, 8000);
    bed.ok('publish', `web.${second.ns}`, '127.0.0.3:8182:8000');
    expect(sockets(bed.host, 'tcp', '127.0.0.1', '8182').peer).toBe('127.0.0.1 8182');
    expect(sockets(bed.host, 'tcp', '127.0.0.2', '8182').error).toBe('ECONNREFUSED');
    expect(sockets(bed.host, 'tcp', '127.0.0.3', '8182').peer).toBe('127.0.0.3 8182');
    bed.ok('disconnect', 'web', second.ns);
    expect(sockets(bed.host, 'bind', 'tcp', '127.0.0.3', '8182').bound).toBe('127.0.0.3 8182');
    expect(sockets(bed.host, 'tcp', '127.0.0.1', '8182').peer).toBe('127.0.0.1 8182');
  });
});

describe('status and metrics', () => {
  it('name the hooks, where they are, and what they did', () => {
    const status = bed.list<{
      features: { feature: string; available: boolean; using: string }[];
      attachModes: { hook: string; link: string; mode: string }[];
    }>('status');
    const feature = status.features.find((f) => f.feature === 'socket hooks');
    expect(feature?.available).toBe(true);
    const modes = status.attachModes.filter(({ mode }) => mode === 'cgroup');
    expect(modes.map(({ hook }) => hook).sort()).toEqual(HOOKS);
    const metrics = bed.curl(bed.host, 'http://127.0.0.1:9477/metrics').out;
    for (const operation of ['connect', 'sendmsg', 'recvmsg', 'getpeername', 'bind']) {
      expect(metrics).toMatch(new RegExp(`sluice_socket_operations_total.*"${operation}".* [1-9]`));
    }
    expect(modes.every(({ link }) => feature?.using.endsWith(link))).toBe(true);
  });
});

describe('after kill -9', () => {
  beforeAll(() => bed.killDaemon('SIGKILL'));
  reaches();
  afterAll(async () => {
    const before = idsOf(socketLinks(bed));
    await bed.startDaemon();
    expect(idsOf(socketLinks(bed))).toEqual(before);
  });
});

describe('automatic ports', () => {
  const PUBLISHED = { first: 40_010, last: 41_009 };
  const isFree = (port: number): boolean => port < PUBLISHED.first || port > PUBLISHED.last;

  beforeAll(() => {
    setSysctl(bed.host, RANGE, '40000 41019');
    setSysctl(bed.host, RESERVED, '9000,9100-9110,40003');
    bed.ok('publish', `web.${box.ns}`, '40010-41009:10010-11009');
    bed.ok('publish', `web.${box.ns}`, '40010-41009:10010-11009/udp');
  });

  it('are merged into the reserved ones when the next pass looks at the range', async () => {
    await bed.killDaemon('SIGTERM');
    await bed.startDaemon();
    expect(sysctl(bed.host, RESERVED)).toBe('9000,9100-9110,40003,40010-41009');
  });

  it.each(['tcp', 'udp', 'connect'])('are never published ones: %s', (kind) => {
    const { ports } = sockets(bed.host, 'automatic', kind, '15');
    expect(new Set(ports).size).toBe(15);
    expect(ports?.filter((port) => !isFree(port))).toEqual([]);
  });

  it('are never published ones while the daemon is dead', async () => {
    await bed.killDaemon('SIGKILL');
    const { ports } = sockets(bed.host, 'automatic', 'udp', '15');
    expect(ports?.every(isFree)).toBe(true);
    await bed.startDaemon();
    expect(sysctl(bed.host, RESERVED)).toBe('9000,9100-9110,40003,40010-41009');
  });

  it('follow single publishes at once, beside what others add meanwhile', () => {
    const name = `web.${box.ns}`;
    bed.ok('publish', name, '41015:80');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,9100-9110,40003,40010-41009,41015');
    setSysctl(bed.host, RESERVED, '9000,9100-9110,9500,40003,40010-41009,41015');
    bed.ok('unpublish', name, '41015:80');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,9100-9110,9500,40003,40010-41009');
  });

  it('keep an entry of somebody else that is published and unpublished', () => {
    const name = `web.${box.ns}`;
    bed.ok('publish', name, '40003:80');
    bed.ok('unpublish', name, '40003:80');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,9100-9110,9500,40003,40010-41009');
  });

  it('are repaired after somebody wrote the list anew', async () => {
    setSysctl(bed.host, RESERVED, '9000,40020');
    await bed.killDaemon('SIGTERM');
    await bed.startDaemon();
    expect(sysctl(bed.host, RESERVED)).toBe('9000,40010-41009');
    bed.ok('unpublish', `web.${box.ns}`, '40010-41009:10010-11009');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,40010-41009');
    bed.ok('unpublish', `web.${box.ns}`, '40010-41009:10010-11009/udp');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,40020');
  });
});

describe('two daemons', () => {
  it('serve their own namespaces from the same cgroup, and clean up their own hooks', async () => {
    const alone = idsOf(socketLinks(bed));
    const other = await Testbed.start();
    let theirs: number[] = [];
    try {
      theirs = idsOf(socketLinks(other));
      expect(theirs).toHaveLength(HOOKS.length);
      other.ok('network', 'create', 'web');
      const inner = other.container('theirs', 'web', '-p', '8090:80');
      await other.web(inner.ns, 80);
      expect(sockets(other.host, 'tcp', '127.0.0.1', '8090').body).toBe(GATEWAY);
      expect(sockets(other.host, 'bind', 'tcp', '0.0.0.0', '8080').bound).toBe('0.0.0.0 8080');
      expect(sockets(bed.host, 'tcp', '127.0.0.1', '8090').error).toBe('ECONNREFUSED');
      expect(sockets(bed.host, 'tcp', '127.0.0.1', '8080').body).toBe(GATEWAY);
    } finally {
      await other.stop();
    }
    expect(idsOf(allLinks()).filter((id) => theirs.includes(id))).toEqual([]);
    expect(idsOf(socketLinks(bed))).toEqual(alone);
    expect(sockets(bed.host, 'tcp', '127.0.0.1', '8080').body).toBe(GATEWAY);
    expect(sockets(bed.host, 'bind', 'tcp', '0.0.0.0', '8080').error).toBe('EADDRINUSE');
  });
});

describe('cleanup', () => {
  it('leaves no hook, no reserved port of ours, and the ports to the host', async () => {
    const name = `web.${box.ns}`;
    bed.ok('publish', name, '40100-40199:10100-10199');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,40020,40100-40199');
    const ours = socketLinks(bed).map((link) => link.prog_id);
    expect(ours).toHaveLength(HOOKS.length);
    expect(programsInTree()).toEqual(expect.arrayContaining(ours));
    await bed.killDaemon('SIGKILL');
    const said = must(bed.host, bed.daemonCommand('cleanup'));
    for (const hook of HOOKS) expect(said).toContain(`removed socket hook ${hook}\n`);
    expect(said).toContain('removed 40100-40199 from net/ipv4/ip_local_reserved_ports');
    expect(sysctl(bed.host, RESERVED)).toBe('9000,40020');
    expect(programsInTree().filter((id) => ours.includes(id))).toEqual([]);
    expect(existsSync(join(bed.directory, 'state/reserved-ports.json'))).toBe(false);
    expect(sockets(bed.host, 'bind', 'tcp', '0.0.0.0', '8080').bound).toBe('0.0.0.0 8080');
  });
});

describe('without cgroup v2', () => {
  it('says so, and serves the rest', async () => {
    const bare = await Testbed.start({ daemon: false });
    try {
      const points = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(' - cgroup2 '))
        .map((line) => line.split(' ')[4]);
      const hide = ['mount --make-rprivate /sys', ...points.map((point) => `umount -l ${point}`)].join('; ');
      const daemon = bare.background(bare.host, [
        'unshare',
        '--mount',
        '--propagation=unchanged', // namespaces of sandboxes are mounts, and must be seen here
        'sh',
        '-c',
        `${hide}; exec "$@"`,
        'sh',
        ...bare.daemonCommand(),
      ]);
      await daemon.says(/Try:/);
      expect(daemon.err.match(/cgroup v2 is not mounted/g)).toHaveLength(1);
      expect(socketLinks(bare)).toEqual([]);
      expect(bare.ok('status')).toMatch(/^socket hooks +no /m);
      bare.ok('network', 'create', 'web');
      const inner = bare.container('bare', 'web', '-p', '8080:80');
      await bare.web(inner.ns, 80);
      expect(bare.curl(bare.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
      expect(run(bare.host, ['curl', '-s', '-m', '3', 'http://127.0.0.1:8080/']).code).toBe(7);
      await daemon.stop('SIGTERM');
    } finally {
      await bare.stop();
    }
  });
});
