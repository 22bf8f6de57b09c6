// SPDX-License-Identifier: Apache-2.0
/** Printing: lines, tables, JSON. */
import { once } from 'node:events';
import type { RowObject } from '../api/schemas/objects.js';

export class Output {
  readonly #stream: NodeJS.WritableStream;
  #full = false;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  line(text: string): void {
    this.#full = !this.#stream.write(`${text}\n`);
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value, null, 2));
  }

  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    for (const text of formatTable(headings, rows)) this.line(text);
  }

  /** The rows of a dry run. */
  plan(rows: readonly RowObject[], json: boolean): void {
    if (json) {
      this.json(rows);
      return;
    }
    this.table(
      ['KIND', 'WANTED'],
      rows.map(({ kind, ...rest }) => [
        kind,
        Object.entries(rest)
          .map(([name, value]) => `${name}=${detail(value)}`)
          .join(' '),
      ]),
    );
  }

  /** Waits until a slow reader has caught up; for commands that print without end. */
  async drained(): Promise<void> {
    if (this.#full) await once(this.#stream as NodeJS.WriteStream, 'drain');
    this.#full = false;
  }
}

function detail(value: unknown): string {
  if (Array.isArray(value)) return value.join(',') || '-';
  if (value === null) return '-';
  const text = String(value);
  return /[\s"]/.test(text) ? JSON.stringify(text) : text;
}

const GAP = '   ';

/** Columns as wide as their widest cell, at least `widths`; the last one is not padded. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  widths: readonly number[] = [],
): string[] {
  const all = [headings, ...rows];
  const columns = headings.map((_, i) =>
    Math.max(widths[i] ?? 0, ...all.map((row) => (row[i] ?? '').length)),
  );
  return all.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(columns[i] ?? 0)))
      .join(GAP)
      .trimEnd(),
  );
}

/** As Docker shortens ids. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}
