// SPDX-License-Identifier: Apache-2.0
import type { PlanObject, ServiceObject } from '../../api/schemas/objects.js';
import type { BackendAddRequest, BackendSetRequest } from '../../api/schemas/requests.js';
import { type Call, given } from '../call.js';
import { part } from '../client.js';
import { usage } from '../failure.js';
import { weightOf } from './shared/numbers.js';

export async function addBackend(call: Call): Promise<undefined> {
  const [service, endpoint] = call.args as [string, string];
  const request: BackendAddRequest = {
    endpoint,
    ...given({ weight: weightOf(call.options.text('weight')) }),
  };
  show(call, await call.client.post(`services/${part(service)}/backends`, request, query(call)));
}

export async function rmBackend(call: Call): Promise<undefined> {
  const [service, endpoint] = call.args as [string, string];
  show(call, await call.client.delete(path(service, endpoint), undefined, query(call)));
}

export async function setBackend(call: Call): Promise<undefined> {
  const [service, endpoint] = call.args as [string, string];
  const weight = weightOf(call.options.text('weight'));
  const drain = call.options.text('drain');
  if (weight === undefined && drain === undefined)
    throw usage('nothing is to be set', 'give --weight or --drain');
  const request: BackendSetRequest = {
    ...(weight !== undefined && { weight }),
    ...(drain !== undefined && { drain: isTrue(drain) }),
  };
  show(call, await call.client.patch(path(service, endpoint), request, query(call)));
}

function show({ out, json }: Call, answer: ServiceObject | PlanObject | undefined): void {
  if (answer !== undefined && 'dryRun' in answer) out.plan(answer.rows, json);
  else if (answer !== undefined && json) out.json(answer);
}

function path(service: string, endpoint: string): string {
  return `services/${part(service)}/backends/${part(endpoint)}`;
}

function query({ dryRun }: Call) {
  return { dryRun: dryRun || undefined };
}

function isTrue(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw usage(`--drain=${text}: neither true nor false`);
}
