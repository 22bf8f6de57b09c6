// SPDX-License-Identifier: Apache-2.0
import type { PlanObject } from '../../api/schemas/objects.js';
import type { Call } from '../call.js';
import { part } from '../client.js';

export async function unpublish({ args, client, out, json, dryRun }: Call): Promise<undefined> {
  const [endpoint, ...ports] = args as [string, ...string[]];
  const plan = await client.delete<PlanObject | undefined>(
    `endpoints/${part(endpoint)}/publish`,
    { ports },
    { dryRun: dryRun || undefined },
  );
  if (plan) out.plan(plan.rows, json);
}
