// SPDX-License-Identifier: Apache-2.0
/** Networks on a link of the host: whether it can carry them, and what of their subnet is the host's. */
import { parseAddress } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import type { Context } from './context.js';
import type { Parent } from './drivers/driver.js';
import { findDriver } from './drivers/registry.js';
import type { NetworkRecord } from './records.js';
import type { State } from './state.js';
import type { Subnet } from './types.js';

const FIELD = 'options.parent';

/** What the host says about a parent, asked before a change is put together. */
export interface ParentFacts {
  readonly parent: Parent;
  /** All of the host's addresses. */
  readonly addresses: readonly string[];
}

/** Refuses a parent that cannot carry other links. */
export async function lookAtParent({ host, state }: Context, parent: Parent): Promise<ParentFacts> {
  const [link, { addresses }] = await Promise.all([host.link(parent.link), host.addressesAndRoutes()]);
  const refuse = (code: 'invalid_argument' | 'conflict', why: string, hint: string): never => {
    throw new SluiceError(code, `parent '${parent.link}' ${why}`, { field: FIELD, hint });
  };
  if (link === null) {
    return refuse(
      'invalid_argument',
      'does not exist on this host',
      'create it first; ip link lists what there is',
    );
  }
  const holder = state.claims.get(`link ${parent.link}`);
  if (holder !== undefined) {
    const name = state.networks.get(holder)?.name ?? holder.slice(0, 12);
    refuse('conflict', `is the bridge of network '${name}'`, 'name a link of the physical network');
  }
  if (link.master !== null) {
    refuse(
      'conflict',
      `is a port of '${link.master}'`,
      `name '${link.master}' itself, or a link that is free`,
    );
  }
  if (link.kind === 'macvlan' || link.kind === 'macvtap') {
    refuse('invalid_argument', `is a ${link.kind} link itself`, 'name the link that it is on');
  }
  if (!link.ethernet) {
    refuse(
      'invalid_argument',
      'carries no Ethernet frames',
      'name an Ethernet link, or a bond, bridge or VLAN',
    );
  }
  return { parent, addresses };
}

/** Refuses a network that its parent cannot carry beside the others, or whose gateway nothing behind it could reach. */
export function checkPlace(state: State, { parent, addresses }: ParentFacts, { gateway }: Subnet): void {
  for (const { name, driver, options } of state.networks.all()) {
    const other = findDriver(driver).parent(options);
    if (other?.link !== parent.link || !(other.exclusive || parent.exclusive)) continue;
    throw new SluiceError('conflict', `parent '${parent.link}' carries network '${name}' already`, {
      field: FIELD,
      hint: 'mode passthru takes a link for itself: name another parent, or remove that network',
    });
  }
  if (gateway !== null && addresses.includes(gateway)) {
    throw new SluiceError(
      'invalid_argument',
      `gateway ${gateway} is this host's own address, which its macvlan links do not reach`,
      { field: 'subnets[0].gateway', hint: "give the address of the physical network's router" },
    );
  }
}

/** Keeps the addresses that the host has now from being given out on a network that it is itself on. */
export async function reserveHostAddresses({ host, state }: Context, network: NetworkRecord): Promise<void> {
  if (findDriver(network.driver).parent(network.options) === null) return;
  const { addresses } = await host.addressesAndRoutes();
  const own = addresses.flatMap((text) => parseAddress(text) ?? []);
  state.space(network.id).addresses[4]?.reserve(own.filter(({ family }) => family === 4));
}
