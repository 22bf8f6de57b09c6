// SPDX-License-Identifier: Apache-2.0
/** The command table as the completion scripts see it. */
import { type CommandSpec, FORMAT_OPTION, type OptionSpec, optionsOf, SOCKET_OPTION } from '../spec.js';
import { COMMANDS, GROUPS } from '../table.js';

const HELP: OptionSpec = { short: '-h', long: '--help', help: 'print help' };
const VERSION: OptionSpec = { short: '-V', long: '--version', help: "print this program's version" };

/** Of `sluice` itself and of the groups. */
export const OUTER_OPTIONS: readonly OptionSpec[] = [FORMAT_OPTION, SOCKET_OPTION, HELP];
export const ROOT_OPTIONS: readonly OptionSpec[] = [...OUTER_OPTIONS, VERSION];

export function visible(): CommandSpec[] {
  return COMMANDS.filter(({ hidden }) => !hidden);
}

export function leafOptions(spec: CommandSpec): OptionSpec[] {
  return [...optionsOf(spec), HELP];
}

export interface Word {
  readonly name: string;
  readonly summary: string;
}

/** What may follow `sluice`, or `sluice GROUP`. */
export function subcommands(group?: string): Word[] {
  const leaves = visible()
    .filter(({ path }) => (group === undefined ? path.length === 1 : path.length > 1 && path[0] === group))
    .map(({ path, summary }) => ({ name: path.at(-1) as string, summary }));
  return group === undefined ? [...GROUPS, ...leaves] : leaves;
}

export function flagsOf({ short, long }: OptionSpec): string[] {
  return short === undefined ? [long] : [short, long];
}

/**
 * The flags that are followed by a value in every command that has them; a long
 * one is so in all of them or in none, and a test holds the table to that.
 */
export function valueFlags(): string[] {
  const options = [...ROOT_OPTIONS, ...visible().flatMap(leafOptions)];
  const flags = (takes: boolean) => new Set(options.filter((o) => takesWord(o) === takes).flatMap(flagsOf));
  const switches = flags(false);
  return [...flags(true)].filter((flag) => !switches.has(flag));
}

function takesWord({ value, optional }: OptionSpec): boolean {
  return value !== undefined && optional === undefined;
}

export function completionOf({ choices, complete }: OptionSpec): OptionSpec['complete'] {
  return choices ?? complete;
}

/** For POSIX shells and zsh. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
