// SPDX-License-Identifier: Apache-2.0
/** What holds for every packet that goes through a program, whatever it is. */
import { type Dissected, dissect, ETHERTYPE } from './craft.js';
import type { FuzzedProgram } from './fuzzbed.js';

const L3 = 14;
type Field = 'macs' | 'ttl' | 'src' | 'dst' | 'sport' | 'dport';

/** Bytes that belong to a field of an IPv4 frame; checksums are not among them. */
function fieldBytes(d: Dissected, field: Field): number[] {
  const span = (from: number, length: number): number[] => Array.from({ length }, (_, i) => from + i);
  const segment = L3 + d.headerLength;
  const ports = d.protocol === 6 || d.protocol === 17;
  if (field === 'macs') return span(0, 12);
  if (field === 'ttl') return [L3 + 8];
  if (field === 'src') return span(L3 + 12, 4);
  if (field === 'dst') return span(L3 + 16, 4);
  if (field === 'sport') return span(segment + (ports ? 0 : 4), 2);
  return ports ? span(segment + 2, 2) : [];
}

function sumBytes(d: Dissected): number[] {
  const offset: Record<number, number> = { 6: 16, 17: 6, 1: 2 };
  const at = L3 + d.headerLength + (offset[d.protocol] ?? 0);
  return [L3 + 10, L3 + 11, at, at + 1];
}

/** The host's own flows that were moved aside are translated as they pass. */
const TRANSLATED_IN_PASSING: Partial<Record<FuzzedProgram, readonly Field[]>> = {
  uplink_egress: ['src', 'sport'],
  uplink_ingress: ['dst', 'dport', 'sport'],
};

/** The same one's complement sum: 0 and 0xffff are one value. */
const sameSum = (a: number | null, b: number | null): boolean => (a ?? 0) % 0xffff === (b ?? 0) % 0xffff;

/** Null, or what is wrong with `out` as an answer to `data`. */
export function checkPacket(
  program: FuzzedProgram,
  fate: 'passed' | 'redirected' | 'dropped',
  data: Buffer,
  out: Buffer,
): string | null {
  if (out.length !== data.length) return `${data.length} bytes became ${out.length}`;
  if (fate === 'dropped' || out.equals(data)) return null;
  if (fate === 'passed' && !TRANSLATED_IN_PASSING[program]) return 'passed, but changed';
  if (data.readUInt16BE(12) !== ETHERTYPE[4]) return 'changed, though not IPv4';
  const before = dissect(data.subarray(L3), 4);
  const after = dissect(out.subarray(L3), 4);
  if (!before || !after) return 'changed, though it contradicts itself';
  if ((before.fragment & 0x3fff) !== 0) return 'changed, though a fragment';

  const fields: readonly Field[] =
    fate === 'passed'
      ? (TRANSLATED_IN_PASSING[program] ?? [])
      : ['macs', 'ttl', 'src', 'dst', 'sport', 'dport'];
  const may = new Set([...sumBytes(before), ...fields.flatMap((f) => fieldBytes(before, f))]);
  for (let i = 0; i < data.length; i++) if (data[i] !== out[i] && !may.has(i)) return `byte ${i} changed`;
  const hops = fate === 'redirected' ? 1 : 0;
  if (after.ttl !== before.ttl - hops || (hops === 1 && after.ttl === 0))
    return `TTL ${before.ttl} became ${after.ttl}`;
  if (!sameSum(before.headerResidue, after.headerResidue)) return 'the header checksum went wrong';
  if (before.noSum !== after.noSum) return 'a UDP checksum appeared or vanished';
  if (!before.noSum && !sameSum(before.residue, after.residue)) return 'the checksum went wrong';
  return null;
}
