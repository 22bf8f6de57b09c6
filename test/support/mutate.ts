// SPDX-License-Identifier: Apache-2.0
/** Makes valid IPv4 frames wrong in the ways that parsers get wrong. */
import { ETHERTYPE, mac } from './craft.js';
import { checksum } from './frame.js';
import type { Random } from './random.js';

const L3 = 14;

/** Puts the IPv4 header's checksum right again, so that a lie is the only fault. */
function resum(b: Buffer): void {
  const length = ((b[L3] as number) & 15) * 4;
  if (b.length < L3 + 20 || length < 20 || b.length < L3 + length) return;
  b.writeUInt16BE(0, L3 + 10);
  b.writeUInt16BE(checksum(b.subarray(L3, L3 + length)), L3 + 10);
}

/** A mutation of the bytes of the headers; frames too short for it stay as they are. */
const at =
  (offset: number, change: (b: Buffer, r: Random) => void) =>
  (b: Buffer, r: Random): Buffer => {
    if (b.length >= L3 + offset + 2) change(b, r);
    return b;
  };
const segmentAt = (b: Buffer): number => L3 + ((b[L3] as number) & 15) * 4;
/** A field of the segment. */
const inSegment =
  (offset: number, change: (b: Buffer, at: number, r: Random) => void) =>
  (b: Buffer, r: Random): Buffer => {
    if (b.length > L3 && b.length >= segmentAt(b) + offset + 2) change(b, segmentAt(b) + offset, r);
    return b;
  };

const SPECIAL = [
  '00000000',
  '7f000001',
  'ffffffff',
  'e0000001',
  'c0000201',
  '0a400001',
  '0a400002',
  'c6336407',
];
const MACS = ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '33:33:00:00:00:01', '02:00:00:00:00:77'];

export const MUTATIONS: Record<string, (b: Buffer, r: Random) => Buffer> = {
  truncate: (b, r) => b.subarray(0, r.int(14, b.length)),
  pad: (b, r) => Buffer.concat([b, r.bytes(r.int(1, 46))]),
  headerLength: at(0, (b, r) => {
    b[L3] = ((b[L3] as number) & 0xf0) | r.int(0, 15);
    if (r.chance(0.5)) resum(b);
  }),
  version: at(0, (b, r) => {
    b[L3] = ((b[L3] as number) & 15) | (r.int(0, 15) << 4);
  }),
  totalLength: at(2, (b, r) => {
    b.writeUInt16BE(
      r.pick([0, 1, 19, 20, 21, 27, 28, b.length - L3 + 1, 0xffff, r.int(0, b.length)]),
      L3 + 2,
    );
    resum(b);
  }),
  fragment: at(6, (b, r) => {
    b.writeUInt16BE(r.pick([0x2000, 0x2001, 1, 0x1fff, 0x8000, 0xffff]), L3 + 6);
    resum(b);
  }),
  ttl: at(8, (b, r) => {
    b[L3 + 8] = r.pick([0, 1, 2, 255]);
    resum(b);
  }),
  protocol: at(9, (b, r) => {
    b[L3 + 9] = r.pick([0, 1, 2, 4, 6, 17, 41, 47, 50, 58, 132, 255]);
    resum(b);
  }),
  source: at(14, (b, r) => {
    Buffer.from(r.pick(SPECIAL), 'hex').copy(b, L3 + 12);
    resum(b);
  }),
  destination: at(18, (b, r) => {
    Buffer.from(r.pick(SPECIAL), 'hex').copy(b, L3 + 16);
    resum(b);
  }),
  headerSum: at(10, (b, r) => b.writeUInt16BE(r.word() & 0xffff, L3 + 10)),
  options: (b, r) => {
    const length = b.length > L3 + 20 ? (b[L3] as number) & 15 : 15;
    if (length >= 15) return b;
    const words = r.int(1, 15 - length);
    const option = r.chance(0.5) ? Buffer.alloc(words * 4, 1) : r.bytes(words * 4);
    const out = Buffer.concat([b.subarray(0, L3 + 20), option, b.subarray(L3 + 20)]);
    out[L3] = ((b[L3] as number) & 0xf0) | (length + words);
    out.writeUInt16BE((b.readUInt16BE(L3 + 2) + words * 4) & 0xffff, L3 + 2);
    resum(out);
    return out;
  },
  segmentSum: (b, r) => {
    const offset = b[L3 + 9] === 6 ? 16 : b[L3 + 9] === 17 ? 6 : 2;
    return inSegment(offset, (x, o, rr) => x.writeUInt16BE(rr.word() & 0xffff, o))(b, r);
  },
  noSum: inSegment(6, (b, o) => {
    if (b[L3 + 9] === 17) b.writeUInt16BE(0, o);
  }),
  segmentLength: inSegment(4, (b, o, r) => b.writeUInt16BE(r.pick([0, 7, 8, 9, 0xffff]), o)),
  dataOffset: inSegment(12, (b, o, r) => {
    b[o] = r.int(0, 15) << 4;
  }),
  flags: inSegment(12, (b, o, r) => {
    b[o + 1] = r.word() & 255;
  }),
  ports: inSegment(2, (b, o, r) =>
    b.writeUInt16BE(r.pick([0, 80, 8080, 5300, 5305, 65535]), o - 2 * r.int(0, 1)),
  ),
  icmpType: inSegment(0, (b, o, r) => {
    b[o] = r.pick([0, 3, 4, 5, 8, 11, 12, 13, 255]);
  }),
  vlan: (b) => {
    const tag = Buffer.from([ETHERTYPE.vlan >> 8, ETHERTYPE.vlan & 255, 0, 5]);
    return Buffer.concat([b.subarray(0, 12), tag, b.subarray(12)]);
  },
  etherType: (b, r) => {
    b.writeUInt16BE(r.pick([ETHERTYPE[4], ETHERTYPE[6], ETHERTYPE.arp, ETHERTYPE.vlan, 0x88cc, 40]), 12);
    return b;
  },
  macTo: (b, r) => {
    mac(r.pick(MACS)).copy(b, 0);
    return b;
  },
  macFrom: (b, r) => {
    mac(r.pick(MACS)).copy(b, 6);
    return b;
  },
  flip: (b, r) => {
    b[r.int(0, b.length - 1)] = r.word() & 255;
    return b;
  },
};

const NAMES = Object.keys(MUTATIONS);

/** A copy with none to three mutations, and their names. */
export function mutate(valid: Buffer, r: Random): { data: Buffer; names: string[] } {
  let data: Buffer = Buffer.from(valid);
  const names: string[] = [];
  const count = r.weighted([
    [3, 0],
    [5, 1],
    [2, 2],
    [1, 3],
  ]);
  for (let i = 0; i < count; i++) {
    const name = r.pick(NAMES);
    names.push(name);
    data = (MUTATIONS[name] as (b: Buffer, r: Random) => Buffer)(data, r);
  }
  return { data, names };
}
