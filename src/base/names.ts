// SPDX-License-Identifier: Apache-2.0
/** What users may call things. */
import { SluiceError } from './errors.js';

export const NAME_PATTERN = '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$';
const NAME = new RegExp(NAME_PATTERN);

export function isName(text: string): boolean {
  return NAME.test(text);
}

export function checkName(text: string, field = 'name'): void {
  if (isName(text)) return;
  throw new SluiceError('invalid_argument', `'${text}' is not a name`, {
    field,
    hint: 'names begin with a letter or digit and hold at most 63 letters, digits, dots, hyphens and underscores',
  });
}

/** Letters, digits, hyphens and (as Docker allows) underscores. */
const LABEL = /^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/;

/** Labels joined by dots; 64 bytes is Linux' limit. */
export function isHostname(text: string): boolean {
  return text.length <= 64 && text.split('.').every((part) => LABEL.test(part));
}

export function checkHostname(text: string, field: string): void {
  if (isHostname(text)) return;
  throw new SluiceError('invalid_argument', `'${text}' is not a host name`, {
    field,
    hint: 'host names are labels of letters, digits and hyphens joined by dots, 64 characters in all',
  });
}

/** A name in the DNS, such as a search domain; one dot at the end is allowed, and `.` alone. */
export function isDomain(text: string): boolean {
  if (text === '.') return true;
  const name = text.endsWith('.') ? text.slice(0, -1) : text;
  return name.length <= 253 && name.split('.').every((part) => LABEL.test(part));
}

/** The kernel's rule for interface names (dev_valid_name), and no `%`, which it would expand. */
export function isInterfaceName(text: string): boolean {
  return /^[^\s/:%\0]{1,15}$/.test(text) && Buffer.byteLength(text) <= 15 && text !== '.' && text !== '..';
}
