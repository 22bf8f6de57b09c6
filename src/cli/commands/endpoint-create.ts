// SPDX-License-Identifier: Apache-2.0
import type { EndpointCreateRequest } from '../../api/schemas/requests.js';
import type { Call } from '../call.js';
import { endpointFields } from './shared/change.js';
import { create } from './shared/create.js';

export async function endpointCreate(call: Call): Promise<undefined> {
  const request: EndpointCreateRequest = {
    name: call.args[0] as string,
    network: call.options.text('network') as string,
    ...endpointFields(call),
  };
  await create(call, 'endpoints', request);
}
