// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Answer,
  answersQuestion,
  BadQuery,
  encodeAnswer,
  encodeName,
  HEADER,
  isTruncated,
  parseQuery,
  RCODE,
  rcodeOf,
  readName,
  reverseAddress,
  TYPE,
  truncated,
  withId,
} from '../../../src/dns/message.js';
import { ask, question } from './support.js';

function refused(bytes: Buffer): BadQuery {
  try {
    parseQuery(bytes);
  } catch (e) {
    if (e instanceof BadQuery) return e;
    throw e;
  }
  throw new Error('it was taken');
}
const answer = (count: number): Answer => ({
  rcode: 0,
  authoritative: true,
  ttl: 5,
  records: Array.from({ length: count }, (_, i) => ({ type: 1, address: `10.0.${i >> 8}.${i & 255}` })),
});

describe('a question', () => {
  test('is read with its name in lower case', () => {
    expect(ask('Web.Example', TYPE.AAAA)).toMatchObject({
      id: 0x1234,
      name: 'web.example',
      type: TYPE.AAAA,
      internet: true,
      edns: null,
    });
    expect(ask('').name).toBe('');
    expect(ask('a', 1, 1232).edns).toEqual({ size: 1232, version: 0, dnssecOk: false });
  });

  test('may have any bytes in its labels, which do not pass for others', () => {
    const name = Buffer.from([3, 0x61, 0x2e, 0x62, 1, 0xff, 0]);
    expect(readName(name, 0).name).toBe('a\\046b.\\255');
  });

  test.each([
    ['nothing', Buffer.alloc(0), null],
    ['less than a header', question('a').subarray(0, 11), null],
    ['an answer', withFlags(question('a'), 0x8180), null],
    ['an update', withFlags(question('a'), 0x2800), RCODE.NOTIMP],
    ['no question', withCount(question('a'), 0), RCODE.FORMERR],
    ['two questions', withCount(question('a'), 2), RCODE.FORMERR],
    ['a cut name', question('abcdef').subarray(0, 15), RCODE.FORMERR],
    ['no class', question('a').subarray(0, -2), RCODE.FORMERR],
    ['a name that points at itself', pointing(HEADER), RCODE.FORMERR],
    ['a name that points ahead', pointing(HEADER + 2), RCODE.FORMERR],
    [
      'a label of an unknown kind',
      Buffer.concat([question('').subarray(0, 12), Buffer.from([0x40, 0, 0, 1, 0, 1])]),
      RCODE.FORMERR,
    ],
    ['an OPT that ends too soon', question('a', 1, 512).subarray(0, -1), RCODE.FORMERR],
  ])('is not %s', (_, bytes, rcode) => {
    const { answer } = refused(bytes);
    expect(answer === null ? null : rcodeOf(answer)).toBe(rcode);
  });

  test('with a long name is refused', () => {
    const long = Array(5).fill('x'.repeat(60)).join('.');
    expect(refused(question(long)).message).toMatch(/255/);
  });

  test('of whatever bytes is read or refused, and at once', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      // a sound header, and pointers and labels behind it
      fc
        .array(fc.constantFrom(0xc0, 0x0c, 0x3f, 1, 0, 12, 0xff), { maxLength: 400 })
        .map((rest) => [...[0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1], ...rest]),
    );
    fc.assert(
      fc.property(bytes, (array) => {
        try {
          const query = parseQuery(Buffer.from(array));
          expect(query.end).toBeLessThanOrEqual(array.length);
          encodeAnswer(query, answer(3), 512);
        } catch (e) {
          if (!(e instanceof BadQuery)) throw e;
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe('an answer', () => {
  test('repeats the question as it was spelt, and names it by pointers', () => {
    const bytes = encodeAnswer(ask('WeB', TYPE.A), answer(1), 512);
    expect(bytes.toString('hex')).toBe(
      `12348580000100010000000003576542000001${'0001'}c00c00010001000000050004${'0a000000'}`,
    );
  });

  test('keeps to its limit and says so', () => {
    const all = encodeAnswer(ask('many', 1), answer(200), 65_535);
    expect([all.readUInt16BE(6), isTruncated(all)]).toEqual([200, false]);
    const some = encodeAnswer(ask('many', 1), answer(200), 512);
    expect(some.length).toBeLessThanOrEqual(512);
    expect([some.readUInt16BE(6), isTruncated(some)]).toEqual([30, true]);
    const edns = encodeAnswer(ask('many', 1, 1232), answer(200), 1232);
    expect(edns.length).toBeLessThanOrEqual(1232);
    expect(edns.readUInt16BE(10)).toBe(1);
  });

  test('has the high bits of its code with EDNS', () => {
    const bytes = encodeAnswer(ask('a', 1, 512), { ...answer(0), rcode: RCODE.BADVERS }, 512);
    expect([rcodeOf(bytes), bytes.at(-6)]).toEqual([0, 1]);
  });

  test('has names and IPv6 addresses', () => {
    const records = [{ type: TYPE.PTR, name: 'box.web' }] as const;
    const name = encodeAnswer(ask('x', TYPE.PTR), { ...answer(0), records }, 512);
    expect(name.subarray(-9).equals(encodeName('box.web'))).toBe(true);
    const address = [{ type: TYPE.AAAA, address: 'fd00::2' }] as const;
    const six = encodeAnswer(ask('x', TYPE.AAAA), { ...answer(0), records: address }, 512);
    expect(six.subarray(-16).toString('hex')).toBe('fd000000000000000000000000000002');
  });

  test('counts only for the question that was asked', () => {
    const query = ask('Web.example');
    const bytes = encodeAnswer(ask('web.EXAMPLE'), answer(1), 512);
    expect(answersQuestion(query, 0x1234, bytes)).toBe(true);
    expect(answersQuestion(query, 0x1235, bytes)).toBe(false);
    expect(answersQuestion(query, 7, withId(bytes, 7))).toBe(true);
    expect(answersQuestion(query, 0x1234, question('web.example'))).toBe(false);
    expect(answersQuestion(ask('web.example', TYPE.AAAA), 0x1234, bytes)).toBe(false);
    expect(answersQuestion(ask('wec.example'), 0x1234, bytes)).toBe(false);
    expect(answersQuestion(query, 0x1234, bytes.subarray(0, 14))).toBe(false);
  });

  test('cut to its question says that there is more', () => {
    const query = ask('web');
    const cut = truncated(query, encodeAnswer(query, answer(9), 512));
    expect([cut.length, isTruncated(cut), cut.readUInt16BE(6)]).toEqual([query.end, true, 0]);
    expect(parseQuery(withFlags(cut, 0x0100)).name).toBe('web');
  });
});

test('reverse names stand for addresses', () => {
  expect(reverseAddress('5.0.64.10.in-addr.arpa')).toBe('10.64.0.5');
  expect(reverseAddress(`2${'.0'.repeat(15)}${'.0'.repeat(14)}.d.f.ip6.arpa`)).toBe(
    'fd00:0000:0000:0000:0000:0000:0000:0002',
  );
  for (const name of [
    '64.10.in-addr.arpa',
    '256.0.64.10.in-addr.arpa',
    'x.in-addr.arpa',
    'd.f.ip6.arpa',
    'web',
  ])
    expect(reverseAddress(name)).toBeNull();
});

function withFlags(bytes: Buffer, flags: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(flags, 2);
  return copy;
}
function withCount(bytes: Buffer, questions: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(questions, 4);
  return copy;
}
function pointing(at: number): Buffer {
  return Buffer.concat([question('').subarray(0, HEADER), Buffer.from([0xc0, at, 0, 1, 0, 1])]);
}
