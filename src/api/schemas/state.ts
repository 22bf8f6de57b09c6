// SPDX-License-Identifier: Apache-2.0
import { type Static, Type } from 'typebox';
import { closed, nullable } from './common.js';

export const STATE_TYPE = 'application/x-ndjson';

const time = (description: string) => Type.String({ description });

export const RestoredSchema = Type.Object(
  {
    at: time('when it was restored; the same is in the status once it is in use'),
    created: time('when the backup was made'),
    state: nullable(Type.String({ description: 'id of the state in it' })),
    revision: Type.Integer({ minimum: 0, description: 'the last change in it' }),
    entries: Type.Integer({ minimum: 0 }),
  },
  { ...closed, $id: 'Restored' },
);
export type RestoredObject = Static<typeof RestoredSchema>;

export const RestorePlanSchema = Type.Object(
  { dryRun: Type.Literal(true), ...RestoredSchema.properties },
  { ...closed, $id: 'RestorePlan' },
);
export type RestorePlanObject = Static<typeof RestorePlanSchema>;

/** In the status. */
export const StateSchema = Type.Object(
  {
    id: Type.String({ description: 'which the dataplane is marked with' }),
    revision: Type.Integer({ minimum: 0, description: 'the last change' }),
    lastBackup: nullable(time('when one was last made')),
    restored: nullable(
      Type.Object(
        { at: time('when it was restored'), created: time('when the backup was made') },
        { ...closed, description: 'the backup that it comes from' },
      ),
    ),
  },
  { ...closed, $id: 'State' },
);
