// SPDX-License-Identifier: Apache-2.0
/** The answers that routes have in common, for the OpenAPI document. */
import { type Static, type TSchema, Type } from 'typebox';
import { ref } from '../schemas/common.js';
import { ErrorSchema, PlanSchema } from '../schemas/objects.js';

const error = (description: string) =>
  Type.Unsafe<Static<typeof ErrorSchema>>({ ...ref(ErrorSchema), description });

export const FAILURES = {
  400: error('malformed, or not supported'),
  404: error('no such object'),
  409: error('conflict'),
  500: error('this host or its kernel refused'),
  503: error('not ready, or shutting down'),
  507: error('a pool, a table or the disk is full'),
};

/** 200 is the plan of a dry run. */
export function created<T extends TSchema>(schema: T) {
  return { 200: ref(PlanSchema), 201: ref(schema), ...FAILURES };
}

export const REMOVED = { 200: ref(PlanSchema), 204: Type.Null({ description: 'done' }), ...FAILURES };

/** The object, or in a dry run the plan. */
export function changed<T extends TSchema>(schema: T) {
  return { 200: Type.Union([ref(schema), ref(PlanSchema)]), ...FAILURES };
}

export function found<T extends TSchema>(schema: T) {
  return { 200: ref(schema), ...FAILURES };
}

export function listed<T extends TSchema>(schema: T) {
  return { 200: Type.Array(ref(schema)), ...FAILURES };
}
