// SPDX-License-Identifier: Apache-2.0

import type { Completion } from '../spec.js';
import { GROUPS } from '../table.js';
import {
  completionOf,
  flagsOf,
  leafOptions,
  OUTER_OPTIONS,
  quote,
  ROOT_OPTIONS,
  subcommands,
  valueFlags,
  visible,
} from './table.js';

/** Needs bash alone, not the bash-completion package. */
export function bashScript(): string {
  const words: string[] = [];
  const values: string[] = [];
  const places: string[] = [];
  const add = (
    path: string,
    names: readonly string[],
    options: readonly (typeof ROOT_OPTIONS)[number][],
  ): void => {
    words.push(`    ${quote(path)}) echo ${quote([...names, ...options.flatMap(flagsOf)].join(' '))} ;;`);
    for (const option of options) {
      const how = completionOf(option);
      if (how === undefined) continue;
      values.push(
        `    ${flagsOf(option)
          .map((flag) => quote(`${path} ${flag}`))
          .join('|')}) echo ${quote(text(how))} ;;`,
      );
    }
  };
  add(
    '',
    subcommands().map(({ name }) => name),
    ROOT_OPTIONS,
  );
  for (const { name } of GROUPS)
    add(
      name,
      subcommands(name).map((word) => word.name),
      OUTER_OPTIONS,
    );
  for (const spec of visible()) {
    const path = spec.path.join(' ');
    add(path, [], leafOptions(spec));
    for (const [i, { complete, variadic }] of (spec.arguments ?? []).entries()) {
      if (complete === undefined) continue;
      places.push(`    ${quote(`${path} `)}${variadic ? '*' : i + 1}) echo ${quote(text(complete))} ;;`);
    }
  }
  const groups = GROUPS.map(({ name }) => name).join('|');

  return `# Completion of sluice for bash: source <(sluice completion bash)

# Subcommands and options of a command.
_sluice_words() {
  case "$1" in
${words.join('\n')}
  esac
}

# What completes an option's value.
_sluice_value() {
  case "$1 $2" in
${values.join('\n')}
  esac
}

# What completes the argument at a position.
_sluice_argument() {
  case "$1 $2" in
${places.join('\n')}
  esac
}

# bash splits --option=value at the sign.
_sluice() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path='' option='' position=1 bare='' how='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then
      [[ $word == = ]] || option=''
      continue
    fi
    if [[ -z $bare ]]; then
      case "$word" in
        --) bare=1; continue ;;
        ${valueFlags().join('|')}) option=$word; continue ;;
        -*) continue ;;
      esac
    fi
    case "$path" in
      ''|${groups}) path="\${path:+$path }$word" ;;
      *) position=$((position + 1)) ;;
    esac
    [[ $path != 'sandbox exec' || $position -lt 3 ]] || bare=1
  done

  if [[ -n $option ]]; then
    how=$(_sluice_value "$path" "$option")
    [[ $cur != = ]] || cur=''
  elif [[ $cur == -* && -z $bare ]]; then
    how="words $(_sluice_words "$path")"
  else
    how=$(_sluice_argument "$path" "$position")
    [[ -n $how ]] || case "$path" in ''|${groups}) how="words $(_sluice_words "$path" | tr ' ' '\\n' | grep -v '^-')" ;; esac
  fi

  case "$how" in
    words*) COMPREPLY=($(compgen -W "\${how#words}" -- "$cur")) ;;
    file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    command)
      compopt -o default 2>/dev/null
      [[ $position -gt 2 ]] || COMPREPLY=($(compgen -c -- "$cur")) ;;
    ?*) COMPREPLY=($(compgen -W "$("\${COMP_WORDS[0]}" __complete "$how" 2>/dev/null)" -- "$cur")) ;;
  esac
}
complete -F _sluice sluice
`;
}

function text(how: Completion): string {
  return typeof how === 'string' ? how : `words ${how.join(' ')}`;
}
