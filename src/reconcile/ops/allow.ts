// SPDX-License-Identifier: Apache-2.0
/** Entries of `publish_allow`, which publishes and services share. */
import { mappedPrefix, parsePrefix } from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import type { AllowKey } from '../kernel.js';

/** PUBLISH_ALLOW_SERVICE of bpf/maps/publish.h: ids of publishes are below it. */
export const PUBLISH_ALLOW_SERVICE = 0x80000000;

/** `id`: of a publish; of a service, PUBLISH_ALLOW_SERVICE and its number. */
export function allowKeys(id: number, sources: readonly string[]): AllowKey[] {
  return sources.map((cidr) => {
    const prefix = parsePrefix(cidr);
    if (prefix === null) throw new SluiceError('internal', `${cidr} is no prefix of a list of sources`);
    const { network, length } = mappedPrefix(prefix);
    return { prefix_length: 32 + length, publish: id, source: network };
  });
}

export function allowText(key: AllowKey): string {
  return `${key.publish} ${key.source}/${key.prefix_length}`;
}

export function isOfService(key: AllowKey): boolean {
  return key.publish >= PUBLISH_ALLOW_SERVICE;
}
