// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../base/clock.js';
import type { CnmModel } from '../cnm/model.js';
import type { ChangeEvent } from '../cnm/types.js';
import type { LinkTable } from '../reconcile/links.js';
import type { Reconciler } from '../reconcile/reconciler.js';
import type { UplinkFollower } from '../reconcile/uplinks.js';

export interface EventSources {
  model: CnmModel;
  reconciler: Reconciler;
  follower: UplinkFollower;
  links: LinkTable;
  clock: Clock;
}

/** What the daemon observes and does on its own, told in the model's stream of events. */
export function forwardEvents({ model, reconciler, follower, links, clock }: EventSources): () => void {
  const emit = (event: Omit<ChangeEvent, 'time'>): void => model.emit({ time: clock.now(), ...event });
  const up = new Set(follower.uplinks.map((link) => link.name));
  const stops = [
    reconciler.onNotice(({ action, owner, what, error }) => {
      emit({
        type: 'reconcile',
        action: action === 'error' ? 'error' : 'repair',
        id: owner?.id ?? '',
        name: what,
        attributes: error === undefined ? {} : { code: error.code, error: error.message },
      });
    }),
    links.onChange(({ type, link }) => {
      const isUp = type === 'new' && link.up;
      const known = up.has(link.name);
      const uplink = known || follower.uplinks.some(({ name }) => name === link.name);
      if (!uplink || isUp === known) return;
      if (isUp) up.add(link.name);
      else up.delete(link.name);
      emit({
        type: 'link',
        action: isUp ? 'up' : 'down',
        id: String(link.ifindex),
        name: link.name,
        attributes: {},
      });
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
