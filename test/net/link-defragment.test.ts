// SPDX-License-Identifier: Apache-2.0
/** The table that has a namespace put datagrams together; nft(8) and the kernel's counters are the witnesses. */
import { readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  canDefragmentByTable,
  createDefragmentTable,
  hasDefragmentTable,
} from '../../src/link/defragment.js';
import { inside, Lab, native } from './link-support.js';

const TABLE = `table inet sluice {
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		ct state != 0x0 notrack
	}

	chain output {
		type filter hook output priority raw; policy accept;
		ct state != 0x0 notrack
	}
}
`;

describe('defragmentation by nf_tables', () => {
  const lab = new Lab();
  let path: string;
  const ruleset = (): string => inside(path, 'nft', ['list', 'ruleset']);
  const nft = (...command: string[]): string => inside(path, 'nft', command);
  const has = (): Promise<boolean> => hasDefragmentTable(native, path);

  beforeAll(async () => {
    path = await lab.namespace('d');
  });
  afterAll(async () => {
    await lab.close();
    expect(lab.left()).toEqual([]);
  });

  test('is one table of two chains, however often it is asked for', async () => {
    expect(await has()).toBe(false);
    await createDefragmentTable(native, path);
    expect(ruleset()).toBe(TABLE);
    await createDefragmentTable(native, path);
    expect(ruleset()).toBe(TABLE);
    expect(await has()).toBe(true);
  });

  test.each([
    ['a rule', ['flush', 'chain', 'inet', 'sluice', 'output']],
    ['a chain', ['delete', 'chain', 'inet', 'sluice', 'output']],
    ['the table', ['flush', 'ruleset']],
  ])('is missed when %s is gone, and made anew', async (_, command) => {
    if (command[0] === 'delete') nft('flush', 'chain', 'inet', 'sluice', 'output');
    nft(...command);
    expect(await has()).toBe(false);
    await createDefragmentTable(native, path);
    expect(ruleset()).toBe(TABLE);
  });

  test('tracks nothing', async () => {
    const tracked = (): number => Number(inside(path, 'sysctl', ['-n', 'net.netfilter.nf_conntrack_count']));
    const ping = (): string =>
      inside(path, 'ping', ['-c', '1', '127.0.0.1']) + inside(path, 'ping', ['-c', '1', '::1']);
    expect(ping()).toMatch(/ 1 received/);
    expect(tracked()).toBe(0);
    // without our rules the kernel does track here, and the counter shows it
    inside(
      path,
      'nft',
      ['-f', '-'],
      'flush ruleset; table inet t { chain c { type filter hook prerouting priority 0; ct state new accept; }; }',
    );
    ping();
    expect(tracked()).toBeGreaterThan(0);
  });

  test('is tried without a trace', async () => {
    const own = readlinkSync('/proc/self/ns/net');
    expect(await canDefragmentByTable(native)).toBe(true);
    expect(readlinkSync('/proc/self/ns/net')).toBe(own);
  });
});
