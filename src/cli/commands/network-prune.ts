// SPDX-License-Identifier: Apache-2.0
import type { PrunedObject, PrunePlanObject } from '../../api/schemas/objects.js';
import type { Call } from '../call.js';

export async function networkPrune({ client, out, json, dryRun }: Call): Promise<undefined> {
  const answer = await client.post<PrunedObject | PrunePlanObject>('networks/prune', undefined, {
    dryRun: dryRun || undefined,
  });
  if (json) out.json('dryRun' in answer ? answer : answer.networks);
  else for (const name of answer.networks) out.line('dryRun' in answer ? `would remove ${name}` : name);
}
