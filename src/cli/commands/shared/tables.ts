// SPDX-License-Identifier: Apache-2.0
import type { TableFill } from '../../../api/schemas/status.js';
import type { Output } from '../../output.js';

export function tableFill(out: Output, tables: readonly TableFill[]): void {
  out.table(
    ['TABLE', 'ENTRIES', 'CAPACITY', 'FILL'],
    tables.map(({ map, entries, capacity }) => [
      map,
      String(entries),
      String(capacity),
      capacity > 0 ? `${((100 * entries) / capacity).toFixed(1)} %` : '-',
    ]),
  );
}
