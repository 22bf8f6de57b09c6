// SPDX-License-Identifier: Apache-2.0
/** What the operations on networks, sandboxes and endpoints share. */
import type { Clock } from '../base/clock.js';
import { SluiceError, toSluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { type Assignment, Change, type Stage, type Step } from './change.js';
import type { HostView } from './host.js';
import type { Ledger } from './ledger.js';
import type { Locks } from './locks.js';
import type { Owner, Realizer, Row } from './rows.js';
import type { State } from './state.js';
import type { ChangeEvent, Plan } from './types.js';

export interface Context {
  readonly state: State;
  readonly ledger: Ledger;
  readonly locks: Locks;
  readonly realizer: Realizer;
  readonly host: HostView;
  readonly log: Log;
  readonly clock: Clock;
  /** Source ports of masqueraded flows are picked from these, inclusive. */
  readonly masqueradePorts: { readonly first: number; readonly last: number };
  /** A resolver of ours is at 127.0.0.11 in every sandbox. */
  readonly resolver: boolean;
  emit(
    type: ChangeEvent['type'],
    action: ChangeEvent['action'],
    object: Named,
    attributes?: Attributes,
  ): void;
}

interface Named {
  readonly id: string;
  readonly name: string;
}
type Attributes = Readonly<Record<string, string>>;

/**
 * Makes a change: `build` puts it together without waiting for anything and
 * answers what to tell the caller once it is made. On failure everything is as
 * it was before. A dry run answers the plan, and leaves no trace.
 */
export async function makeChange<T>(
  context: Context,
  what: string,
  dryRun: boolean,
  build: (change: Change) => () => T,
): Promise<T | Plan> {
  const { change, answer } = prepareChange(what, build);
  if (dryRun) {
    const rows = change.rows();
    change.discard();
    return { dryRun: true, rows };
  }
  await performChange(context, change);
  return answer();
}

/** The first half of makeChange(): either performChange() or discard() must follow. */
export function prepareChange<T>(
  what: string,
  build: (change: Change) => () => T,
): { change: Change; answer: () => T } {
  const change = new Change(what);
  try {
    return { change, answer: build(change) };
  } catch (e) {
    change.discard();
    throw e;
  }
}

export async function performChange({ ledger, realizer, log }: Context, change: Change): Promise<void> {
  try {
    await ledger.write(change.operations);
  } catch (e) {
    change.fail();
    throw toSluiceError(e, change.what);
  }
  const applyAll = (assignments: readonly Assignment[]) =>
    Promise.allSettled(assignments.map(({ owner, rows }) => realizer.apply(owner, rows)));
  const started: Stage[] = [];
  try {
    for (const stage of change.stages) {
      started.unshift(stage);
      for (const result of await applyAll(stage.next())) {
        if (result.status === 'fulfilled') continue;
        if (!change.forward && !stage.lenient) throw result.reason;
        log.warn('rows could not be brought about yet', { what: change.what, err: result.reason });
      }
    }
  } catch (e) {
    for (const stage of started) {
      const assignments = stage.previous();
      for (const [i, result] of (await applyAll(assignments)).entries()) {
        if (result.status === 'fulfilled') continue;
        log.error('rows could not be put back after a failed change', {
          what: change.what,
          owner: assignments[i]?.owner,
          err: result.reason,
        });
      }
    }
    await ledger.revert(change.inverse);
    change.fail();
    throw toSluiceError(e, change.what);
  }
  change.succeed();
}

export function ownerOf(kind: Owner['kind'], { id }: { readonly id: string }): Owner {
  return { kind, id };
}

export function step(owner: Owner, previous: readonly Row[], next: readonly Row[]): Step {
  return { owner, previous, next };
}

/** Takes what must be unique for an object, until the change is made for good. */
export function claim(
  { state }: Pick<Context, 'state'>,
  change: Change,
  claims: readonly string[],
  id: string,
  refuse: (claim: string, holder: string) => SluiceError,
): void {
  for (const text of claims) {
    const holder = state.claims.get(text);
    if (holder !== undefined) throw refuse(text, holder);
    change.allocated(
      () => state.claims.set(text, id),
      () => state.claims.delete(text),
    );
  }
}

export function gone(kind: string, name: string): SluiceError {
  return new SluiceError('not_found', `${kind} '${name}' was removed meanwhile`);
}

/** For what another engine has made, and believes to be there. */
export function refuseForeign(kind: string, name: string, command: string): never {
  throw new SluiceError('forbidden', `${kind} '${name}' is Docker's`, { hint: `use ${command}` });
}

export function now({ clock }: Pick<Context, 'clock'>): string {
  return new Date(clock.now()).toISOString();
}
