// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sleep } from '../../../src/base/clock.js';
import { SluiceError } from '../../../src/base/errors.js';
import { isIdPrefix, newId } from '../../../src/base/ids.js';
import { createLog, silentLog } from '../../../src/base/log.js';
import { checkHostname, checkName, isDomain, isInterfaceName, isName } from '../../../src/base/names.js';
import { formatDuration, parseDuration, parseSize } from '../../../src/base/units.js';
import { ManualClock } from '../support/clock.js';

describe('names', () => {
  test.each(['a', '0', 'web-1', 'Web_1.x', 'a'.repeat(63)])('%s is one', (text) =>
    expect(isName(text)).toBe(true),
  );
  test.each(['', '-a', '.a', '_a', 'a b', 'a/b', 'a'.repeat(64), 'ä', 'a\n'])('%j is none', (text) => {
    expect(isName(text)).toBe(false);
    expect(() => checkName(text)).toThrow(SluiceError);
  });

  test('of hosts and domains', () => {
    expect(() => checkHostname('web-1.example', 'hostname')).not.toThrow();
    for (const text of ['', '-a', 'a-', 'a..b', 'a.', 'a b', 'x'.repeat(65)]) {
      expect(() => checkHostname(text, 'hostname')).toThrow(/host name/);
    }
    expect(['example.net', 'example.net.', '.'].every(isDomain)).toBe(true);
    expect(['', 'a b', '..', '-x.net'].some(isDomain)).toBe(false);
  });

  test('of interfaces follow the kernel', () => {
    expect(['br0', 'a'.repeat(15), 'br-0.1', 'ä'].every(isInterfaceName)).toBe(true);
    expect(
      ['', 'a'.repeat(16), 'ä'.repeat(8), 'a b', 'a/b', 'a:1', 'a%d', '.', '..', 'a\0'].some(isInterfaceName),
    ).toBe(false);
  });
});

describe('ids', () => {
  test('are 64 hexadecimal characters, each time others', () => {
    expect(newId()).toMatch(/^[0-9a-f]{64}$/);
    expect(newId()).not.toBe(newId());
    expect(isIdPrefix('0a')).toBe(true);
    expect(isIdPrefix('')).toBe(false);
    expect(isIdPrefix('0A')).toBe(false);
  });
});

describe('units', () => {
  test.each([
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['90', 90_000],
    ['2d', 172_800_000],
    ['0', 0],
  ])('%s lasts %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));
  test.each(['', 's', '5x', '-5s', '5 s', '1h-5m', '1e3s', '99999999999999999d'])(
    '%j is no duration',
    (text) => expect(parseDuration(text)).toBeNull(),
  );
  test('durations are read back', () => {
    fc.assert(fc.property(fc.nat(), (ms) => void expect(parseDuration(formatDuration(ms))).toBe(ms)));
  });
  test.each([
    ['512', 512],
    ['64k', 65536],
    ['1.5GiB', 1.5 * 1024 ** 3],
    ['10MB', 10 * 1024 ** 2],
    ['7b', 7],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));
  test.each(['', 'k', '5x', '-1', '1 k', 'constructor'])('%j is no size', (text) =>
    expect(parseSize(text)).toBeNull(),
  );
});

describe('log', () => {
  test('writes one JSON line an event, with the error and its cause', () => {
    const lines: string[] = [];
    const log = createLog({ level: 'info', sink: { write: (line) => lines.push(line) } }).child({
      part: 'x',
    });
    log.debug('not shown');
    log.error('broke', { err: new SluiceError('store', 'full', { cause: new Error('ENOSPC') }), n: 1 });
    expect(lines).toHaveLength(1);
    const line = JSON.parse(lines[0] as string);
    expect(line).toMatchObject({ level: 'error', part: 'x', n: 1, msg: 'broke', err: { code: 'store' } });
    expect(line.err.message).toContain('full');
    expect(line.err.stack).toContain('ENOSPC');
    expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  test('can be silent', () => expect(() => silentLog().error('x')).not.toThrow());
});

describe('sleep', () => {
  test('ends with the clock or the signal', async () => {
    const clock = new ManualClock();
    const slept = sleep(clock, 100);
    clock.advance(100);
    await slept;
    const abort = new AbortController();
    const cut = sleep(clock, 100, abort.signal);
    abort.abort(new Error('enough'));
    await expect(cut).rejects.toThrow('enough');
    await expect(sleep(clock, 100, abort.signal)).rejects.toThrow('enough');
  });
});
