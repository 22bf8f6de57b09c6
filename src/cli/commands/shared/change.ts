// SPDX-License-Identifier: Apache-2.0
import type { EndpointObject, PlanObject } from '../../../api/schemas/objects.js';
import { type Call, given } from '../../call.js';
import { part } from '../../client.js';

/** A change of an endpoint; null: a dry run, whose rows are printed. */
export async function changeEndpoint(
  { client, out, json, dryRun }: Call,
  endpoint: string,
  action: string,
  body?: object,
): Promise<EndpointObject | null> {
  const answer = await client.post<EndpointObject | PlanObject>(
    `endpoints/${part(endpoint)}/${action}`,
    body,
    {
      dryRun: dryRun || undefined,
    },
  );
  if (!('dryRun' in answer)) return answer;
  out.plan(answer.rows, json);
  return null;
}

/** The flags that `endpoint create` and `connect` share. */
export function endpointFields({ options }: Call) {
  return given({
    ipv4: options.text('ip'),
    ipv6: options.text('ip6'),
    mac: options.text('mac'),
    ports: [...options.list('publish')],
    allow: [...options.list('allow')],
    aliases: [...options.list('alias')],
    labels: options.pairs('label'),
  });
}
