// SPDX-License-Identifier: Apache-2.0
/** Sources that may use a published port. */
import {
  bits,
  contains,
  familyOf,
  formatPrefix,
  type Prefix,
  parseCidr,
  parsePrefix,
} from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';

/** The dataplane compares a source with each of them, so they are few. */
export const MAX_ALLOWED = 16;

const MAPPED = parsePrefix('::ffff:0:0/96') as Prefix;

/** CIDRs, or single addresses, as prefixes in their one spelling; each once. */
export function parseAllow(texts: readonly string[]): string[] {
  const allowed = [...new Set(texts.map((text, i) => parseSource(text, `allow[${i}]`)))];
  if (allowed.length > MAX_ALLOWED) {
    throw new SluiceError('invalid_argument', `${allowed.length} allowed sources, ${MAX_ALLOWED} at most`, {
      field: 'allow',
      hint: 'give larger ranges',
    });
  }
  return allowed;
}

/** Refuses sources for no port. */
export function checkAllowHasPorts(allow: readonly string[], ports: readonly unknown[]): void {
  if (allow.length === 0 || ports.length > 0) return;
  throw new SluiceError('invalid_argument', 'allowed sources are given, but no port to publish', {
    field: 'allow',
    hint: 'give the ports that they may use, or leave them out',
  });
}

function parseSource(text: string, field: string): string {
  const refuse = (why: string, hint: string): never => {
    throw new SluiceError('invalid_argument', `allowed source '${text}' ${why}`, { field, hint });
  };
  const parsed = parseCidr(text) ?? parseCidr(`${text}/${bits(familyOf(text))}`);
  if (!parsed) return refuse('is not a range of addresses', 'write CIDR, such as 192.0.2.0/24');
  const { address, prefix } = parsed;
  if (address.value !== prefix.network) refuse('has bits behind its prefix', `write ${formatPrefix(prefix)}`);
  if (contains(MAPPED, prefix)) refuse('stands for IPv4 addresses', 'write them as IPv4');
  return formatPrefix(prefix);
}
