// SPDX-License-Identifier: Apache-2.0
/** What an endpoint has from its creation to its removal, joined or not. */
import {
  type Address,
  type Family,
  formatAddress,
  isUnicastMac,
  macFromId,
  macFromIpv4,
  parseAddress,
  parseMac,
} from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import { newId } from '../base/ids.js';
import { checkHostname } from '../base/names.js';
import type { Change } from './change.js';
import { type Context, claim, now } from './context.js';
import { findDriver } from './drivers/registry.js';
import { allocatePorts, type PortRequests, releasePorts } from './publishing.js';
import type { EndpointRecord, NetworkRecord } from './records.js';
import { selectEndpoint } from './services/building.js';
import { endpointClaims, macClaim } from './state.js';
import type { EndpointCreate } from './types.js';

/** Allocates what an endpoint needs before it joins. */
export function buildEndpoint(
  context: Context,
  change: Change,
  request: EndpointCreate,
  network: NetworkRecord,
  published: Omit<PortRequests, 'defaultHostIp'>,
  id: string = newId(),
): EndpointRecord {
  const { state } = context;
  const { name, aliases = [], labels = {} } = request;
  const driver = findDriver(network.driver);
  driver.validateEndpoint(request, network);
  for (const [i, alias] of aliases.entries()) checkHostname(alias, `aliases[${i}]`);

  change.allocated(
    () => state.setPending(id, `endpoint '${name}'`),
    () => state.setPending(id, null),
  );
  change.onDone(() => state.setPending(id, null));
  const refuse = (text: string, holder: string): SluiceError => taken(text, state.holderOf(holder));
  claim(context, change, endpointClaims({ name, network: network.id, mac: '' }, network), id, refuse);
  let ipv4: string | null = null;
  let ipv6: string | null = null;
  let mac = '';
  if (driver.addressed) {
    ipv4 = takeAddress(context, change, id, request.ipv4, network, 4) as string;
    ipv6 = takeAddress(context, change, id, request.ipv6, network, 6);
    mac = chooseMac(context, id, request.mac, ipv4, network);
    claim(context, change, [macClaim(network.id, mac)], id, refuse);
  }
  const defaultHostIp = driver.defaultHostIp(network);
  selectEndpoint(context, change, { id, network: network.id, labels });
  const ports = allocatePorts(context, change, { id, name, ipv6 }, { ...published, defaultHostIp }, []);
  return {
    id,
    name,
    network: network.id,
    ipv4,
    ipv6,
    mac,
    ports,
    aliases: [...new Set(aliases)],
    labels: { ...labels },
    join: null,
    created: now(context),
  };
}

/** null: the network has no addresses of the family, and none is asked for. */
function takeAddress(
  { state }: Context,
  change: Change,
  id: string,
  asked: string | undefined,
  network: NetworkRecord,
  family: Family,
): string | null {
  const field = `ipv${family}`;
  const wanted = asked === undefined ? undefined : parseAddress(asked);
  if (wanted === null || (wanted && wanted.family !== family)) {
    throw new SluiceError('invalid_argument', `'${asked}' is not an IPv${family} address`, {
      field,
      hint: 'leave it out for an automatic one',
    });
  }
  const addresses = state.space(network.id).addresses[family];
  if (!addresses) {
    if (!wanted) return null;
    throw new SluiceError('invalid_argument', `network '${network.name}' has no IPv${family}`, {
      field,
      hint: `leave the address out, or use a network that was created with --ipv${family}`,
    });
  }
  change.mark(addresses.mark());
  const address = change.allocated(
    () => {
      if (!wanted) return addresses.allocate(id);
      addresses.claim(wanted, id, (holder) => state.holderOf(holder), field);
      return wanted;
    },
    (given) => addresses.release(given),
  );
  return formatAddress(address);
}

function chooseMac(
  { state }: Context,
  id: string,
  asked: string | undefined,
  ipv4: string,
  network: NetworkRecord,
): string {
  if (asked === undefined) {
    const derived = macFromIpv4(parseAddress(ipv4) as Address);
    // Somebody may have asked for just that one.
    return state.claims.has(macClaim(network.id, derived)) ? macFromId(id) : derived;
  }
  const mac = parseMac(asked);
  if (!mac || !isUnicastMac(mac)) {
    throw new SluiceError('invalid_argument', `'${asked}' is not the MAC address of an interface`, {
      field: 'mac',
      hint: 'give six octets such as 02:42:0a:40:00:02, the first one even, or none',
    });
  }
  if (mac === macFromId(network.id)) throw taken(macClaim(network.id, mac), null);
  return mac;
}

/** Gives back what a removed endpoint held. */
export function forgetEndpoint(context: Context, record: EndpointRecord): void {
  const { state } = context;
  state.deleteEndpoint(record);
  for (const text of endpointClaims(record, state.networks.of(record.network))) state.claims.delete(text);
  for (const text of [record.ipv4, record.ipv6]) {
    const address = text === null ? null : parseAddress(text);
    if (address) state.space(record.network).addresses[address.family]?.release(address);
  }
  releasePorts(context, record.id, record.ports);
}

/** `holder` tells who has it, null: the network itself. */
function taken(text: string, holder: string | null): SluiceError {
  const words = text.split(' ');
  if (words[0] === 'name') {
    return new SluiceError('conflict', `an endpoint '${words[2]}' exists already`, {
      field: 'name',
      hint: 'choose another name, or remove that endpoint',
    });
  }
  if (words[0] === 'parent') {
    return new SluiceError('conflict', `${holder} has this network's parent for itself`, {
      field: 'network',
      hint: 'a macvlan network of mode passthru takes one endpoint: remove that one, or use another mode',
    });
  }
  const who = holder ?? "the network's bridge";
  return new SluiceError('address_taken', `${words[2]} belongs to ${who}`, {
    field: 'mac',
    hint: 'choose another MAC address, or none for an automatic one',
  });
}
