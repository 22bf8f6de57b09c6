// SPDX-License-Identifier: Apache-2.0
import type { SandboxCreateRequest } from '../../api/schemas/requests.js';
import { type Call, given } from '../call.js';
import { create } from './shared/create.js';

export async function sandboxCreate(call: Call): Promise<undefined> {
  const { options, args } = call;
  const request: SandboxCreateRequest = {
    name: args[0] as string,
    ...given({
      netns: options.text('netns'),
      dns: [...options.list('dns')],
      dnsSearch: [...options.list('dns-search')],
      hostname: options.text('hostname'),
    }),
  };
  await create(call, 'sandboxes', request);
}
