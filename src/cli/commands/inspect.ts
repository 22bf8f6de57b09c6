// SPDX-License-Identifier: Apache-2.0
import { part } from '../client.js';
import type { Handler } from '../spec.js';
import { forEach } from './shared/each.js';

/** What was found is printed also where something was not. */
export function inspect(path: 'networks' | 'sandboxes' | 'endpoints' | 'services'): Handler {
  return async (call) => {
    const items: object[] = [];
    const exit = await forEach(call, async (name) => {
      items.push(await call.client.get<object>(`${path}/${part(name)}`));
    });
    call.out.json(items);
    return exit;
  };
}
