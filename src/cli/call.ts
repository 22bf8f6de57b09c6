// SPDX-License-Identifier: Apache-2.0
/** What a command gets to work with. */
import type { Client } from './client.js';
import type { Output } from './output.js';

export interface Io {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Call {
  /** Positional, variadic ones flattened. */
  readonly args: readonly string[];
  readonly options: Options;
  readonly client: Client;
  readonly out: Output;
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly io: Io;
  /** The command's own help, for what the table cannot tell from its arguments. */
  readonly help: () => string;
}

/** Values by the option's long name without dashes. */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  list(name: string): readonly string[] {
    return (this.#values[name] as readonly string[] | undefined) ?? [];
  }

  pairs(name: string): Record<string, string> {
    return { ...(this.#values[name] as Record<string, string> | undefined) };
  }
}

/** Leaves out what was not given, as the API wants it. */
export function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const absent = (value: unknown): boolean =>
    value === undefined ||
    value === false ||
    (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(values).filter(([, value]) => !absent(value))) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
