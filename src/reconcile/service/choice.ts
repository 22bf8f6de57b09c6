// SPDX-License-Identifier: Apache-2.0
/** What a service chooses from, worked out from its row: the same for the same backends, in whatever order. */
import type { BackendRow, ServiceRow } from '../../cnm/rows.js';
import type { ServiceSlotValue } from '../kernel.js';
import { hashName } from './hash.js';
import { maglevTable } from './maglev.js';

/** SERVICE_RENDEZVOUS of bpf/maps/service.h: above it, a table. */
export const SERVICE_RENDEZVOUS = 32;
/** Of the slots' hash; the permutations of the table have others. */
const SLOT_SEED = 0;

export interface Choice {
  readonly slots: readonly ServiceSlotValue[];
  /** Sum of the slots' weights. */
  readonly weights: number;
}

export function choiceOf(row: ServiceRow): Choice {
  const chosen = inOrder(row);
  return {
    slots: chosen.map(({ id, name, weight }) => ({ backend: id, seed: hashName(name, SLOT_SEED), weight })),
    weights: chosen.reduce((sum, { weight }) => sum + weight, 0),
  };
}

/** Costs milliseconds: only where the choice is another one, or the kernel's is to be compared. null: none is needed. */
export function tableOf(row: ServiceRow): Uint16Array | null {
  const chosen = inOrder(row);
  return chosen.length > SERVICE_RENDEZVOUS ? maglevTable(chosen) : null;
}

export function isActive({ state, weight }: BackendRow): boolean {
  return state === 'active' && weight > 0;
}

export function sameChoice(a: Choice, b: Choice): boolean {
  return (
    a.slots.length === b.slots.length &&
    a.slots.every((slot, i) => {
      const other = b.slots[i] as ServiceSlotValue;
      return slot.backend === other.backend && slot.seed === other.seed && slot.weight === other.weight;
    })
  );
}

/** Those that get new flows, by name; none where no port leads to them. */
function inOrder({ ports, backends }: ServiceRow): BackendRow[] {
  if (ports.length === 0) return [];
  return backends.filter(isActive).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id));
}
