// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../call.js';
import { changeEndpoint } from './shared/change.js';

export async function endpointJoin(call: Call): Promise<undefined> {
  const [endpoint, sandbox] = call.args as [string, string];
  const joined = await changeEndpoint(call, endpoint, 'join', { sandbox });
  if (joined && call.json) call.out.json(joined);
}
