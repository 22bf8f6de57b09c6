// SPDX-License-Identifier: Apache-2.0
/**
 * The host address of a published port. '' is every address of both families,
 * `0.0.0.0` every IPv4 and `::` every IPv6 address.
 */
import {
  contains,
  type Family,
  familyOf,
  formatAddress,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../base/addresses.js';

/** Of a cloud's metadata service: whoever answers there gives out credentials. */
const METADATA: readonly string[] = ['169.254.169.254', 'fd00:ec2::254'];

const MAPPED = parsePrefix('::ffff:0:0/96') as Prefix;

/** Not the address of one host, or not without naming an interface as well. */
const NO_HOST: readonly { readonly range: Prefix; readonly why: string }[] = [
  { range: MAPPED, why: 'stands for an IPv4 address' },
  { range: parsePrefix('ff00::/8') as Prefix, why: 'is not an address of a host' },
  { range: parsePrefix('fe80::/10') as Prefix, why: 'is link-local' },
];

/** An IPv4 address that packets to this host can bear. `refuse` throws. */
export function checkHostIp4(text: string, refuse: (why: string) => never): void {
  const address = parseAddress(text);
  if (address?.family !== 4) refuse(`'${text}' is not an IPv4 address`);
  const first = Number(text.split('.')[0]);
  if (first >= 224) refuse(`'${text}' is not an address of a host`);
  if (first === 0 && text !== '0.0.0.0') refuse(`'${text}' is not an address of a host`);
  checkMetadata(text, refuse);
}

/** Likewise of IPv6; answers it as RFC 5952 spells it. */
export function parseHostIp6(text: string, refuse: (why: string) => never): string {
  const address = parseAddress(text);
  if (address?.family !== 6) return refuse(`'${text}' is not an IPv6 address`);
  const met = NO_HOST.find(({ range }) => contains(range, address));
  if (met) refuse(`'${text}' ${met.why}`);
  const own = formatAddress(address);
  checkMetadata(own, refuse);
  return own;
}

function checkMetadata(text: string, refuse: (why: string) => never): void {
  if (METADATA.includes(text)) refuse(`'${text}' is that of a cloud's metadata service`);
}

/** An IPv6 socket bound to an IPv4 address has it mapped into IPv6. */
export function withoutMapping(text: string): string {
  const address = parseAddress(text);
  if (!address || !contains(MAPPED, address)) return text;
  return formatAddress({ family: 4, value: address.value & 0xffffffffn });
}

/** null, '', `0.0.0.0` and `::` stand for more than one address. */
export function isWildcard(hostIp: string | null): hostIp is null | '' | '0.0.0.0' | '::' {
  return hostIp === null || hostIp === '' || hostIp === '0.0.0.0' || hostIp === '::';
}

/** null: '' has no family of its own. */
export function hostIpFamily(hostIp: string): Family | null {
  if (hostIp === '') return null;
  return familyOf(hostIp);
}

/** As PORTSPEC has it, with the colon; '' for ''. */
export function hostIpPrefix(hostIp: string): string {
  if (hostIp === '') return '';
  return hostIpFamily(hostIp) === 6 ? `[${hostIp}]:` : `${hostIp}:`;
}
