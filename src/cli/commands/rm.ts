// SPDX-License-Identifier: Apache-2.0
import type { PlanObject, RowObject } from '../../api/schemas/objects.js';
import { part } from '../client.js';
import type { Handler } from '../spec.js';
import { forEach } from './shared/each.js';

export function rm(path: 'networks' | 'sandboxes' | 'endpoints' | 'services'): Handler {
  return async (call) => {
    const { client, out, json, dryRun, options } = call;
    const rows: RowObject[] = [];
    const removed: string[] = [];
    const exit = await forEach(call, async (name) => {
      const plan = await client.delete<PlanObject | undefined>(`${path}/${part(name)}`, undefined, {
        dryRun: dryRun || undefined,
        force: (path === 'networks' && options.flag('force')) || undefined,
      });
      rows.push(...(plan?.rows ?? []));
      removed.push(name);
      if (!dryRun && !json) out.line(name);
    });
    if (dryRun) out.plan(rows, json);
    else if (json) out.json(removed);
    return exit;
  };
}
