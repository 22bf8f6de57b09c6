// SPDX-License-Identifier: Apache-2.0
import { type Static, Type } from 'typebox';
import { closed, mapOf, nullable, ref, words } from './common.js';
import { PlanSchema } from './objects.js';
import { TableSchema } from './status.js';

const PROTOCOLS = ['tcp', 'udp', 'icmp', 'sctp'] as const;
const port = Type.Integer({ minimum: 0, maximum: 65535 });
const count = Type.Integer({ minimum: 0 });

export const FlowSchema = Type.Object(
  {
    protocol: words(PROTOCOLS),
    source: Type.String({ description: 'as the first packet carried it when it reached us' }),
    sourcePort: port,
    destination: Type.String(),
    destinationPort: port,
    translatedSource: Type.String({ description: 'as it carried it when it left us' }),
    translatedSourcePort: port,
    translatedDestination: Type.String(),
    translatedDestinationPort: port,
    direction: words(['inbound', 'outbound', 'local', 'host']),
    endpoint: nullable(Type.String({ description: 'name; null: of none, or of one that has left' })),
    service: nullable(Type.String({ description: 'name of the service that it was opened through' })),
    backend: nullable(Type.String({ description: "name of that service's backend, an endpoint" })),
    state: words(['new', 'answered', 'established', 'closing', 'reset']),
    tier: words(['proven', 'new'], { description: 'proven: in the table that never evicts' }),
    ageSeconds: Type.Number(),
    idleSeconds: Type.Number(),
  },
  { ...closed, $id: 'Flow' },
);

const filter = {
  address: Type.Optional(Type.String({ description: 'any of the four addresses' })),
  port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535, description: 'any of the four ports' })),
  endpoint: Type.Optional(Type.String({ description: 'name, id or unique prefix of an id' })),
  protocol: Type.Optional(words(PROTOCOLS)),
  service: Type.Optional(Type.String({ description: 'name, id or unique prefix of an id' })),
};
export const FlowQuery = Type.Object(filter, closed);
export const FlushQuery = Type.Object({ ...filter, dryRun: Type.Optional(Type.Boolean()) }, closed);

export const FlushedSchema = Type.Object(
  { flows: Type.Integer({ minimum: 0, description: 'forgotten' }) },
  { ...closed, $id: 'Flushed' },
);
export const FlushPlanSchema = Type.Object(
  { ...PlanSchema.properties, flows: Type.Integer({ minimum: 0, description: 'would be forgotten' }) },
  { ...closed, $id: 'FlushPlan' },
);

export const ConntrackStatsSchema = Type.Object(
  {
    protocols: mapOf(
      Type.Object(
        {
          opened: count,
          promoted: Type.Integer({ minimum: 0, description: 'proven, moved to the table that never evicts' }),
          expired: count,
          reset: Type.Integer({ minimum: 0, description: 'ended before their time' }),
        },
        closed,
      ),
      'since the tables were made, by protocol',
    ),
    tables: Type.Array(ref(TableSchema)),
    sourcePorts: Type.Object(
      {
        kept: Type.Integer({ minimum: 0, description: 'masqueraded with the own port' }),
        picked: Type.Integer({ minimum: 0, description: 'masqueraded with another port' }),
        exhausted: Type.Integer({ minimum: 0, description: 'refused: every try found the port taken' }),
      },
      closed,
    ),
  },
  { ...closed, $id: 'ConntrackStats' },
);

export type FlowObject = Static<typeof FlowSchema>;
export type FlushedObject = Static<typeof FlushedSchema>;
export type FlushPlanObject = Static<typeof FlushPlanSchema>;
export type ConntrackStats = Static<typeof ConntrackStatsSchema>;
