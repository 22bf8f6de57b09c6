// SPDX-License-Identifier: Apache-2.0
/** From the command line and the configuration file to a checked `Config`. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';
import { type Config, defaults, inconsistency, OPTIONS, type Option } from './options.js';

export const DEFAULT_CONFIG_FILE = '/etc/sluice/sluice.yaml';

/** Wrong usage: one line for stderr, exit code 2. */
export class UsageError extends Error {}

export type Command =
  | { command: 'run'; config: Config }
  | { command: 'cleanup'; config: Config; state: boolean }
  | { command: 'restore'; config: Config; file: string }
  | { command: 'help' }
  | { command: 'version' };

export function parseCommand(argv: readonly string[], defaultFile = DEFAULT_CONFIG_FILE): Command {
  const { values, positionals } = parse(argv);
  if (values.help === true) return { command: 'help' };
  if (values.version === true) return { command: 'version' };
  const [command, ...rest] = positionals;
  const operands = command === 'restore' ? 1 : 0;
  if (![undefined, 'cleanup', 'restore'].includes(command) || rest.length > operands) {
    throw new UsageError(
      `unexpected argument '${positionals.at(-1)}': the commands are cleanup and restore FILE`,
    );
  }
  const [operand = ''] = rest;
  if (command === 'restore' && operand === '') throw new UsageError('restore takes the FILE of a backup');
  if (values.state === true && command !== 'cleanup') throw new UsageError('--state goes with cleanup');

  const config = defaults();
  const file = (values.config as string[] | undefined)?.at(-1);
  applyFile(config, file ?? defaultFile, file !== undefined);
  for (const option of OPTIONS) {
    const value = values[option.name];
    if (value === undefined) continue;
    set(config, option, Array.isArray(value) ? (value as string[]) : [], `--${option.name}`);
  }
  const complaint = inconsistency(config);
  if (complaint !== null) throw new UsageError(complaint);
  if (command === 'cleanup') return { command, config, state: values.state === true };
  if (command === 'restore') return { command, config, file: operand };
  return { command: 'run', config };
}

function parse(argv: readonly string[]) {
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean; short?: string }> = {
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean', short: 'V' },
    state: { type: 'boolean' },
  };
  for (const { name, value } of OPTIONS) {
    options[name] = value === undefined ? { type: 'boolean' } : { type: 'string', multiple: true };
  }
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (e) {
    const first = (e as Error).message.split(/[.\n] ?/)[0];
    throw new UsageError(`${first}; see sluiced --help`);
  }
}

function applyFile(config: Config, file: string, required: boolean): void {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' && !required) return;
    throw new UsageError(`cannot read ${file}: ${code}`);
  }
  let content: unknown;
  try {
    content = parseYaml(text);
  } catch (e) {
    throw new UsageError(`${file}: ${(e as Error).message.split('\n')[0]?.replace(/:$/, '')}`);
  }
  if (content === null || content === undefined) return;
  if (typeof content !== 'object' || Array.isArray(content))
    throw new UsageError(`${file}: not a list of OPTION: VALUE`);
  for (const [name, value] of Object.entries(content)) {
    const option = OPTIONS.find((o) => o.name === name && o.name !== 'config');
    if (option === undefined) throw new UsageError(`${file}: there is no option '${name}'`);
    const values = fileValues(option, value);
    if (values === null) throw new UsageError(`${file}: ${name}: ${expected(option)} expected`);
    if (values !== 'off') set(config, option, values, `${file}: ${name}`);
  }
}

function expected(option: Option): string {
  if (option.value === undefined) return 'true or false';
  return option.repeatable ? `${option.value} or a list of them` : option.value;
}

/** The values as text, as the command line has them; 'off' for a switch that is false. */
function fileValues(option: Option, value: unknown): string[] | 'off' | null {
  if (option.value === undefined) {
    if (typeof value !== 'boolean') return null;
    return value ? [] : 'off';
  }
  const list = Array.isArray(value) && option.repeatable ? value : [value];
  if (list.length === 0 || !list.every((v) => typeof v === 'string' || typeof v === 'number')) return null;
  return list.map(String);
}

function set(config: Config, option: Option, values: readonly string[], where: string): void {
  try {
    option.set(config, values);
  } catch (e) {
    throw new UsageError(`${where}: ${(e as Error).message}`);
  }
}

export function helpText(): string {
  const rows = OPTIONS.map(({ name, value, repeatable, help }) => ({
    flag: `--${name}${value === undefined ? '' : ` ${value}`}`,
    help: repeatable ? `${help}; may be repeated` : help,
  }));
  rows.push({ flag: '-h, --help', help: 'print this' }, { flag: '-V, --version', help: 'print the version' });
  const width = Math.max(...rows.map((r) => r.flag.length));
  return [
    'Usage: sluiced [OPTION]...',
    '       sluiced cleanup [--state] [OPTION]...',
    '       sluiced restore FILE [OPTION]...',
    '',
    'Runs the Sluice daemon. `cleanup`, with the same options as the daemon had, removes',
    'all that it left in the kernel; the state is kept unless --state is given. `restore`',
    'puts a backup (sluice backup FILE) into a state directory that is empty or damaged.',
    '',
    ...rows.map((r) => `  ${r.flag.padEnd(width)}  ${r.help}`),
    '',
    `The same names are read from ${DEFAULT_CONFIG_FILE}; the command line wins.`,
    '',
  ].join('\n');
}
