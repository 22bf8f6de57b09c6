// SPDX-License-Identifier: Apache-2.0
/**
 * DNS messages (RFC 1035, EDNS RFC 6891), as far as a resolver needs that
 * answers with addresses and names and passes everything else on untouched.
 */
import { randomInt } from 'node:crypto';
import { parseAddress } from '../base/addresses.js';

export const TYPE = { A: 1, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, ANY: 255 } as const;
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;
const CLASS_IN = 1;
const CLASS_ANY = 255;

export const HEADER = 12;
/** Without EDNS, and the least with it. */
export const PLAIN_LIMIT = 512;
/** What we say that we take by UDP, and the most that we send. */
export const OUR_LIMIT = 4096;

const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;

export interface Edns {
  /** Bytes that the sender takes by UDP. */
  readonly size: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

export interface Query {
  readonly bytes: Buffer;
  readonly id: number;
  /** In lower case, without the dot at the end; '' is the root. */
  readonly name: string;
  readonly type: number;
  /** Of the Internet's class. */
  readonly internet: boolean;
  /** Where the question ends. */
  readonly end: number;
  readonly edns: Edns | null;
}

/** Not a query of one question. `answer` is null where nothing can be answered. */
export class BadQuery extends Error {
  readonly answer: Buffer | null;

