// SPDX-License-Identifier: Apache-2.0
/** What holds for every packet that goes through a program, whatever it is. */
import { chain6, type Dissected, dissect, ETHERTYPE, type Family } from './craft.js';
import type { FuzzedProgram } from './fuzzbed.js';

const L3 = 14;
type Field = 'macs' | 'ttl' | 'src' | 'dst' | 'sport' | 'dport';
export type Fate = 'passed' | 'redirected' | 'dropped' | 'refused';

/** Where the fields of an IP packet at `l3` are. Checksums are not among them. */
function fieldBytes(d: Dissected, field: Field, l3 = L3): number[] {
  const span = (from: number, length: number): number[] => Array.from({ length }, (_, i) => from + i);
  const v4 = d.family === 4;
  const segment = l3 + d.headerLength;
  const ports = d.protocol === 6 || d.protocol === 17;
  if (field === 'macs') return span(0, 12);
  if (field === 'ttl') return [l3 + (v4 ? 8 : 7)];
  if (field === 'src') return v4 ? span(l3 + 12, 4) : span(l3 + 8, 16);
  if (field === 'dst') return v4 ? span(l3 + 16, 4) : span(l3 + 24, 16);
  if (field === 'sport') return span(segment + (ports ? 0 : 4), 2);
  return ports ? span(segment + 2, 2) : [];
}

/** Those of the header, and of what has one of its own. */
function sumBytes(d: Dissected, l3 = L3): number[] {
  const header = d.family === 4 ? [l3 + 10, l3 + 11] : [];
  const offset: Record<number, number> = { 6: 16, 17: 6, 1: 2, 58: 2 };
  const own = offset[d.protocol];
  if (own === undefined || isLater(d)) return header;
  const at = l3 + d.headerLength + own;
  return [...header, at, at + 1];
}

/** The host's own flows that were moved aside are translated as they pass. */
const TRANSLATED_IN_PASSING: Partial<Record<FuzzedProgram, readonly Field[]>> = {
  uplink_egress: ['src', 'sport'],
  uplink_ingress: ['dst', 'dport', 'sport'],
};

const ERRORS = { 4: [3, 11, 12], 6: [1, 2, 3, 4] } as const;
const ICMP = { 4: 1, 6: 58 } as const;
/** A fragment that has no header of layer 4. */
const isLater = (d: Dissected): boolean => (d.fragment & 0x1fff) !== 0;
const isError = (d: Dissected): boolean =>
  !isLater(d) &&
  d.protocol === ICMP[d.family] &&
  (ERRORS[d.family] as readonly number[]).includes(d.segment[0] as number);

/** The same one's complement sum: 0 and 0xffff are one value. */
const sameSum = (a: number | null, b: number | null): boolean => (a ?? 0) % 0xffff === (b ?? 0) % 0xffff;

const familyOf = (frame: Buffer): Family | null =>
  frame.readUInt16BE(12) === ETHERTYPE[4] ? 4 : frame.readUInt16BE(12) === ETHERTYPE[6] ? 6 : null;

/** `out` is an ICMP error about `data`, back the way it came. */
export function isRefusal(data: Buffer, out: Buffer): boolean {
  const family = familyOf(data);
  const d = family && out.length > L3 + 40 ? dissect(out.subarray(L3), family) : null;
  if (!d || !isError(d) || !out.subarray(0, 6).equals(data.subarray(6, 12))) return false;
  const quote = d.segment.subarray(8);
  return quote.length >= 28 && quote.equals(data.subarray(L3, L3 + quote.length));
}

function checkRefusal(data: Buffer, out: Buffer): string | null {
  const family = familyOf(data) as Family;
  const [before, after] = [dissect(data.subarray(L3), family), dissect(out.subarray(L3), family)];
  if (before && isError(before)) return 'an error about an error';
  if (after === null || after.headerResidue !== 0 || after.residue !== 0)
    return 'an error with wrong checksums';
  if (out.length - L3 > (family === 4 ? 576 : 1280)) return 'an error that is too long';
  return before && after.dst !== before.src ? 'an error to somebody else' : null;
}

/** Bytes of the packet that an error quotes which its translation may change. */
function quotedBytes(error: Dissected): number[] {
  const l3 = L3 + error.headerLength + 8;
  const quote = error.segment.subarray(8);
  const v4 = error.family === 4;
  if (quote.length < (v4 ? 20 : 40)) return [];
  const chain = v4 ? null : chain6(quote);
  const headerLength = chain ? chain.upper : ((quote[0] as number) & 15) * 4;
  const d = { ...error, headerLength, protocol: chain ? chain.protocol : (quote[9] as number) };
  return [
    ...sumBytes(d, l3),
    ...(['src', 'dst', 'sport', 'dport'] as const).flatMap((f) => fieldBytes(d, f, l3)),
  ];
}

/**
 * Null, or what is wrong with `out` as an answer to `data`. `inOrder`: the
 * packet had the mark of fragments that come in order.
 */
export function checkPacket(
  program: FuzzedProgram,
  fate: Fate,
  data: Buffer,
  out: Buffer,
  inOrder: boolean,
): string | null {
  if (fate === 'refused') return checkRefusal(data, out);
  if (out.length !== data.length) return `${data.length} bytes became ${out.length}`;
  if (fate === 'dropped' || out.equals(data)) return null;
  if (fate === 'passed' && !TRANSLATED_IN_PASSING[program]) return 'passed, but changed';
  const family = familyOf(data);
  if (family === null) return 'changed, though no IP';
  const before = dissect(data.subarray(L3), family);
  const after = dissect(out.subarray(L3), family);
  if (!before || !after) return 'changed, though it contradicts itself';
  if (!inOrder && (before.fragment & 0x3fff) !== 0) return 'changed, though a fragment';

  const error = isError(before);
  const fields: readonly Field[] =
    fate === 'passed'
      ? (TRANSLATED_IN_PASSING[program] ?? [])
      : ['macs', 'ttl', 'src', 'dst', ...(error || isLater(before) ? [] : (['sport', 'dport'] as const))];
  const may = new Set([
    ...sumBytes(before),
    ...fields.flatMap((f) => fieldBytes(before, f)),
    ...(error ? quotedBytes(before) : []),
  ]);
  for (let i = 0; i < data.length; i++) if (data[i] !== out[i] && !may.has(i)) return `byte ${i} changed`;
  const hops = fate === 'redirected' ? 1 : 0;
  if (after.ttl !== before.ttl - hops || (hops === 1 && after.ttl === 0))
    return `TTL ${before.ttl} became ${after.ttl}`;
  if (!sameSum(before.headerResidue, after.headerResidue)) return 'the header checksum went wrong';
  if (before.noSum !== after.noSum) return 'a UDP checksum appeared or vanished';
  if (!before.noSum && !sameSum(before.residue, after.residue)) return 'the checksum went wrong';
  return null;
}
