// SPDX-License-Identifier: Apache-2.0
import type { ConntrackStats } from '../../api/schemas/conntrack.js';
import type { Call } from '../call.js';
import { tableFill } from './shared/tables.js';

export async function conntrackStats({ client, out, json }: Call): Promise<undefined> {
  const stats = await client.get<ConntrackStats>('conntrack/stats');
  if (json) {
    out.json(stats);
    return;
  }
  out.table(
    ['PROTO', 'OPENED', 'PROVEN', 'EXPIRED', 'RESET'],
    Object.entries(stats.protocols).map(([protocol, { opened, promoted, expired, reset }]) =>
      [protocol, opened, promoted, expired, reset].map(String),
    ),
  );
  out.line('');
  tableFill(out, stats.tables);
  out.line('');
  const { kept, picked, exhausted } = stats.sourcePorts;
  out.table(['SOURCE PORTS KEPT', 'PICKED', 'EXHAUSTED'], [[kept, picked, exhausted].map(String)]);
}
