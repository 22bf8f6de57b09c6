// SPDX-License-Identifier: Apache-2.0
/** Addresses as netlink carries them: network byte order, 4 or 16 bytes; MACs 6. */
import { type Address, type Family, formatAddress, parseAddress, parseCidr } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import { AF_INET, AF_INET6 } from './uapi.js';

export const familyOf = (af: number): Family => (af === AF_INET ? 4 : 6);
export const afOf = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

export function addressBytes(address: Address): Buffer {
  const width = address.family === 4 ? 8 : 32;
  return Buffer.from(address.value.toString(16).padStart(width, '0'), 'hex');
}

export function addressText(bytes: Buffer): string {
  const family: Family = bytes.length === 4 ? 4 : 6;
  return formatAddress({ family, value: BigInt(`0x${bytes.toString('hex') || '0'}`) });
}

/** Text that our own code made; a user's was checked where it came in. */
export function toAddress(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new SluiceError('internal', `${text} is no address`);
  return address;
}

export function toCidr(text: string): { address: Address; length: number } {
  const parsed = parseCidr(text);
  if (parsed === null) throw new SluiceError('internal', `${text} is no CIDR`);
  return { address: parsed.address, length: parsed.prefix.length };
}

export function macBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll(':', ''), 'hex');
  if (bytes.length !== 6) throw new SluiceError('internal', `${text} is no MAC address`);
  return bytes;
}

export const macText = (bytes: Buffer): string => bytes.toString('hex').replace(/(..)(?=.)/g, '$1:');
