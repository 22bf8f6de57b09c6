// SPDX-License-Identifier: Apache-2.0
/**
 * What many services cost: real maps, without programs. Prints JSON: times in ms, memory in bytes.
 * Arguments: services, backends of each.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../dist/src/base/clock.js';
import { ROW_ORDER } from '../../dist/src/cnm/rows.js';
import { loadObject } from '../../dist/src/loader/programs.js';
import { dataplaneMaps } from '../../dist/src/maps/dataplane.js';
import { bpfNative } from '../../dist/src/native/bpf.js';
import { packageRoot } from '../../dist/src/native/load.js';
import { ServiceOps } from '../../dist/src/reconcile/ops/service.js';
import { Reconciler } from '../../dist/src/reconcile/reconciler.js';
import { Tables } from '../../dist/src/reconcile/tables.js';

const SERVICES = Number(process.argv[2] ?? 10_000);
const BACKENDS = Number(process.argv[3] ?? 10);
const CHANGES = 200;
const LARGE = 1000;
/** Slots of endpoints that there are to go round. */
const ENDPOINTS = 16_000;
const MAPS = [
  'services4',
  'services6',
  'service_slots',
  'service_table',
  'service_backends',
  'backend_endpoints',
  'backend_load',
  'backend_traffic',
  'service_refusals',
  'service_affinity',
];

const log = { debug() {}, info() {}, warn: console.error, error: console.error };
const native = bpfNative();
const object = await loadObject(native, {
  path: join(packageRoot(), 'dist/bpf/abi.bpf.o'),
  sizes: { flows4: 1024, flows4_new: 1024, flows6: 1024, flows6_new: 1024 },
});
const maps = dataplaneMaps(native, object.maps);
const clock = systemClock();

let id = 0;
function backends(count) {
  return Array.from({ length: count }, () => {
    id = (id % 131_000) + 1;
    return {
      id,
      name: `${id.toString(16).padStart(12, '0')}.web`,
      slot: (id % ENDPOINTS) + 1,
      generation: 1,
      weight: 1,
      state: 'active',
    };
  });
}
function service(number, own) {
  return {
    kind: 'service',
    number,
    net: 1,
    vip4: `10.${100 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`,
    vip6: null,
    ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
    algorithm: 'random',
    affinity: null,
    idleTimeout: null,
    allow: [],
    backends: own,
  };
}
const ownerOf = ({ number }) => ({ kind: 'service', id: String(number).padStart(64, '0') });

/** A reconciler that has services only. */
function side() {
  const nothing = { update() {}, delete() {}, read: async () => ({ holds: () => true, strays: () => [] }) };
  const ops = Object.fromEntries(ROW_ORDER.map((kind) => [kind, nothing]));
  const sizes = {
    slots: maps.service_slots.descriptor.maxEntries,
    table: maps.service_table.descriptor.maxEntries,
    backends: maps.service_backends.descriptor.maxEntries,
    endpoints: maps.backend_endpoints.descriptor.maxEntries,
  };
  ops.service = new ServiceOps(maps, { sizes, clock });
  return new Reconciler({ ops, tables: new Tables(), clock, log });
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
/** Of this process and the kernel's work for it: what other processes take does not count. */
async function cpuTimed(work) {
  const before = process.cpuUsage();
  const ms = await timed(work);
  const { user, system } = process.cpuUsage(before);
  return { ms, cpu: (user + system) / 1000 };
}
function memory() {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}
function charged(name) {
  const info = readFileSync(`/proc/self/fdinfo/${maps[name].fd}`, 'utf8');
  return Number(/^memlock:\s*(\d+)/m.exec(info)?.[1] ?? 0);
}
/** Median and largest. */
function spread(times) {
  const sorted = times.toSorted((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], max: sorted.at(-1) };
}

const rssBare = memory();
const rows = Array.from({ length: SERVICES }, (_, i) => service(i + 1, backends(BACKENDS)));
const rssBefore = memory();
const wanted = new Map(rows.map((row) => [ownerOf(row), [row]]));
const first = side();
first.load(wanted);
const { ms: program, cpu: programCpu } = await cpuTimed(async () => {
  const { failed, updated } = await first.fullPass();
  if (failed > 0 || updated !== SERVICES) throw new Error(`${failed} of ${SERVICES} services failed`);
});
const again = await timed(() => first.fullPass());
const rss = memory() - rssBefore;

async function changes(make) {
  const times = [];
  for (let i = 0; i < CHANGES; i++) {
    const at = (i * 7919) % SERVICES;
    const next = make(rows[at]);
    times.push(await timed(() => first.apply(ownerOf(next), [next])));
    rows[at] = next;
  }
  return spread(times);
}
const change = await changes((row) => ({
  ...row,
  backends: row.backends.map((b, i) => (i === 0 ? { ...b, weight: b.weight === 1 ? 2 : 1 } : b)),
}));
const setting = await changes((row) => ({ ...row, affinity: (row.affinity ?? 0) + 1 }));

let big = service(SERVICES + 1, backends(LARGE));
const large = await timed(() => first.apply(ownerOf(big), [big]));
const drained = [];
for (let i = 0; i < 9; i++) {
  big = { ...big, backends: big.backends.map((b, at) => (at === i ? { ...b, state: 'draining' } : b)) };
  drained.push(await timed(() => first.apply(ownerOf(big), [big])));
}
rows.push(big);

const second = side();
second.load(new Map(rows.map((row) => [ownerOf(row), [row]])));
let adopted = 0;
const adopt = await timed(async () => {
  const report = await second.fullPass();
  if (report.updated + report.pruned.length > 0)
    throw new Error(`a restart wrote: ${report.updated} rows, pruned ${report.pruned}`);
  adopted = report.adopted;
});
const remove = await timed(async () => {
  for (const row of rows) await second.apply(ownerOf(row), []);
});

console.log(
  JSON.stringify({
    services: SERVICES,
    backends: BACKENDS,
    program,
    programCpu,
    fullPass: again,
    adopted,
    adopt,
    change,
    setting,
    largeBackends: LARGE,
    large,
    largeChange: spread(drained),
    remove,
    rss,
    rssOfRows: rssBefore - rssBare,
    kernelMemory: Object.fromEntries(MAPS.map((name) => [name, charged(name)])),
  }),
);
object.close();
