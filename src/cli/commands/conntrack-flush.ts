// SPDX-License-Identifier: Apache-2.0
import type { FlushedObject, FlushPlanObject } from '../../api/schemas/conntrack.js';
import type { Call } from '../call.js';
import { flowQuery } from './shared/flows.js';

export async function conntrackFlush(call: Call): Promise<undefined> {
  const { client, out, json, dryRun } = call;
  const answer = await client.delete<FlushedObject | FlushPlanObject>('conntrack', undefined, {
    ...flowQuery(call),
    dryRun: dryRun || undefined,
  });
  if (json) out.json(answer);
  else
    out.line(
      `${answer.flows} flow${answer.flows === 1 ? '' : 's'} ${'dryRun' in answer ? 'would be ' : ''}forgotten`,
    );
}
