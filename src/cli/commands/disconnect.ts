// SPDX-License-Identifier: Apache-2.0
import type { PlanObject } from '../../api/schemas/objects.js';
import type { Call } from '../call.js';
import { part } from '../client.js';

export async function disconnect({ args, client, out, json, dryRun }: Call): Promise<undefined> {
  const [network, sandbox] = args as [string, string];
  const plan = await client.post<PlanObject | undefined>(
    `sandboxes/${part(sandbox)}/disconnect`,
    { network },
    { dryRun: dryRun || undefined },
  );
  if (plan) out.plan(plan.rows, json);
}
