// SPDX-License-Identifier: Apache-2.0
import type { EventObject } from '../../api/schemas/objects.js';
import type { Call } from '../call.js';
import { EXIT, Failure } from '../failure.js';

/** Until the daemon stops, which is then an error, or a signal. JSON is one object a line. */
export async function events({ client, out, json }: Call): Promise<never> {
  for await (const line of client.lines('events')) {
    if (!line.startsWith('data: ')) continue;
    const data = line.slice('data: '.length);
    out.line(json ? data : format(JSON.parse(data) as EventObject));
    await out.drained();
  }
  throw new Failure(EXIT.unreachable, 'unavailable', 'the daemon ended the stream', {
    hint: 'it stopped, or this reader was too slow',
  });
}

function format({ time, type, action, name, id, attributes }: EventObject): string {
  const detail = Object.entries(attributes).map(([key, value]) => `${key}=${value}`);
  return [new Date(time).toISOString(), type, action, name || id, ...detail].join(' ');
}
