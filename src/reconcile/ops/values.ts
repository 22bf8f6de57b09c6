// SPDX-License-Identifier: Apache-2.0

/** How the codecs show zero addresses and a zero MAC. */
export const NO_ADDRESS = '0.0.0.0';
export const NO_ADDRESS6 = '::';
export const NO_MAC = '00:00:00:00:00:00';

/** Whether two flat values are equal in every field of `b`. */
export function same<T extends object>(a: T, b: T): boolean {
  return (Object.keys(b) as (keyof T)[]).every((field) => a[field] === b[field]);
}

/** Of an address or prefix that is one. */
export function isIpv6(text: string): boolean {
  return text.includes(':');
}
