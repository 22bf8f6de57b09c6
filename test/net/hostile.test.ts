// SPDX-License-Identifier: Apache-2.0
/** What a container on an IPv4 network, a neighbour of the host and a resolver would like to get through. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must, run, sleep } from '../support/process.js';
import { type Container, EXT1, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed;
let liar: Container;
let victim: Container;
let hidden: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'lan');
  bed.ok('network', 'create', '--internal', 'inner');
  liar = bed.container('liar', 'lan');
  victim = bed.container('victim', 'lan', '-p', '8080:80', '-p', '5353:53/udp');
  hidden = bed.container('hidden', 'inner');
  await bed.web(victim.ns, 80);
});
afterAll(() => bed.stop());

const macOf = (ns: string, link: string): string =>
  json<[{ address: string }]>(ns, ['ip', '-j', 'link', 'show', link])[0].address;
const gateway = (of: Container): string => of.ip.replace(/\d+$/, '1');
const bridgeOf = (network: string): string =>
  (JSON.parse(bed.ok('network', 'inspect', network)) as [{ interface: string }])[0].interface;

describe('a container that lies over IPv4', () => {
  it('is stopped, and each packet counted by reason', async () => {
    const [mine, theirs, router] = [
      macOf(liar.ns, 'eth0'),
      macOf(victim.ns, 'eth0'),
      macOf(bed.host, bridgeOf('lan')),
    ];
    const eth = (to: string, from = mine): string => `Ether(src='${from}',dst='${to}')`;
    const all = 'ff:ff:ff:ff:ff:ff';
    const syn = "TCP(sport=4000,dport=80,flags='S')";
    const lies = {
      spoofed_mac: [
        `${eth(theirs, '02:aa:aa:aa:aa:aa')}/IP(src='${liar.ip}',dst='${victim.ip}')/${syn}`,
        `${eth(router, theirs)}/IP(src='${liar.ip}',dst='${EXT1}')/${syn}`,
        `${eth(all)}/ARP(op=2,hwsrc='${router}',psrc='${liar.ip}',pdst='${victim.ip}')`,
      ],
      spoofed_address: [
        // of a neighbour, of the gateway, of the host, of nobody, and such as no packet has
        ...[
          victim.ip,
          gateway(liar),
          HOST,
          '203.0.113.9',
          '127.0.0.1',
          '0.0.0.0',
          '224.0.0.1',
          '255.255.255.255',
        ].flatMap((source) => [
          `${eth(router)}/IP(src='${source}',dst='${EXT1}')/${syn}`,
          `${eth(theirs)}/IP(src='${source}',dst='${victim.ip}')/${syn}`,
        ]),
        `${eth(all)}/ARP(op=2,hwsrc='${mine}',psrc='${gateway(liar)}',pdst='${victim.ip}')`,
        `${eth(theirs)}/ARP(op=2,hwsrc='${mine}',psrc='${gateway(liar)}',hwdst='${theirs}',pdst='${victim.ip}')`,
        `${eth(all)}/ARP(op=1,hwsrc='${mine}',psrc='${victim.ip}',pdst='${victim.ip}')`,
      ],
      rogue: [
        `${eth(all)}/IP(src='${liar.ip}',dst='255.255.255.255')/UDP(sport=67,dport=68)/BOOTP(op=2)`,
        `${eth(theirs)}/IP(src='${liar.ip}',dst='${victim.ip}')/UDP(sport=67,dport=68)/BOOTP(op=2)`,
      ],
      // a router of IPv6 where there is none
      no_ipv6: [
        `${eth('33:33:00:00:00:01')}/IPv6(src='fe80::1',dst='ff02::1',hlim=255)/ICMPv6ND_RA()`,
        `${eth(theirs)}/IPv6(src='fe80::1',dst='fe80::2',hlim=255)/ICMPv6ND_NA(tgt='fe80::1')`,
      ],
    };
    const from = `ether src ${mine} or ether src 02:aa:aa:aa:aa:aa`;
    // the kernel of the liar goes on asking for others by ARP, as it may
    const forged = `(${from}) and (not arp or arp[6:2] == 2 or arp[14:4] != 0x${hex(liar.ip)})`;
    const captures = [
      await bed.capture(victim.ns, 'eth0', forged),
      await bed.capture(bed.host, bridgeOf('lan'), forged),
      await bed.capture(bed.ext1, 'eth0', 'tcp port 80'),
    ];
    const counted = () =>
      Object.fromEntries(Object.keys(lies).map((reason) => [reason, bed.dropped(reason)]));
    const before = counted();
    bed.inject(liar.ns, 'eth0', ...Object.values(lies).flat());
    const after = counted();
    for (const [reason, frames] of Object.entries(lies))
      expect([reason, (after[reason] ?? 0) - (before[reason] ?? 0)]).toEqual([reason, frames.length]);
    for (const capture of captures) expect(await capture.packets()).toEqual([]);
    expect(bed.curl(liar.ns, `http://${victim.ip}/`).out).toBe(liar.ip);
  });
});

const hex = (address: string): string =>
  address
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('');

describe('a packet to a published port that cannot be', () => {
  it('goes nowhere, and is counted', async () => {
    const mac = macOf(bed.host, 'up0');
    const inside = await bed.capture(victim.ns, 'eth0', 'ip');
    const sources = [
      '127.0.0.1',
      '0.0.0.0',
      '0.1.2.3',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
      HOST,
      '192.168.88.1',
      victim.ip,
      gateway(victim),
    ];
    const before = bed.dropped('martian');
    bed.inject(
      bed.ext1,
      'eth0',
      ...sources.flatMap((source) => {
        const ip = `Ether(dst='${mac}')/IP(src='${source}',dst='${HOST}')`;
        return [`${ip}/TCP(sport=4000,dport=8080,flags='S')`, `${ip}/UDP(sport=4000,dport=5353)/Raw(b'x')`];
      }),
      // the last one shows that the others had their chance
      `Ether(dst='${mac}')/IP(src='${EXT1}',dst='${HOST}')/UDP(sport=4000,dport=5353)/Raw(b'x')`,
    );
    await sleep(100);
    expect((await inside.packets()).filter((p) => p.src !== victim.ip)).toMatchObject([
      { src: EXT1, dport: 53 },
    ]);
    expect(bed.dropped('martian') - before).toBe(2 * sources.length);
  });
});

describe('a network without IPv6', () => {
  it('has none on any of its devices, and a router on its bridge changes nothing', async () => {
    const devices = json<{ ifname: string; master?: string }[]>(bed.host, ['ip', '-j', 'link'])
      .filter((l) => l.ifname === bridgeOf('lan') || l.master === bridgeOf('lan'))
      .map((l) => l.ifname);
    expect(devices).toHaveLength(3);
    for (const device of devices)
      expect(must(bed.host, ['ip', '-6', 'addr', 'show', 'dev', device])).toBe('');
    expect(must(victim.ns, ['ip', '-6', 'addr', 'show', 'dev', 'eth0'])).toBe('');
    const state = () => [
      must(bed.host, ['ip', '-6', 'route', 'show', 'table', 'all']).split('\n').sort(),
      must(bed.host, ['ip', '-6', 'addr']),
      must(victim.ns, ['ip', '-6', 'addr']),
    ];
    const before = state();
    bed.inject(
      liar.ns,
      'eth0',
      `Ether(src='${macOf(liar.ns, 'eth0')}',dst='33:33:00:00:00:01')/IPv6(src='fe80::1',dst='ff02::1',hlim=255)/ICMPv6ND_RA(routerlifetime=1800)/ICMPv6NDOptPrefixInfo(prefix='2001:db8:bad::',prefixlen=64)`,
    );
    await sleep(200);
    expect(state()).toEqual(before);
  });
});

/** Over UDP and TCP at once; prints which addresses answered. */
const ASK = `import select, socket, sys
kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
asked = {socket.socket(socket.AF_INET, kind): server for server in sys.argv[1:] for kind in kinds}
for sock, server in asked.items():
    sock.setblocking(False); sock.connect_ex((server, 53))
    if sock.type == socket.SOCK_DGRAM: sock.send(b'hello')
select.select([], [], [], 1)
answered = []
for sock, server in asked.items():
    try:
        if sock.type == socket.SOCK_DGRAM: sock.recv(99)
        else: sock.getpeername()
        answered.append(server)
    except OSError: pass
print(answered)`;

