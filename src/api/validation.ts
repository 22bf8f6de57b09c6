// SPDX-License-Identifier: Apache-2.0
/** Checks requests against their schemas and says, in one line, what is wrong with which field. */
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { SluiceError } from '../base/errors.js';

/** What is used of the errors that TypeBox answers; its union is wider. */
interface Violation {
  readonly keyword: string;
  /** JSON pointer. */
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly params: object;
  readonly message: string;
}

/** Query strings and paths are text and get converted; bodies say what they mean. */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const forms = formsOf(schema).map((form) => ({ form, compiled: Compile(form) }));
  return (value: unknown) => {
    const { form, compiled } =
      forms.find((other) => isArray(other.form) === Array.isArray(value)) ?? (forms[0] as (typeof forms)[0]);
    const converted = httpPart === 'body' ? value : Value.Convert(form, { ...(value as object) });
    if (compiled.Check(converted)) return { value: converted };
    return {
      error: explain(compiled.Errors(converted) as readonly Violation[], form, converted, httpPart ?? 'body'),
    };
  };
};

/** One object or many of them: what is wrong is told of the form that was meant. */
function formsOf(schema: TSchema): TSchema[] {
  return (schema as { anyOf?: TSchema[] }).anyOf ?? [schema];
}

function isArray(schema: TSchema): boolean {
  return (schema as { type?: string }).type === 'array';
}

function explain(errors: readonly Violation[], schema: TSchema, value: unknown, part: string): SluiceError {
  const isObject = typeof value === 'object' && value !== null && (!Array.isArray(value) || isArray(schema));
  if (part === 'body' && !isObject) {
    return new SluiceError('invalid_argument', 'the body is not a JSON object', {
      hint: 'send one, with Content-Type: application/json',
    });
  }
  const refuse = (field: string, what: string, hint?: string): SluiceError =>
    new SluiceError('invalid_argument', what, { field, ...(hint === undefined ? {} : { hint }) });
  const noun = part === 'querystring' ? 'parameter' : 'field';

  for (const { keyword, instancePath, params } of errors) {
    const at = fieldName(instancePath);
    if (keyword === 'additionalProperties') {
      const owner: { additionalProperties?: unknown; properties?: object } = memberSchema(
        schema,
        instancePath,
      );
      // Otherwise a free key has a wrong value, which an error of its own says.
      if (owner.additionalProperties !== false) continue;
      const [name = ''] = (params as { additionalProperties: string[] }).additionalProperties;
      const known = Object.keys(owner.properties ?? {});
      return refuse(
        join(at, name),
        `there is no ${noun} '${join(at, name)}'`,
        known.length > 0 ? `the ${noun}s are ${known.join(', ')}` : `there are no ${noun}s here`,
      );
    }
    if (keyword === 'required') {
      const [name = ''] = (params as { requiredProperties: string[] }).requiredProperties;
      return refuse(join(at, name), `${noun} '${join(at, name)}' is missing`);
    }
  }
  const [first] = errors as readonly [Violation];
  const at = fieldName(first.instancePath);
  const { type, allowedValues } = first.params as { type?: string; allowedValues?: readonly string[] };
  if (allowedValues) return refuse(at, `${noun} '${at}' is none of ${allowedValues.join(', ')}`);
  return refuse(at, `${noun} '${at}' ${type ? `is not ${NOUNS[type] ?? type}` : first.message}`);
}

const NOUNS: Readonly<Record<string, string>> = {
  string: 'a string',
  boolean: 'true or false',
  integer: 'a whole number',
  number: 'a number',
  array: 'an array',
  object: 'an object',
};

function segments(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** `/subnets/0/cidr` as `subnets[0].cidr`. */
function fieldName(pointer: string): string {
  return segments(pointer).reduce(
    (path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : join(path, part)),
    '',
  );
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function memberSchema(schema: TSchema, pointer: string): object {
  let at = schema as { properties?: Record<string, TSchema>; items?: TSchema };
  for (const part of segments(pointer)) at = (at.properties?.[part] ?? at.items ?? {}) as typeof at;
  return at;
}
