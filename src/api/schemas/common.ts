// SPDX-License-Identifier: Apache-2.0
/** Building blocks of the schemas. */
import { type Static, type TSchema, Type } from 'typebox';

export const closed = { additionalProperties: false } as const;

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

/** Free keys, values of text. */
export function stringMap(description: string) {
  return Type.Unsafe<Record<string, string>>({
    type: 'object',
    description,
    additionalProperties: { type: 'string' },
  });
}

export function mapOf<T extends TSchema>(schema: T, description: string) {
  return Type.Unsafe<Record<string, Static<T>>>({
    type: 'object',
    description,
    additionalProperties: schema,
  });
}

/** One of these words. */
export function words<const T extends readonly string[]>(values: T, options: { description?: string } = {}) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: [...values], ...options });
}

/** A component of the OpenAPI document, by the schema's `$id`. */
export function ref<T extends TSchema>(schema: T & { readonly $id?: string }) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
}
