// SPDX-License-Identifier: Apache-2.0
/** A flow whose reply half was evicted, and whose port another flow has taken since. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { flow_flag } from '../../src/maps/generated/enums.js';
import { dissect, ETHERTYPE, frame, packet } from '../support/craft.js';
import { CONTAINER_MAC, GATEWAY_MAC } from '../support/dataplane.js';
import { FuzzBed, PEER_MAC, PLACES } from '../support/fuzzbed.js';
import { sleep } from '../support/process.js';

let bed: FuzzBed;
beforeAll(async () => {
  bed = await FuzzBed.start();
});
afterAll(() => bed.close());

it.each([4, 6] as const)('never sends two flows of IPv%i from one port to one place', async (family) => {
  const { container, peer, clients } = PLACES[family];
  const [dst = ''] = clients;
  const table = bed.dataplane.maps[family === 4 ? 'flows4_new' : 'flows6_new'];
  const send = async (src: string, mac: string, ep: 'ep1' | 'ep2'): Promise<number> => {
    const c = { family, src, dst, protocol: 'udp' as const, sport: 41000, dport: 53 };
    const data = frame(GATEWAY_MAC, mac, ETHERTYPE[family], packet(c));
    const [ran] = await bed.runs.run([
      { program: 0, ifindex: bed.ifindex('endpoint_ingress', ep), flags: 0, data },
    ]);
    return dissect((ran as { data: Buffer }).data.subarray(14), family)?.sport as number;
  };
  await send(container, CONTAINER_MAC, 'ep1');
  // the LRU takes the reply's half
  for await (const [key, flow] of table.entries()) if (flow.flags & flow_flag.FLOW_REPLY) table.delete(key);
  const other = await send(peer, PEER_MAC, 'ep2');
  await sleep(1100);
  expect(await send(container, CONTAINER_MAC, 'ep1')).not.toBe(other);
});
