// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { MacvlanRow } from '../../cnm/rows.js';
import type { Identity } from '../identity.js';
import type { LinkInfo } from '../kernel.js';
import type { LinkTable } from '../links.js';

/** The parent of a macvlan link as it is now; refuses one that cannot carry the link. */
export async function usableParent(
  { links, identity }: { links: LinkTable; identity: Identity },
  row: Pick<MacvlanRow, 'parent' | 'mtu'>,
): Promise<LinkInfo> {
  const parent = await links.need(row.parent);
  const refuse = (why: string, hint: string): never => {
    throw new SluiceError('conflict', `link ${row.parent} ${why}`, { hint });
  };
  if (identity.owns(parent)) refuse('is a link of ours, not of the physical network', 'use another parent');
  if (parent.master !== 0) {
    const master = links.byIndex(parent.master)?.name ?? `interface ${parent.master}`;
    refuse(`is a port of ${master} and carries no macvlan links`, `release it from ${master}`);
  }
  if (row.mtu !== null && row.mtu > parent.mtu) {
    refuse(`has an MTU of ${parent.mtu}, less than the ${row.mtu} asked for`, 'raise it, or ask for less');
  }
  return parent;
}
