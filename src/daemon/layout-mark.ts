// SPDX-License-Identifier: Apache-2.0
/**
 * The version of what the pinned maps hold, as a mark in the bpffs. An older
 * daemon knows neither the maps nor the programs of a newer one: it leaves them alone.
 */
import { SluiceError } from '../base/errors.js';
import { LAYOUT_VERSION } from '../maps/layout.js';
import type { Identity } from '../reconcile/identity.js';

type Marks = Pick<Identity, 'mark' | 'unmark' | 'marked'>;

/** Before anything is loaded. Refuses what a newer version has pinned. */
export function refuseNewerLayout(identity: Marks, bpffs: string): void {
  const newest = Math.max(0, ...identity.marked('layout').map(Number));
  if (newest > LAYOUT_VERSION)
    throw new SluiceError(
      'environment',
      `a newer sluiced has made the dataplane of ${bpffs}: its maps have layout ${newest}, this version knows ${LAYOUT_VERSION}`,
      { hint: 'start that version, or take the dataplane down with its `sluiced cleanup` first' },
    );
}

/** Once the maps are pinned. */
export function markLayout(identity: Marks): void {
  const own = String(LAYOUT_VERSION);
  identity.mark('layout', own);
  for (const other of identity.marked('layout')) if (other !== own) identity.unmark('layout', other);
}
