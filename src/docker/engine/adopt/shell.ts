// SPDX-License-Identifier: Apache-2.0

/** A word of a shell command, quoted where it has to be. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function command(...words: readonly string[]): string {
  return words.map(word).join(' ');
}
