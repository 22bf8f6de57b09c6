// SPDX-License-Identifier: Apache-2.0
import type { PlanObject } from '../../../api/schemas/objects.js';
import type { Call } from '../../call.js';

/** Posts what is to be made, and prints its id; warnings go to stderr. */
export async function create(
  { client, out, json, dryRun, io }: Call,
  path: string,
  request: object,
): Promise<void> {
  const answer = await client.post<{ id: string; warnings?: string[] } | PlanObject>(path, request, {
    dryRun: dryRun || undefined,
  });
  if ('dryRun' in answer) {
    out.plan(answer.rows, json);
    return;
  }
  for (const warning of answer.warnings ?? []) io.stderr.write(`sluice: warning: ${warning}\n`);
  if (json) out.json(answer);
  else out.line(answer.id);
}