describe('a name asked for on an internal network', () => {
  it('leaves it by no resolver: of the world, of the host, or of its loopback', async () => {
    const resolvers = [
      ...(await Promise.all([bed.udpEcho(bed.ext1, 53), bed.udpEcho(bed.host, 53)])),
      ...(await Promise.all([bed.web(bed.ext1, 53), bed.web(bed.host, 53)])),
    ];
    const outside = await bed.capture(bed.ext1, 'eth0', 'port 53');
    const before = bed.dropped('internal') + bed.dropped('no_host_access');
    must(hidden.ns, ['ip', 'route', 'add', 'default', 'via', gateway(hidden)]);
    const servers = [EXT1, HOST, gateway(hidden), '127.0.0.1', '127.0.0.11'];
    // at 127.0.0.11 is ours, which connects, and asks nobody
    expect(run(hidden.ns, ['/usr/bin/python3', '-c', ASK, ...servers]).out).toBe("['127.0.0.11']\n");
    const ours = run(hidden.ns, ['dig', '+tries=1', '@127.0.0.11', 'leak.example']).out;
    expect(ours).toContain('status: NXDOMAIN');
    expect(bed.dropped('internal') + bed.dropped('no_host_access')).toBeGreaterThanOrEqual(before + 6);
    expect(await outside.packets()).toEqual([]);
    // they do answer others
    expect(run(liar.ns, ['/usr/bin/python3', '-c', ASK, EXT1, gateway(liar)]).out).toBe(
      `['${EXT1}', '${EXT1}', '${gateway(liar)}', '${gateway(liar)}']\n`,
    );
    for (const resolver of resolvers) await resolver.stop('SIGKILL');
  });
});
