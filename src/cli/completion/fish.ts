// SPDX-License-Identifier: Apache-2.0
import type { Completion, OptionSpec } from '../spec.js';
import { GROUPS } from '../table.js';
import {
  completionOf,
  leafOptions,
  OUTER_OPTIONS,
  ROOT_OPTIONS,
  subcommands,
  valueFlags,
  visible,
} from './table.js';

export function fishScript(): string {
  const lines: string[] = [];
  const add = (condition: string, rest: string): void => {
    lines.push(`complete -c sluice -n ${quote(condition)} ${rest}`);
  };
  const options = (condition: string, all: readonly OptionSpec[]): void => {
    for (const option of all) {
      const { short, long, value, help } = option;
      const flags = `${short === undefined ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
      add(
        condition,
        `${flags}${value === undefined || option.optional ? '' : ` ${action(completionOf(option))}`} -d ${quote(help)}`,
      );
    }
  };
  const words = (condition: string, group?: string): void => {
    for (const { name, summary } of subcommands(group)) add(condition, `-a ${name} -d ${quote(summary)}`);
  };

  // fish takes long ones at the front for its own.
  const skipped = valueFlags().sort((a, b) => a.length - b.length);
  words('__sluice_at 0');
  options('__sluice_at 0', ROOT_OPTIONS);
  for (const { name } of GROUPS) {
    words(`__sluice_at 1 ${name}`, name);
    options(`__sluice_at 1 ${name}`, OUTER_OPTIONS);
  }
  for (const spec of visible()) {
    const path = spec.path.join(' ');
    options(`__sluice_under ${path}`, leafOptions(spec));
    for (const [i, { complete, variadic }] of (spec.arguments ?? []).entries()) {
      if (complete === undefined) continue;
      const at = spec.path.length + i;
      const condition = variadic ? `__sluice_from ${at} ${path}` : `__sluice_at ${at} ${path}`;
      add(
        condition,
        complete === 'command'
          ? `-a '(__fish_complete_subcommand --fcs-skip=${at + 1} ${skipped.join(' ')})'`
          : action(complete, ''),
      );
    }
  }
  return `# Completion of sluice for fish: sluice completion fish | source

# The words so far, without options and their values.
function __sluice_words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${valueFlags().join(' ')}
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __sluice_under
    set -l words (__sluice_words)
    test (count $words) -ge (count $argv); and test "$words[1..$(count $argv)]" = "$argv"
end

# __sluice_at N WORDS: N words stand there, and they begin with these.
function __sluice_at
    set -l words (__sluice_words)
    test (count $words) = $argv[1]; or return 1
    set -e argv[1]
    test (count $argv) = 0; or __sluice_under $argv
end

function __sluice_from
    set -l words (__sluice_words)
    test (count $words) -ge $argv[1]; and __sluice_under $argv[2..-1]
end

complete -c sluice -f
${lines.join('\n')}
`;
}

function action(how: Completion | undefined, flag = '-x '): string {
  if (how === undefined) return flag.trim();
  if (typeof how !== 'string') return `${flag}-a ${quote(how.join(' '))}`;
  return how === 'file' ? '-r -F' : `${flag}-a '(sluice __complete ${how} 2>/dev/null)'`;
}

/** In single quotes fish knows two escapes. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
