// SPDX-License-Identifier: Apache-2.0
/** What the IP header does not say: VLAN tags, and protocols that are none of IP's, of containers and from outside. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must, sleep } from '../support/process.js';
import { type Container, EXT1, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed;
let liar: Container;
let victim: Container;
let mine: string;
let theirs: string;
let router: string;

const macOf = (ns: string, link: string): string =>
  json<[{ address: string }]>(ns, ['ip', '-j', 'link', 'show', link])[0].address;

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', 'lan');
  liar = bed.container('liar', 'lan');
  victim = bed.container('victim', 'lan', '-p', '5353:53/udp');
  const [{ interface: bridge }] = JSON.parse(bed.ok('network', 'inspect', 'lan')) as [{ interface: string }];
  mine = macOf(liar.ns, 'eth0');
  theirs = macOf(victim.ns, 'eth0');
  router = macOf(bed.host, bridge);
  must(bed.host, ['ping', '-c', '1', '-W', '5', EXT1]);
});
afterAll(() => bed?.stop());

/** Sends frames of the liar's, and expects that each is dropped for the reason and seen nowhere. */
async function goesNowhere(reason: string, frames: string[]): Promise<void> {
  // what follows `vlan` is looked for behind the tag
  const marked = `ether src ${mine} and ((not ip and not ip6 and not arp) or udp port 4999 or vlan)`;
  const captures = [
    await bed.capture(victim.ns, 'eth0', marked),
    await bed.capture(bed.ext1, 'eth0', 'vlan or udp port 4999'),
  ];
  const before = bed.dropped(reason);
  bed.inject(liar.ns, 'eth0', ...frames);
  await sleep(100);
  expect(bed.dropped(reason) - before).toBe(frames.length);
  for (const capture of captures) expect(await capture.packets()).toEqual([]);
}

const udp = "UDP(sport=4999,dport=4999)/Raw(b'x')";
const all = 'ff:ff:ff:ff:ff:ff';

describe('a tagged frame of a container', () => {
  const tags = {
    '802.1Q': 'Dot1Q(vlan=7)',
    'a priority without a VLAN': 'Dot1Q(vlan=0,prio=5)',
    '802.1ad': 'Dot1AD(vlan=7)',
    'two tags': 'Dot1AD(vlan=7)/Dot1Q(vlan=8)',
    'two tags, the first of them empty': 'Dot1Q(vlan=0)/Dot1Q(vlan=8)',
  };
  it.each(Object.entries(tags))('goes neither out nor to a neighbour: %s', async (_, tag) => {
    const to = (mac: string): string => `Ether(src='${mine}',dst='${mac}')/${tag}`;
    await goesNowhere('tagged', [
      `${to(router)}/IP(src='${liar.ip}',dst='${EXT1}')/${udp}`,
      `${to(theirs)}/IP(src='${liar.ip}',dst='${victim.ip}')/${udp}`,
      // past the check of the sender
      `${to(theirs)}/IP(src='${HOST}',dst='${victim.ip}')/${udp}`,
      `${to(all)}/ARP(op=2,hwsrc='${mine}',psrc='${victim.ip}',pdst='${victim.ip}')`,
      `${to('33:33:00:00:00:01')}/IPv6(src='fe80::1',dst='ff02::1',hlim=255)/ICMPv6ND_RA()`,
    ]);
  });
});

describe('a protocol of the link that is not IP', () => {
  it('of a container reaches neither its neighbours nor the bridge', async () => {
    const to = (mac: string, type: number): string => `Ether(src='${mine}',dst='${mac}',type=${type})`;
    const payload = "Raw(b'x'*50)";
    await goesNowhere('link_protocol', [
      `${to(all, 0x8035)}/ARP(ptype=0x0800,op=3,hwsrc='${mine}',hwdst='${mine}')`, // RARP
      `${to(theirs, 0x8035)}/ARP(op=4,hwsrc='${mine}',hwdst='${mine}',pdst='${victim.ip}')`,
      `Dot3(src='${mine}',dst='01:80:c2:00:00:00')/LLC(dsap=0x42,ssap=0x42,ctrl=3)/STP()`,
      `${to('01:80:c2:00:00:0e', 0x88cc)}/${payload}`, // LLDP
      `${to('01:80:c2:00:00:03', 0x888e)}/${payload}`, // EAPOL
      `${to(theirs, 0x888e)}/${payload}`,
      `${to('01:80:c2:00:00:02', 0x8809)}/${payload}`, // LACP
      `${to('01:80:c2:00:00:21', 0x88f5)}/${payload}`, // MVRP
      `${to(theirs, 0x8864)}/${payload}`, // PPPoE
      `${to(theirs, 0x8847)}/${payload}`, // MPLS
      `${to('01:80:c2:00:00:00', 0x0800)}/IP(src='${liar.ip}',dst='${victim.ip}')/${udp}`,
    ]);
  });

  it('is not made ARP by other lengths or operations', async () => {
    const arp = `Ether(src='${mine}',dst='${all}')`;
    await goesNowhere('malformed', [
      `${arp}/ARP(op=3,hwsrc='${mine}',psrc='${liar.ip}',pdst='${victim.ip}')`,
      `${arp}/ARP(hwtype=6,op=1,hwsrc='${mine}',psrc='${liar.ip}',pdst='${victim.ip}')`,
    ]);
  });
});

describe('a tagged frame from outside', () => {
  const published = (tag: string): string =>
    `Ether(dst='${macOf(bed.host, 'up0')}')/${tag}IP(src='${EXT1}',dst='${HOST}')/UDP(sport=4998,dport=5353)/Raw(b'x')`;

  it('of a VLAN is not taken for untagged', async () => {
    const inside = await bed.capture(victim.ns, 'eth0', 'udp dst port 53 or vlan');
    bed.inject(
      bed.ext1,
      'eth0',
      published('Dot1Q(vlan=7)/'),
      published('Dot1AD(vlan=7)/'),
      published('Dot1AD(vlan=7)/Dot1Q(vlan=8)/'),
      published('Dot1Q(vlan=0)/Dot1Q(vlan=8)/'),
    );
    await sleep(100);
    expect(await inside.packets()).toEqual([]);
  });

  it('with a priority only is, and comes in without the tag', async () => {
    const plain = await bed.capture(victim.ns, 'eth0', 'udp dst port 53');
    const tagged = await bed.capture(victim.ns, 'eth0', 'vlan');
    bed.inject(bed.ext1, 'eth0', published('Dot1Q(vlan=0,prio=5)/'));
    await sleep(100);
    expect(await plain.packets()).toHaveLength(1);
    expect(await tagged.packets()).toEqual([]);
  });
});