  constructor(message: string, answer: Buffer | null) {
    super(message);
    this.answer = answer;
  }
}

/** Throws BadQuery. */
export function parseQuery(bytes: Buffer): Query {
  if (bytes.length < HEADER) throw new BadQuery('shorter than a header', null);
  const flags = bytes.readUInt16BE(2);
  // answering an answer would never end
  if (flags & QR) throw new BadQuery('an answer', null);
  if (flags & OPCODE) throw new BadQuery('not a standard query', bare(bytes, RCODE.NOTIMP));
  try {
    if (bytes.readUInt16BE(4) !== 1) throw new RangeError('not one question');
    const { name, end } = readName(bytes, HEADER);
    const type = bytes.readUInt16BE(end);
    const kind = bytes.readUInt16BE(end + 2);
    return {
      bytes,
      id: bytes.readUInt16BE(0),
      name: name.toLowerCase(),
      type,
      internet: kind === CLASS_IN || kind === CLASS_ANY,
      end: end + 4,
      edns: findEdns(bytes, end + 4),
    };
  } catch (e) {
    if (!(e instanceof RangeError)) throw e;
    throw new BadQuery(e.message, bare(bytes, RCODE.FORMERR));
  }
}

/** A header alone, for what has no question that could be repeated. */
function bare(bytes: Buffer, rcode: number): Buffer {
  const answer = Buffer.alloc(HEADER);
  bytes.copy(answer, 0, 0, 2);
  answer.writeUInt16BE(QR | (bytes.readUInt16BE(2) & (OPCODE | RD)) | rcode, 2);
  return answer;
}

/**
 * A name in the usual notation, a dot or backslash within a label and what does
 * not print as `\DDD`. Throws RangeError. Pointers lead backwards only, so
 * there is no loop.
 */
export function readName(bytes: Buffer, at: number): { name: string; end: number } {
  const labels: string[] = [];
  let end = -1;
  let length = 0;
  let lowest = at;
  for (let position = at; ; ) {
    const byte = bytes.readUInt8(position);
    if (byte >= 0xc0) {
      const target = bytes.readUInt16BE(position) & 0x3fff;
      if (end < 0) end = position + 2;
      if (target >= lowest) throw new RangeError('a pointer that does not lead back');
      lowest = target;
      position = target;
      continue;
    }
    if (byte >= 0x40) throw new RangeError('a label of an unknown kind');
    length += byte + 1;
    if (length > 255) throw new RangeError('a name of more than 255 bytes');
    if (byte === 0) return { name: labels.join('.'), end: end < 0 ? position + 1 : end };
    if (position + 1 + byte > bytes.length) throw new RangeError('a label behind the end');
    labels.push(label(bytes.toString('latin1', position + 1, position + 1 + byte)));
    position += 1 + byte;
  }
}

function label(text: string): string {
  if (/^[\w-]*$/.test(text)) return text;
  return text.replace(/[^!-~]|[.\\]/g, (c) => `\\${String(c.charCodeAt(0)).padStart(3, '0')}`);
}

/** The OPT record behind the question; null: there is none. Throws RangeError where records end too soon. */
function findEdns(bytes: Buffer, from: number): Edns | null {
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  let at = from;
  let edns: Edns | null = null;
  for (let i = 0; i < records; i++) {
    const fixed = skipName(bytes, at);
    if (bytes.readUInt16BE(fixed) === TYPE.OPT) {
      if (edns !== null) throw new RangeError('two OPT records');
      edns = {
        size: bytes.readUInt16BE(fixed + 2),
        version: bytes.readUInt8(fixed + 5),
        dnssecOk: (bytes.readUInt16BE(fixed + 6) & 0x8000) !== 0,
      };
    }
    at = fixed + 10 + bytes.readUInt16BE(fixed + 8);
    if (at > bytes.length) throw new RangeError('a record behind the end');
  }
  return edns;
}

function skipName(bytes: Buffer, at: number): number {
  for (let position = at; ; ) {
    const byte = bytes.readUInt8(position);
    if (byte >= 0xc0) return position + 2;
    if (byte >= 0x40) throw new RangeError('a label of an unknown kind');
    position += byte + 1;
    if (byte === 0) return position;
  }
}

/** An answer to a query, in a form that any of its types can be written from. */
export interface Answer {
  readonly rcode: number;
  /** We speak for the name. */
  readonly authoritative: boolean;
  /** Seconds. */
  readonly ttl: number;
  /** IPv4 and IPv6 addresses, or names where the question asks for one. */
  readonly records: readonly (
    | { readonly type: 1 | 28; readonly address: string }
    | { readonly type: 12; readonly name: string }
  )[];
}

/**
 * Bytes of the answer, of `limit` at most: what has no room is left out, and TC
 * says so, by which the client asks again by TCP.
 */
export function encodeAnswer(query: Query, answer: Answer, limit: number): Buffer {
  const { bytes, edns, end } = query;
  const records = answer.records.map(encodeRecord(answer.ttl));
  const opt = edns === null ? null : encodeOpt(edns, answer.rcode);
  let room = limit - end - (opt?.length ?? 0);
  let fit = 0;
  for (const record of records) {
    if (record.length > room) break;
    room -= record.length;
    fit++;
  }
  const question = Buffer.from(bytes.subarray(0, end));
  const asked = bytes.readUInt16BE(2);
  question.writeUInt16BE(
    QR |
      (answer.authoritative ? AA : 0) |
      (fit < records.length ? TC : 0) |
      (asked & (RD | CD)) |
      RA |
      (answer.rcode & 0xf),
    2,
  );
  question.writeUInt16BE(fit, 6);
  question.writeUInt16BE(0, 8);
  question.writeUInt16BE(opt === null ? 0 : 1, 10);
  return Buffer.concat([question, ...records.slice(0, fit), ...(opt === null ? [] : [opt])]);
}

const encodeRecord =
  (ttl: number) =>
  (record: Answer['records'][number]): Buffer => {
    const data = record.type === TYPE.PTR ? encodeName(record.name) : addressBytes(record.address);
    const bytes = Buffer.alloc(12 + data.length);
    bytes.writeUInt16BE(0xc000 | HEADER, 0); // the question's name
    bytes.writeUInt16BE(record.type, 2);
    bytes.writeUInt16BE(CLASS_IN, 4);
    bytes.writeUInt32BE(ttl, 6);
    bytes.writeUInt16BE(data.length, 10);
    data.copy(bytes, 12);
    return bytes;
  };

function encodeOpt(edns: Edns, rcode: number): Buffer {
  const bytes = Buffer.alloc(11);
  bytes.writeUInt16BE(TYPE.OPT, 1);
  bytes.writeUInt16BE(OUR_LIMIT, 3);
  bytes.writeUInt8(rcode >> 4, 5);
  bytes.writeUInt16BE(edns.dnssecOk ? 0x8000 : 0, 7);
  return bytes;
}

/** Of a name without escapes whose labels are not too long; '' for the root. */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.split('.');
  return Buffer.concat([
    ...labels.flatMap((text) => [Buffer.from([text.length]), Buffer.from(text, 'latin1')]),
    Buffer.from([0]),
  ]);
}

