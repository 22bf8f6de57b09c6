// SPDX-License-Identifier: Apache-2.0
/** Hundreds of thousands of flows: listed as they come, each once though the tables change, in bounded memory. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MAPS_DIR } from '../../src/daemon/places.js';
import { pinnedMaps } from '../../src/maps/dataplane.js';
import { flow_action, flow_state } from '../../src/maps/generated/enums.js';
import type { Flow4, Flow4Key } from '../../src/maps/generated/types.js';
import { bpfNative } from '../../src/native/bpf.js';
import { sleep } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

const FLOWS = 200_000;
const BATCH = 4096;
const now = (): number => Number(process.hrtime.bigint() >> 30n);

let bed: Testbed;
let pinned: ReturnType<typeof pinnedMaps>;

beforeAll(async () => {
  bed = await Testbed.start({ daemonFlags: ['--conntrack-max', '524288'] });
  pinned = pinnedMaps(bpfNative(), join(bed.bpffs, MAPS_DIR));
});
afterAll(async () => {
  pinned.close();
  await bed.stop();
});

/** The first half of a flow of no container: 10.200.0.0 onwards to one server. */
function flow(n: number, state = flow_state.FLOW_ESTABLISHED as number): [Flow4Key, Flow4] {
  const saddr = `10.200.${n >> 16}.${(n >> 8) & 255}`;
  const sport = 1000 + (n & 255);
  const key = { saddr, daddr: '192.0.2.1', sport, dport: 80, protocol: 6 };
  return [
    key,
    {
      sport,
      dport: 80,
      addr_delta: 0,
      port_delta: 0,
      endpoint: 0,
      generation: 0,
      ifindex: 1,
      mac: '00:00:00:00:00:00',
      action: flow_action.FLOW_ON,
      flags: 0,
      seen: now(),
      opened: now() - 10,
      publish: 0,
      state,
      mtu: 0,
      saddr,
      daddr: '192.0.2.1',
      nexthop: '0.0.0.0',
    },
  ];
}

const memory = (field: 'VmRSS' | 'VmHWM'): number => {
  const status = readFileSync(`/proc/${bed.daemon?.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
};

it('lists each flow once while flows move between the tables, and prints as they come', async () => {
  const { flows4, flows4_new } = pinned.maps;
  if (!flows4 || !flows4_new) throw new Error('the tables are not pinned');
  const half = FLOWS / 2;
  for (let n = 0; n < FLOWS; n += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, FLOWS - n) }, (_, i) => flow(n + i));
    (n < half ? flows4 : flows4_new).setBatch(batch);
  }
  const before = memory('VmRSS');
  const ls = bed.background(bed.host, [
    join(import.meta.dirname, '../../bin/sluice'),
    '--socket',
    bed.socket,
    'conntrack',
    'ls',
    '-o',
    'json',
  ]);
  await ls.says(/10\.200/);
  expect(ls.ended, 'the first lines come before the last').toBe(false);
  // insert, then delete, as the programs do
  let moved = 0;
  for (let n = 0; !ls.ended && n < half; n += 50) {
    const [down, up] = [flow(n, flow_state.FLOW_RST), flow(FLOWS - 1 - n)];
    flows4_new.set(...down);
    flows4.delete(down[0]);
    flows4.set(...up);
    flows4_new.delete(up[0]);
    moved += 2;
    if (n % 1000 === 0) await sleep(1);
  }
  expect(await ls.end()).toBe(0);
  expect(moved).toBeGreaterThan(100);
  const told = JSON.parse(ls.out) as { source: string; sourcePort: number }[];
  const names = new Set(told.map((f) => `${f.source}:${f.sourcePort}`));
  expect(names.size, 'none twice').toBe(told.length);
  // what was moved may be missed, what stayed may not
  expect(names.size).toBeGreaterThan(FLOWS - moved - 1);
  for (let n = 1; n < half; n += 50) {
    const [{ saddr, sport }] = flow(n);
    if (!names.has(`${saddr}:${sport}`)) throw new Error(`${saddr}:${sport} stayed and was not told`);
  }
  expect(memory('VmHWM') - before, 'MiB more at the most').toBeLessThan(96);
});

it('forgets them all', async () => {
  expect(bed.ok('conntrack', 'flush')).toMatch(/\d/);
  const left = await Promise.all([pinned.maps.flows4?.count(), pinned.maps.flows4_new?.count()]);
  expect(left).toEqual([0, 0]);
});
