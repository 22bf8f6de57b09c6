// SPDX-License-Identifier: Apache-2.0
import type { ConnectRequest } from '../../api/schemas/requests.js';
import { type Call, given } from '../call.js';
import { part } from '../client.js';
import { endpointFields } from './shared/change.js';
import { create } from './shared/create.js';

export async function connect(call: Call): Promise<undefined> {
  const [network, sandbox] = call.args as [string, string];
  const request: ConnectRequest = {
    network,
    ...given({ name: call.options.text('name') }),
    ...endpointFields(call),
  };
  await create(call, `sandboxes/${part(sandbox)}/connect`, request);
}
