// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import { PortSet } from '../../../src/base/port-set.js';
import { RESERVED_PORTS, ReservedPorts } from '../../../src/reconcile/reserved-ports.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-reserved-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Row {
  hostPort: number;
  hostPortEnd: number;
}

/** A kernel with these sysctls, and as many lives of the daemon as a test wants. */
class Host {
  list = '';
  range = '32768\t60999\n';
  rows: Row[] = [];
  writes = 0;
  /** The daemon dies: what comes after throws. */
  diesBefore: 'write' | 'read back' | null = null;

  daemon(): ReservedPorts {
    const read = async (key: string): Promise<string> => {
      if (key !== RESERVED_PORTS) return this.range;
      if (this.diesBefore === 'read back' && this.writes > 0) throw new Error('dead');
      return `${this.list}\n`;
    };
    const write = async (_: string, value: string): Promise<void> => {
      if (this.diesBefore === 'write') throw new Error('dead');
      this.writes++;
      this.list = value.trim();
    };
    const file = join(directory, 'reserved-ports.json');
    return new ReservedPorts({ sysctls: { read, write }, file, rows: () => this.rows, log: silentLog() });
  }
}

const row = (hostPort: number, hostPortEnd = hostPort): Row => ({ hostPort, hostPortEnd });

describe('reserved ports', () => {
  it('merge what is published in the range, as ranges, and nothing below it', async () => {
    const host = new Host();
    host.list = '9000,40000';
    host.rows = [row(8080), row(33000, 42999), row(60990, 61010)];
    await host.daemon().repair();
    expect(host.list).toBe('9000,33000-42999,60990-60999');
    expect(host.writes).toBe(1);
    expect(await host.daemon().restore()).toBe('33000-39999,40001-42999,60990-60999');
    expect(host.list).toBe('9000,40000');
  });

  it('are written once for the changes of one moment, and not at all where nothing changes', async () => {
    const host = new Host();
    const daemon = host.daemon();
    await daemon.repair();
    host.rows = [row(40000), row(40001), row(40002)];
    await Promise.all(host.rows.map((r) => daemon.changed(r)));
    expect(host).toMatchObject({ list: '40000-40002', writes: 1 });
    host.rows.push(row(80), row(40001));
    await Promise.all(host.rows.map((r) => daemon.changed(r)));
    expect(host.writes).toBe(1);
  });

  it('belong to whoever wrote the list anew', async () => {
    const host = new Host();
    host.rows = [row(40000, 40009)];
    await host.daemon().repair();
    host.list = '40005';
    const daemon = host.daemon();
    await daemon.repair();
    expect(host.list).toBe('40000-40009');
    host.rows = [];
    await daemon.changed(row(40000, 40009));
    expect(host.list).toBe('40005');
  });

  it.each(['write', 'read back'] as const)(
    'are told from those of others after a death before the %s',
    async (when) => {
      for (const [before, after] of [
        [[row(40000)], [row(40000), row(40005)]],
        [[row(40000), row(40005)], [row(40000)]],
        [[row(40000)], [row(40005)]],
      ]) {
        const host = new Host();
        host.list = '9000';
        host.rows = before as Row[];
        await host.daemon().repair();
        host.writes = 0;
        host.rows = after as Row[];
        host.diesBefore = when;
        await host.daemon().repair();
        host.diesBefore = null;
        await host.daemon().repair();
        expect(host.list).toBe(['9000', ...(after as Row[]).map((r) => r.hostPort)].join(','));
        await host.daemon().restore();
        expect(host.list).toBe('9000');
      }
    },
  );

  it('follow the range of automatic ports with the next look', async () => {
    const host = new Host();
    host.rows = [row(20000)];
    const daemon = host.daemon();
    await daemon.repair();
    expect(host.list).toBe('');
    host.range = '15000 60999\n';
    await daemon.repair();
    expect(host.list).toBe('20000');
  });

  it('survive a note that a crash has cut short', async () => {
    writeFileSync(join(directory, 'reserved-ports.json'), '{"ours":"400');
    const host = new Host();
    host.list = '9000';
    expect(await host.daemon().restore()).toBe('');
    expect(host.list).toBe('9000');
  });
});

describe('a set of ports', () => {
  it('reads and writes the notation of the kernel', () => {
    const port = fc.integer({ min: 1, max: 65535 });
    fc.assert(
      fc.property(fc.array(fc.tuple(port, fc.nat(200)), { maxLength: 20 }), (ranges) => {
        const text = ranges.map(([first, more]) => `${first}-${Math.min(first + more, 65535)}`).join(',');
        const set = PortSet.parse(text);
        const again = PortSet.parse(String(set));
        expect(String(again)).toBe(String(set));
        for (const [first] of ranges) expect(again.has(first)).toBe(true);
        expect(set.without(again).empty).toBe(true);
      }),
      { numRuns: 30 },
    );
    expect(String(PortSet.parse('3,1-2,65535\n'))).toBe('1-3,65535');
    expect(String(PortSet.parse('\n'))).toBe('');
  });
});
