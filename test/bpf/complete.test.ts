// SPDX-License-Identifier: Apache-2.0
/** Where a device has summed a packet of IPv6, that sum is right after translation too: the kernel checks. */
import { afterEach, expect, it } from 'vitest';
import { type Craft, ETHERTYPE, EXTENSION, fragments, frame, packet } from '../support/craft.js';
import { CLIENT6, CONTAINER_MAC, CONTAINER6, GATEWAY_MAC, REDIRECT } from '../support/dataplane.js';
import { FuzzBed, MARK, PROGRAMS } from '../support/fuzzbed.js';
import { CHECKSUM_COMPLETE } from '../support/testrun.js';

let bed: FuzzBed;
afterEach(() => bed.close());

const UDP: Craft = {
  family: 6,
  src: CONTAINER6,
  dst: CLIENT6,
  protocol: 'udp',
  sport: 41000,
  dport: 53,
  payload: Buffer.alloc(64, 7),
};
const cut = fragments(packet(UDP), 40, 6, 1);

it.each<[string, Buffer[], number]>([
  ['TCP', [packet({ ...UDP, protocol: 'tcp' })], 0],
  ['UDP behind options', [packet({ ...UDP, extensions: [[EXTENSION.destination, Buffer.alloc(6)]] })], 0],
  ['an echo', [packet({ ...UDP, protocol: 'icmp' })], 0],
  ['SCTP, which has no sum of addresses', [packet({ ...UDP, protocol: 132 })], 0],
  ['fragments', cut, MARK | 1],
])('of %s', async (_, packets, mark) => {
  for (const kern_ctx of [1, 0]) {
    bed = await FuzzBed.start(kern_ctx);
    const program = PROGRAMS.indexOf('endpoint_ingress');
    const ifindex = bed.ifindex('endpoint_ingress');
    const runs = packets.map((data) => {
      const sent = frame(GATEWAY_MAC, CONTAINER_MAC, ETHERTYPE[6], data);
      return { program, ifindex, mark, flags: CHECKSUM_COMPLETE, data: sent };
    });
    const ran = await bed.runs.run(runs);
    expect(ran.map(({ errno, verdict }) => ({ errno, verdict }))).toEqual(
      packets.map(() => ({ errno: 0, verdict: REDIRECT })),
    );
    if (kern_ctx === 1) await bed.close();
  }
});
