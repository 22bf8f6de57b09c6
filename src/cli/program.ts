// SPDX-License-Identifier: Apache-2.0
/** The command table as a parser. */
import { isAbsolute, resolve } from 'node:path';
import { Argument, Command, type CommanderError, InvalidArgumentError, Option } from 'commander';
import { type Call, type Io, Options } from './call.js';
import { Client } from './client.js';
import { EXIT, usage } from './failure.js';
import { Output } from './output.js';
import { type CommandSpec, FORMAT_OPTION, type OptionSpec, optionsOf, SOCKET_OPTION } from './spec.js';
import { COMMANDS, GROUPS } from './table.js';
import { ownVersion } from './version.js';

export const DEFAULT_SOCKET = '/run/sluice/sluice.sock';

/** Parses and runs; answers the exit code. Throws Failure. `seen` is told of the format as soon as it is known. */
export async function execute(
  argv: readonly string[],
  io: Io,
  seen: (json: boolean) => void,
): Promise<number> {
  let exit: number | undefined;
  const root = build(argv, io, async (spec, command, args, values) => {
    const json = values.format === 'json';
    seen(json);
    const handler = await spec.load();
    const call: Call = {
      args: args.flat(),
      options: new Options(values),
      client: new Client((values.socket as string | undefined) ?? (io.env.SLUICE_SOCKET || DEFAULT_SOCKET)),
      out: new Output(io.stdout),
      json,
      dryRun: values['dry-run'] === true,
      io,
      help: () => command.helpInformation(),
    };
    exit = await handler(call);
  });
  try {
    await root.parseAsync(withOwnWords(argv), { from: 'user' });
  } catch (e) {
    return refusal(e as CommanderError & { command?: Command });
  }
  return exit ?? EXIT.done;
}

/** A word behind a flag whose value may be left out is that value only if it looks like one. */
function withOwnWords(argv: readonly string[]): string[] {
  const spec = COMMANDS.find(({ path }) => path.every((word) => argv.includes(word)));
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  return argv.map((word, i) => {
    const option = spec?.options?.find(({ long, optional }) => optional && long === word);
    if (!option || i > end) return word;
    return option.optional?.test(argv[i + 1] ?? '') ? word : `${word}=true`;
  });
}

type Run = (
  spec: CommandSpec,
  command: Command,
  args: (string | string[])[],
  values: Record<string, unknown>,
) => Promise<void>;

function build(argv: readonly string[], io: Io, run: Run): Command {
  const root = prepare(new Command('sluice'), io)
    .description('Networks for containers, by eBPF.')
    .version(`sluice ${ownVersion()}`, '-V, --version', "print this program's version")
    .enablePositionalOptions();
  for (const option of [FORMAT_OPTION, SOCKET_OPTION]) root.addOption(toOption(option));
  const groups = new Map<string, Command>();

  for (const spec of COMMANDS) {
    const [first, second] = spec.path;
    let parent = root;
    if (second !== undefined) {
      const group = groups.get(first) ?? addGroup(root, first, io);
      groups.set(first, group);
      parent = group;
    }
    const command = prepare(new Command(second ?? first), io)
      .description(capital(spec.summary))
      .summary(spec.summary);
    parent.addCommand(command, { hidden: spec.hidden ?? false });
    // What is not named can neither run nor show its help, and making options takes time.
    const isNamed = spec.path.every((word) => argv.includes(word));
    for (const { name, variadic = false, optional = false } of spec.arguments ?? []) {
      const text = variadic ? `${name}...` : name;
      command.addArgument(new Argument(optional ? `[${text}]` : `<${text}>`));
    }
    for (const option of isNamed ? optionsOf(spec) : []) command.addOption(toOption(option));
    if (spec.passThrough) command.passThroughOptions();
    if (spec.passThrough && spec.hidden) command.allowUnknownOption().helpOption(false);
    command.action(async (...all: unknown[]) => {
      const args = all.slice(0, -2) as (string | string[] | undefined)[];
      await run(
        spec,
        command,
        args.filter((arg) => arg !== undefined),
        valuesOf(command),
      );
    });
  }
  return root;
}

function addGroup(root: Command, name: string, io: Io): Command {
  const summary = GROUPS.find((group) => group.name === name)?.summary ?? name;
  const group = prepare(new Command(name), io)
    .description(capital(summary))
    .summary(summary)
    .enablePositionalOptions();
  for (const option of [FORMAT_OPTION, SOCKET_OPTION]) group.addOption(toOption(option));
  root.addCommand(group);
  return group;
}

/** Errors are thrown, not printed: they become one line in one place. */
function prepare(command: Command, io: Io): Command {
  return command
    .exitOverride((e) => {
      throw Object.assign(e, { command });
    })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: () => {},
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
    })
    .configureHelp({
      showGlobalOptions: false,
      subcommandTerm: (sub) => [sub.name(), ...sub.registeredArguments.map(term)].join(' '),
    });
}

function term(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? name : `[${name}]`;
}

function toOption(spec: OptionSpec): Option {
  const value = spec.optional ? ` [${spec.value}]` : ` <${spec.value}>`;
  const flags = [spec.short, spec.long].filter(Boolean).join(', ') + (spec.value ? value : '');
  const option = new Option(flags, spec.help);
  if (spec.required) option.makeOptionMandatory();
  if (spec.choices) option.choices(spec.choices);
  if (spec.repeatable) option.argParser((value: string, all: string[] = []) => [...all, value]);
  if (spec.path) option.argParser((value: string) => (isAbsolute(value) ? value : resolve(value)));
  const { pairs } = spec;
  if (pairs) {
    option.argParser((text: string, all: Record<string, string> = {}) => {
      const at = text.indexOf('=');
      const key = at < 0 ? text : text.slice(0, at);
      if (key === '' || (at < 0 && pairs === 'option'))
        throw new InvalidArgumentError('It is not KEY=VALUE.');
      return { ...all, [key]: at < 0 ? '' : text.slice(at + 1) };
    });
  }
  return option;
}

/** By long name; an option of an inner command goes before the same one further out. */
function valuesOf(command: Command): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (let at: Command | null = command; at; at = at.parent) {
    for (const option of at.options) {
      const name = option.long?.slice(2) ?? '';
      // `--no-trunc` is its own option here, not the opposite of one.
      const value = option.negate
        ? at.getOptionValue(option.attributeName()) === false
        : at.getOptionValue(option.attributeName());
      if (value !== undefined) values[name] ??= value;
    }
  }
  return values;
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** What commander throws: help that was asked for, or wrong usage. Everything else goes on. */
function refusal(e: CommanderError & { command?: Command }): number {
  if (!e.code?.startsWith?.('commander.')) throw e;
  // Help that was asked for, or that stands in for a missing subcommand; the version.
  if (['commander.helpDisplayed', 'commander.help', 'commander.version'].includes(e.code)) {
    return e.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
  const text = e.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  throw usage(text, `see ${pathOf(e.command)} --help`);
}

function pathOf(command: Command | undefined): string {
  const names: string[] = [];
  for (let at: Command | null = command ?? null; at; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}