/** Labels have 1 to 63 bytes, names 255 in all. */
export function isEncodable(name: string): boolean {
  return name.length <= 253 && name.split('.').every((text) => text.length > 0 && text.length <= 63);
}

/** Few addresses, asked for over and over. */
const known = new Map<string, Buffer>();
const MOST_KNOWN = 65_536;

function addressBytes(text: string): Buffer {
  let bytes = known.get(text);
  if (bytes === undefined) {
    const address = parseAddress(text);
    const digits = address === null ? '' : address.value.toString(16);
    bytes = Buffer.from(digits.padStart(address?.family === 4 ? 8 : 32, '0'), 'hex');
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(text, bytes);
  }
  return bytes;
}

export function isTruncated(bytes: Buffer): boolean {
  return (bytes.readUInt16BE(2) & TC) !== 0;
}

export function rcodeOf(bytes: Buffer): number {
  return bytes.readUInt16BE(2) & 0xf;
}

/** Whether `bytes` answers the question of `query`, whose id it may bear in `id`. */
export function answersQuestion(query: Query, id: number, bytes: Buffer): boolean {
  if (bytes.length < HEADER || bytes.readUInt16BE(0) !== id) return false;
  if ((bytes.readUInt16BE(2) & QR) === 0 || bytes.readUInt16BE(4) !== 1) return false;
  if (bytes.length < query.end) return false;
  const kind = query.end - 4;
  const name = (b: Buffer): string => b.toString('latin1', HEADER, kind).toLowerCase();
  return (
    name(bytes) === name(query.bytes) && bytes.compare(query.bytes, kind, query.end, kind, query.end) === 0
  );
}

/** A secret between us and who is asked. */
export function randomId(): number {
  return randomInt(0x10000);
}

/** The same message under another id. */
export function withId(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** An answer to an equal question, with the id and the letters that `query` has. */
export function asAsked(query: Query, answer: Buffer): Buffer {
  const copy = withId(answer, query.id);
  query.bytes.copy(copy, HEADER, HEADER, query.end);
  return copy;
}

/**
 * Equal for queries that any one answer suits: all their bytes are the same
 * (flags, class, EDNS with its options), but for the id and upper case.
 */
export function sameness({ bytes, end }: Query): string {
  const tail = bytes.toString('latin1', end - 4);
  // lengths of labels are below the letters
  const name = bytes.toString('latin1', HEADER, end - 4).replace(/[A-Z]+/g, (s) => s.toLowerCase());
  return `${bytes.toString('latin1', 2, HEADER)}${name}${tail}`;
}

/** An answer cut to its question, for a client that has no room for more: it will ask by TCP. */
export function truncated(query: Query, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes.subarray(0, query.end));
  copy.writeUInt16BE(bytes.readUInt16BE(2) | TC, 2);
  for (const at of [6, 8, 10]) copy.writeUInt16BE(0, at);
  return copy;
}

/** What the client takes by UDP. */
export function udpLimit({ edns }: Pick<Query, 'edns'>): number {
  return edns === null ? PLAIN_LIMIT : Math.max(PLAIN_LIMIT, edns.size);
}

/** The address that a name below in-addr.arpa or ip6.arpa stands for; null: none, or part of one. */
export function reverseAddress(name: string): string | null {
  if (name.endsWith('.in-addr.arpa')) {
    const parts = name.slice(0, -'.in-addr.arpa'.length).split('.');
    if (parts.length !== 4) return null;
    const text = parts.reverse().join('.');
    return parseAddress(text) === null ? null : text;
  }
  if (!name.endsWith('.ip6.arpa')) return null;
  const digits = name.slice(0, -'.ip6.arpa'.length).split('.');
  if (digits.length !== 32 || !digits.every((d) => /^[0-9a-f]$/.test(d))) return null;
  return (digits.reverse().join('').match(/.{4}/g) as string[]).join(':');
}
