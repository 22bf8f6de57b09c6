// SPDX-License-Identifier: Apache-2.0
/** The words in which the command table (table.ts) is written. */
import type { Call } from './call.js';

/** What a value can be completed with: objects by name, words, files, a command and its arguments. */
export type Completion =
  | 'network'
  | 'sandbox'
  | 'endpoint'
  | 'service'
  | 'file'
  | 'command'
  | readonly string[];

export interface ArgumentSpec {
  readonly name: string;
  /** One or more; only the last one. */
  readonly variadic?: boolean;
  /** None will do, too. */
  readonly optional?: boolean;
  readonly complete?: Completion;
}

export interface OptionSpec {
  readonly short?: string;
  readonly long: string;
  /** Placeholder of the value; absent: a switch. */
  readonly value?: string;
  /** A value need not be given; as a word of its own it counts as one only if it looks like this. */
  readonly optional?: RegExp;
  readonly help: string;
  readonly required?: boolean;
  /** Given several times, all count. */
  readonly repeatable?: boolean;
  /** KEY=VALUE; implies repeatable. `label`: a lone KEY is KEY= . */
  readonly pairs?: 'option' | 'label';
  /** Nothing else is allowed. */
  readonly choices?: readonly string[];
  /** A path, made absolute: the daemon has another working directory. */
  readonly path?: boolean;
  readonly complete?: Completion;
}

export type Handler = (call: Call) => Promise<number | undefined>;

export interface CommandSpec {
  /** `['network', 'create']`. */
  readonly path: readonly [string, ...string[]];
  readonly summary: string;
  readonly arguments?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  /** It changes something, and takes --dry-run. */
  readonly changes?: boolean;
  /** It only prints, and -o is short for --format. */
  readonly prints?: boolean;
  /** Whatever follows the first argument belongs to it, dashes or not. */
  readonly passThrough?: boolean;
  readonly hidden?: boolean;
  /** Imported only when it runs, so that the others start quickly. */
  readonly load: () => Promise<Handler>;
}

export interface GroupSpec {
  readonly name: string;
  readonly summary: string;
}

export const SOCKET_OPTION: OptionSpec = {
  long: '--socket',
  value: 'PATH',
  help: "the daemon's socket (or SLUICE_SOCKET; default /run/sluice/sluice.sock)",
  complete: 'file',
};
export const FORMAT_OPTION: OptionSpec = {
  long: '--format',
  value: 'FORMAT',
  help: 'table or json',
  choices: ['table', 'json'],
};
export const DRY_RUN_OPTION: OptionSpec = {
  long: '--dry-run',
  help: 'print what would be wanted of the kernel, and change nothing',
};

/** All options of a command, those of every command included. */
export function optionsOf(spec: CommandSpec): OptionSpec[] {
  return [
    ...(spec.options ?? []),
    ...(spec.changes ? [DRY_RUN_OPTION] : []),
    spec.prints ? { ...FORMAT_OPTION, short: '-o' } : FORMAT_OPTION,
    SOCKET_OPTION,
  ];
}
