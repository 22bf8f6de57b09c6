// SPDX-License-Identifier: Apache-2.0
/** Makes valid frames of either family wrong in the ways that parsers get wrong. */
import ipaddr from 'ipaddr.js';
import { chain6, ETHERTYPE, EXTENSION, mac } from './craft.js';
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
const isV6 = (b: Buffer): boolean => b.readUInt16BE(12) === ETHERTYPE[6];
const chainOf = (b: Buffer) => (b.length >= L3 + 40 ? chain6(b.subarray(L3)) : null);
const segmentAt = (b: Buffer): number =>
  L3 + (isV6(b) ? (chainOf(b)?.upper ?? 40) : ((b[L3] as number) & 15) * 4);
const protocolOf = (b: Buffer): number | undefined => (isV6(b) ? chainOf(b)?.protocol : b[L3 + 9]);
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
const SPECIAL6 = [
  '::',
  '::1',
  'ff02::1',
  'fe80::1',
  'fe80::42:aff:fe40:2',
  '::ffff:192.0.2.1',
  '2001:db8::1',
  'fd00:64::1',
  'fd00:64::2',
  '2001:db8:ffff::7',
];
const MACS = ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '33:33:00:00:00:01', '02:00:00:00:00:77'];

const OF_IPV4: Record<string, (b: Buffer, r: Random) => Buffer> = {
  headerLength: at(0, (b, r) => {
    b[L3] = ((b[L3] as number) & 0xf0) | r.int(0, 15);
    if (r.chance(0.5)) resum(b);
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
};

/** Puts an extension header of `type` behind the first one, or where it would be. */
function insertExtension(b: Buffer, type: number, body: Buffer): Buffer {
  const header = Buffer.concat([Buffer.from([b[L3 + 6] as number]), body]);
  const out = Buffer.concat([b.subarray(0, L3 + 40), header, b.subarray(L3 + 40)]);
  out[L3 + 6] = type;
  out.writeUInt16BE((b.readUInt16BE(L3 + 4) + header.length) & 0xffff, L3 + 4);
  return out;
}
const address6 =
  (offset: number) =>
  (b: Buffer, r: Random): void => {
    Buffer.from(ipaddr.parse(r.pick(SPECIAL6)).toByteArray()).copy(b, L3 + offset);
  };

const OF_IPV6: Record<string, (b: Buffer, r: Random) => Buffer> = {
  payloadLength: at(4, (b, r) => {
    const length = b.length - L3 - 40;
    b.writeUInt16BE(r.pick([0, 1, 7, 8, 19, length + 1, 0xffff, r.int(0, b.length)]) & 0xffff, L3 + 4);
  }),
  nextHeader: at(6, (b, r) => {
    b[L3 + 6] = r.pick([0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60, 132, 135, 255]);
  }),
  hopLimit: at(7, (b, r) => {
    b[L3 + 7] = r.pick([0, 1, 2, 255]);
  }),
  source: at(22, address6(8)),
  destination: at(38, address6(24)),
  extensions: (b, r) => {
    let out = b;
    if (b.length < L3 + 40) return b;
    for (let n = r.pick([1, 1, 2, 5, 6, 7]); n > 0; n--) {
      const type = r.pick(Object.values(EXTENSION));
      const length = r.pick([0, 0, 1, 7]);
      const fill = Buffer.from([r.chance(0.2) ? r.int(0, 255) : length]);
      out = insertExtension(out, type, Buffer.concat([fill, Buffer.alloc(6 + 8 * length)]));
    }
    return out;
  },
  fragment: (b, r) => {
    if (b.length < L3 + 40) return b;
    const header = Buffer.alloc(7);
    header.writeUInt16BE(r.pick([0, 1, 8, 9, 6, 0xfff8, 0xffff]), 1);
    return insertExtension(b, EXTENSION.fragment, header);
  },
  extensionLength: at(40, (b, r) => {
    b[L3 + 41] = r.pick([0, 1, 2, 62, 63, 64, 255]);
  }),
  nextOfExtension: at(40, (b, r) => {
    b[L3 + 40] = r.pick([0, 6, 17, 43, 44, 51, 58, 59, 60, 255]);
  }),
};

const ICMP_TYPES = [0, 3, 4, 5, 8, 11, 12, 13, 255];
const ICMPV6_TYPES = [1, 2, 3, 4, 128, 129, 130, 133, 134, 135, 136, 137, 143, 255];

const OF_BOTH: Record<string, (b: Buffer, r: Random) => Buffer> = {
  truncate: (b, r) => b.subarray(0, r.int(14, b.length)),
  pad: (b, r) => Buffer.concat([b, r.bytes(r.int(1, 46))]),
  version: at(0, (b, r) => {
    b[L3] = ((b[L3] as number) & 15) | (r.int(0, 15) << 4);
  }),
  segmentSum: (b, r) => {
    const protocol = b.length > L3 ? protocolOf(b) : 0;
    const offset = protocol === 6 ? 16 : protocol === 17 ? 6 : 2;
    return inSegment(offset, (x, o, rr) => x.writeUInt16BE(rr.word() & 0xffff, o))(b, r);
  },
  noSum: inSegment(6, (b, o) => {
    if (protocolOf(b) === 17) b.writeUInt16BE(0, o);
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
    b[o] = r.pick(isV6(b) ? ICMPV6_TYPES : ICMP_TYPES);
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

const namesOf = (of: Record<string, unknown>): string[] => [...Object.keys(of), ...Object.keys(OF_BOTH)];
const MUTATIONS = { 4: { ...OF_IPV4, ...OF_BOTH }, 6: { ...OF_IPV6, ...OF_BOTH } } as const;
const NAMES = { 4: namesOf(OF_IPV4), 6: namesOf(OF_IPV6) } as const;

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
    const family = isV6(data) ? 6 : 4;
    const name = r.pick(NAMES[family]);
    names.push(name);
    data = (MUTATIONS[family][name] as (b: Buffer, r: Random) => Buffer)(data, r);
  }
  return { data, names };
}
