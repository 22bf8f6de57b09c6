// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../call.js';
import { changeEndpoint } from './shared/change.js';

export async function endpointLeave(call: Call): Promise<undefined> {
  const [endpoint] = call.args as [string];
  const left = await changeEndpoint(call, endpoint, 'leave');
  if (left && call.json) call.out.json(left);
}
