// SPDX-License-Identifier: Apache-2.0
// Somebody else's tcx programs on both hooks of a device: foreign.mjs OBJECT LINK before|after.
// Prints what the ingress one has seen for each line of input.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [object, link, place] = process.argv.slice(2);
const native = createRequire(import.meta.url)('../../src/native/build/Release/sluice_native.node');
const { ifindex } = JSON.parse(execFileSync('ip', ['-j', 'link', 'show', link], { encoding: 'utf8' }))[0];
const BPF_F_BEFORE = 8;
const BPF_F_AFTER = 16;
const [BPF_TCX_INGRESS, BPF_TCX_EGRESS] = [46, 47];

const loaded = await native.bpfObjectLoad(object, {}, {}, null);
for (const hook of [BPF_TCX_INGRESS, BPF_TCX_EGRESS])
  await native.bpfLinkCreate(
    loaded.programs.count,
    ifindex,
    hook,
    place === 'before' ? BPF_F_BEFORE : BPF_F_AFTER,
  );
console.log('ready');
for await (const _ of createInterface({ input: process.stdin })) {
  const value = Buffer.alloc(8);
  native.bpfMapLookup(loaded.maps.seen, Buffer.alloc(4), value);
  console.log(String(value.readBigUInt64LE()));
}
