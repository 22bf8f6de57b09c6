// SPDX-License-Identifier: Apache-2.0
/** Changes as server-sent events, as they happen. Nothing is replayed: who connects asks for the state first. */
import type { ServerResponse } from 'node:http';
import { Type } from 'typebox';
import type { Log } from '../../base/log.js';
import type { ChangeEvent, Cnm } from '../../cnm/types.js';
import { NoQuery } from '../schemas/requests.js';
import type { Api, EventLimits } from '../server.js';
import { FAILURES } from './answers.js';

export function eventRoutes(api: Api, cnm: Cnm, limits: EventLimits, log: Log): void {
  const streams = new Set<ServerResponse>();
  // A stream has no end of its own, so a closing server would wait for it.
  api.addHook('preClose', async () => {
    for (const stream of streams) stream.end();
  });

  api.get(
    '/events',
    {
      schema: {
        tags: ['events'],
        summary: 'Changes as server-sent events; each `data` is an Event',
        querystring: NoQuery,
        response: {
          200: {
            description: 'an endless stream',
            content: { 'text/event-stream': { schema: Type.String() } },
          },
          ...FAILURES,
        },
      },
    },
    (_request, reply) => {
      reply.hijack();
      const stream = reply.raw;
      const send = (text: string): void => {
        if (stream.writableLength > limits.buffer) {
          log.warn('an event reader was too slow and is dropped', { waiting: stream.writableLength });
          stream.destroy();
          return;
        }
        stream.write(text);
      };
      const unsubscribe = cnm.onChange((event) => send(format(event)));
      const heartbeat = setInterval(() => send(': still here\n\n'), limits.heartbeat);
      streams.add(stream);
      stream.on('close', () => {
        unsubscribe();
        clearInterval(heartbeat);
        streams.delete(stream);
      });
      stream.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      // Once this is read, no change is missed.
      stream.write(': listening\n\n');
    },
  );
}

/** JSON has no raw line breaks, so one `data` line holds it. */
function format(event: ChangeEvent): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}
