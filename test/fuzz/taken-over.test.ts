// SPDX-License-Identifier: Apache-2.0
/** A flow whose reply half was evicted, and whose port another flow has taken since. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { flow_flag } from '../../src/maps/generated/enums.js';
import { dissect, ETHERTYPE, frame, packet } from '../support/craft.js';
import { CLIENT, CONTAINER, CONTAINER_MAC, GATEWAY_MAC } from '../support/dataplane.js';
import { FuzzBed, PEER, PEER_MAC } from '../support/fuzzbed.js';
import { sleep } from '../support/process.js';

let bed: FuzzBed;
beforeAll(async () => {
  bed = await FuzzBed.start();
});
afterAll(() => bed.close());

it('never sends two flows from one port to one place', async () => {
  const send = async (src: string, mac: string, ep: 'ep1' | 'ep2'): Promise<number> => {
    const c = { family: 4 as const, src, dst: CLIENT, protocol: 'udp' as const, sport: 41000, dport: 53 };
    const data = frame(GATEWAY_MAC, mac, ETHERTYPE[4], packet(c));
    const [ran] = await bed.runs.run([
      { program: 0, ifindex: bed.ifindex('endpoint_ingress', ep), flags: 0, data },
    ]);
    return dissect((ran as { data: Buffer }).data.subarray(14), 4)?.sport as number;
  };
  await send(CONTAINER, CONTAINER_MAC, 'ep1');
  // the LRU takes the reply's half
  for await (const [key, flow] of bed.dataplane.maps.flows4_new.entries())
    if (flow.flags & flow_flag.FLOW_REPLY) bed.dataplane.maps.flows4_new.delete(key);
  const other = await send(PEER, PEER_MAC, 'ep2');
  await sleep(1100);
  expect(await send(CONTAINER, CONTAINER_MAC, 'ep1')).not.toBe(other);
});
