// SPDX-License-Identifier: Apache-2.0
/** From a question to our answer, or to none: then somebody else is to be asked. */
import { type Answer, type Query, RCODE, reverseAddress, TYPE } from './message.js';
import type { Found } from './names.js';
import type { Zone } from './zone.js';

/** Seconds. What has left is asked for no longer than that. */
export const TTL = 5;
export const BACKENDS_TTL = 1;

/** null: not ours to answer. */
export function respond(query: Query, zone: Zone): Answer | null {
  if (query.edns !== null && query.edns.version > 0) return failure(RCODE.BADVERS);
  if (!query.internet) return failure(RCODE.REFUSED);
  const address = reverseAddress(query.name);
  if (address !== null) return respondReverse(query.type, address, zone);
  const found = zone.find(query.name);
  return found === null ? null : respondForward(query.type, found);
}

/** A name that we know has no other types than these: an empty answer says so. */
function respondForward(type: number, { ipv4, ipv6, backends }: Found): Answer {
  const any = type === TYPE.ANY;
  return {
    ...failure(RCODE.NOERROR),
    authoritative: true,
    ttl: backends ? BACKENDS_TTL : TTL,
    records: [
      ...(any || type === TYPE.A ? ipv4.map((address) => ({ type: TYPE.A, address })) : []),
      ...(any || type === TYPE.AAAA ? ipv6.map((address) => ({ type: TYPE.AAAA, address })) : []),
    ],
  };
}

function respondReverse(type: number, address: string, zone: Zone): Answer | null {
  const name = zone.reverse(address);
  if (name === null) {
    // in containers of another engine that one knows more names
    return zone.owns(address) && !zone.sandbox.remote ? unknown() : null;
  }
  const asked = type === TYPE.PTR || type === TYPE.ANY;
  return {
    ...failure(RCODE.NOERROR),
    authoritative: true,
    records: asked ? [{ type: TYPE.PTR, name }] : [],
  };
}

/** Nobody is called so. */
export function unknown(): Answer {
  return { ...failure(RCODE.NXDOMAIN), authoritative: true };
}

export function failure(rcode: number): Answer {
  return { rcode, authoritative: false, ttl: TTL, records: [] };
}
