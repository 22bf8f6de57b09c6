// SPDX-License-Identifier: Apache-2.0
/** Containers among themselves: one network, several, and published ports from inside. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must, run } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed;
let a: { ns: string; ip: string };
let b: { ns: string; ip: string };
let c: { ns: string; ip: string };

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'red');
  bed.ok('network', 'create', 'blue');
  a = bed.container('a', 'red');
  b = bed.container('b', 'red', '-p', '8080:80');
  c = bed.container('c', 'blue');
  await bed.web(b.ns, 80);
});
afterAll(() => bed.stop());

const RECEIVER = `
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', 7777))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + socket.inet_aton(sys.argv[1]))
print('ready', flush=True)
for _ in range(2):
    data, peer = s.recvfrom(100)
    print(peer[0], data.decode(), flush=True)
`;
const SENDER = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
s.sendto(b'broadcast', (sys.argv[1].rsplit('.', 1)[0] + '.255', 7777))
s.sendto(b'multicast', ('239.1.2.3', 7777))
`;

async function talk(): Promise<void> {
  expect(bed.curl(a.ns, `http://${b.ip}/`).out).toBe(a.ip);
  expect(run(b.ns, ['ping', '-c', '1', '-W', '10', a.ip]).code).toBe(0);
  const receiver = bed.background(b.ns, ['/usr/bin/python3', '-c', RECEIVER, b.ip]);
  await receiver.says(/ready/);
  must(a.ns, ['/usr/bin/python3', '-c', SENDER, a.ip]);
  await receiver.says(new RegExp(`${a.ip} broadcast\n${a.ip} multicast`));
}

describe('one network', () => {
  it('carries unicast, broadcast and multicast', talk);

  it("carries them with FORWARD DROP and the bridge's packets given to iptables", async () => {
    const key = 'net.bridge.bridge-nf-call-iptables';
    const before = must(bed.host, ['sysctl', '-n', key]).trim();
    must(bed.host, ['sysctl', '-qw', `${key}=1`]);
    must(bed.host, ['iptables', '-P', 'FORWARD', 'DROP']);
    try {
      await talk();
      expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    } finally {
      must(bed.host, ['iptables', '-P', 'FORWARD', 'ACCEPT']);
      must(bed.host, ['sysctl', '-qw', `${key}=${before}`]);
    }
  });

  it('delivers a broadcast once, also to the host', async () => {
    const inside = await bed.capture(b.ns, 'eth0', 'udp and port 7778');
    const host = await bed.capture(bed.host, bridgeOf('red'), 'udp and port 7778');
    run(a.ns, ['/usr/bin/python3', '-c', SENDER.replaceAll('7777', '7778'), a.ip]);
    expect(await inside.packets()).toHaveLength(2);
    expect(await host.packets()).toHaveLength(2);
  });

  it("gives the host's broadcasts to every container, once", async () => {
    const captures = await Promise.all([a, b].map((x) => bed.capture(x.ns, 'eth0', 'udp and port 7779')));
    run(bed.host, ['/usr/bin/python3', '-c', SENDER.replaceAll('7777', '7779'), a.ip.replace(/\d+$/, '1')]);
    for (const capture of captures) expect(await capture.packets()).toHaveLength(2);
  });

  it('has no IPv6 inside unless asked for', () => {
    expect(must(a.ns, ['ip', '-6', 'addr', 'show', 'dev', 'eth0'])).toBe('');
  });

  it('lets nobody speak for somebody else', async () => {
    const mac = (ns: string) =>
      (JSON.parse(must(ns, ['ip', '-j', 'link', 'show', 'eth0'])) as [{ address: string }])[0].address;
    const [own, peer] = [mac(a.ns), mac(b.ns)];
    const inside = await bed.capture(b.ns, 'eth0', 'ip or arp');
    bed.inject(
      a.ns,
      'eth0',
      `Ether(src='02:aa:aa:aa:aa:aa',dst='${peer}')/IP(src='${a.ip}',dst='${b.ip}')/UDP(sport=1,dport=2)`,
      `Ether(src='${own}',dst='${peer}')/IP(src='10.9.9.9',dst='${b.ip}')/UDP(sport=1,dport=2)`,
      `Ether(src='${own}',dst='ff:ff:ff:ff:ff:ff')/ARP(op=2,hwsrc='${own}',psrc='${b.ip.replace(/\d+$/, '1')}',pdst='${b.ip}')`,
    );
    // the kernels of both go on asking for each other by ARP, as they may
    const forged = (await inside.packets()).filter(
      (p) =>
        p.protocol === 'udp' || p.ethSrc === '02:aa:aa:aa:aa:aa' || p.arp?.from === b.ip.replace(/\d+$/, '1'),
    );
    expect(forged).toEqual([]);
    expect(bed.dropped('spoofed_mac')).toBeGreaterThanOrEqual(1);
    expect(bed.dropped('spoofed_address')).toBeGreaterThanOrEqual(2);
  });
});

function bridgeOf(network: string): string {
  return (JSON.parse(bed.ok('network', 'inspect', network)) as [{ interface: string }])[0].interface;
}

describe('several networks', () => {
  it('are closed to one another', () => {
    const before = bed.dropped('isolated');
    expect(bed.curl(c.ns, `http://${b.ip}/`, '-m', '1').code).toBe(28);
    expect(run(c.ns, ['ping', '-c', '1', '-W', '1', a.ip]).code).not.toBe(0);
    expect(bed.dropped('isolated')).toBeGreaterThan(before + 1);
  });

  it('reach what the others publish, as its client', () => {
    expect(bed.curl(c.ns, `http://${HOST}:8080/`).out).toBe(c.ip);
  });

  it('reach it from the same network and from the same container as the gateway', () => {
    const gateway = b.ip.replace(/\d+$/, '1');
    expect(bed.curl(a.ns, `http://${HOST}:8080/`).out).toBe(gateway);
    expect(bed.curl(b.ns, `http://${HOST}:8080/`).out).toBe(gateway);
    expect(bed.curl(a.ns, `http://${gateway}:8080/`).out).toBe(gateway);
  });
});

describe('a sandbox on two networks', () => {
  it('answers on both, whichever has the default route', async () => {
    const both = bed.container('both', 'red');
    const second = bed.container('both', 'blue', '-p', '8181:80');
    await bed.web(both.ns, 80);
    const routes = JSON.parse(must(both.ns, ['ip', '-j', 'route', 'show', 'default'])) as {
      gateway: string;
      dev: string;
    }[];
    expect(routes).toEqual([expect.objectContaining({ gateway: both.ip.replace(/\d+$/, '1'), dev: 'eth0' })]);
    expect(bed.curl(bed.ext1, `http://${HOST}:8181/`).out).toBe(EXT1);
    expect(bed.curl(c.ns, `http://${second.ip}/`).out).toBe(c.ip);
    expect(bed.curl(a.ns, `http://${both.ip}/`).out).toBe(a.ip);

    bed.ok('disconnect', 'red', both.ns);
    expect(must(both.ns, ['ip', 'route', 'show', 'default'])).toContain(second.ip.replace(/\d+$/, '1'));
    expect(bed.curl(bed.ext1, `http://${HOST}:8181/`).out).toBe(EXT1);
  });
});

describe('an endpoint that left', () => {
  it('takes its port and its flows with it', async () => {
    const box = bed.container('gone', 'red', '-p', '8282:80');
    await bed.web(box.ns, 80);
    expect(bed.curl(bed.ext1, `http://${HOST}:8282/`).out).toBe(EXT1);
    bed.ok('disconnect', 'red', box.ns);
    expect(bed.curl(bed.ext1, `http://${HOST}:8282/`, '-m', '1').code).not.toBe(0);
    expect(must(box.ns, ['ip', '-br', 'link'])).not.toContain('eth0');
    // another one takes the port over
    const next = bed.container('next', 'red', '-p', '8282:80');
    await bed.web(next.ns, 80);
    expect(bed.curl(bed.ext1, `http://${HOST}:8282/`).out).toBe(EXT1);
  });
});
