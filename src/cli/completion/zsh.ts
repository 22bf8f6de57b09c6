// SPDX-License-Identifier: Apache-2.0
import type { ArgumentSpec, Completion, OptionSpec } from '../spec.js';
import { GROUPS } from '../table.js';
import {
  completionOf,
  leafOptions,
  OUTER_OPTIONS,
  quote,
  ROOT_OPTIONS,
  subcommands,
  visible,
  type Word,
} from './table.js';

export function zshScript(): string {
  const groups = GROUPS.map(({ name }) =>
    dispatcher(`_sluice_${name}`, OUTER_OPTIONS, subcommands(name), name),
  );
  const leaves = visible().map(
    (spec) => `${functionName(spec.path)}() {
  _arguments -S ${[...leafOptions(spec).map(optionSpec), ...(spec.arguments ?? []).map(argumentSpec)].join(' \\\n    ')}
}`,
  );
  return `#compdef sluice
# Completion of sluice for zsh: source <(sluice completion zsh)

_sluice_names() {
  local -a names
  names=(\${(f)"$(\${(Q)program} __complete $@[-1] 2>/dev/null)"})
  # _arguments puts options of compadd before its own.
  compadd "\${@[1,-2]}" -a names
}

${[...leaves, ...groups].join('\n\n')}

${dispatcher('_sluice', ROOT_OPTIONS, subcommands())}

if [[ $funcstack[1] == _sluice ]]; then
  _sluice "$@"
else
  compdef _sluice sluice
fi
`;
}

/** Completes the next word, then leaves it to that word's function. \`program\` is seen by all that it calls. */
function dispatcher(
  name: string,
  options: readonly OptionSpec[],
  words: readonly Word[],
  group?: string,
): string {
  const described = words.map(({ name: word, summary }) =>
    quote(`${word}:${summary.replaceAll(':', '\\:')}`),
  );
  return `${name}() {
  local curcontext=$curcontext state line
  typeset -A opt_args
${group === undefined ? '  local program=$words[1]\n' : ''}  _arguments -C ${options.map(optionSpec).join(' \\\n    ')} \\
    '1: :->word' '*:: :->rest'
  case $state in
    word)
      local -a words_here=(${described.join(' ')})
      _describe command words_here
      ;;
    rest)
      case $line[1] in
${words.map((word) => `        ${word.name}) ${functionName(group === undefined ? [word.name] : [group, word.name])} ;;`).join('\n')}
      esac
      ;;
  esac
}`;
}

function functionName(path: readonly string[]): string {
  return `_sluice_${path.join('_')}`;
}

function optionSpec(option: OptionSpec): string {
  const { short, long, value, help, repeatable, pairs } = option;
  const many = repeatable || pairs !== undefined;
  const colon = option.optional === undefined ? ':' : '::';
  const text = `[${help.replace(/[[\]\\]/g, '\\$&')}]${value === undefined ? '' : `${colon}${value}:${action(completionOf(option))}`}`;
  const flag = value === undefined ? long : `${long}=${option.optional === undefined ? '' : '-'}`;
  if (short === undefined) return quote(`${many ? '*' : ''}${flag}${text}`);
  const prefix = many ? '*' : `(${short} ${long})`;
  return `${quote(prefix)}{${short}${value === undefined ? '' : '+'},${flag}}${quote(text)}`;
}

function argumentSpec({ name, variadic, complete }: ArgumentSpec): string {
  if (complete === 'command') return `'(-)2:${name}: _command_names -e' '*::${name}: _normal'`;
  return quote(`${variadic ? '*' : ''}:${name}:${action(complete)}`);
}

function action(how: Completion | undefined): string {
  if (how === undefined) return ' ';
  if (typeof how !== 'string') return `(${how.join(' ')})`;
  if (how === 'file') return '_files';
  return `_sluice_names ${how}`;
}
