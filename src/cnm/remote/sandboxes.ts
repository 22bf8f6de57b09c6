// SPDX-License-Identifier: Apache-2.0
/** Sandboxes that come with the first endpoint of a container of another engine, and names of what is made for it. */
import { SluiceError } from '../../base/errors.js';
import { isHostname } from '../../base/names.js';
import type { Change } from '../change.js';
import { type Context, claim, now } from '../context.js';
import type { SandboxRecord } from '../records.js';
import { sandboxClaims } from '../state.js';

/** The sandbox of a container, which is there from its first endpoint to its last. */
export function sandboxOf(context: Context, change: Change, id: string, netns: string): SandboxRecord {
  const { state } = context;
  const present = state.sandboxes.get(id);
  if (present) return present;
  const name = remoteName(context, 'sandbox', netns.slice(netns.lastIndexOf('/') + 1));
  claim(context, change, sandboxClaims({ name, netns }), id, (text) => {
    return new SluiceError('conflict', `${text} belongs to another sandbox`);
  });
  const number = change.allocated(
    () => state.sandboxNumbers.allocate(),
    (taken) => state.sandboxNumbers.release(taken),
  );
  const record: SandboxRecord = {
    id,
    name,
    netns,
    owned: false,
    host: false,
    dns: [],
    dnsSearch: [],
    hostname: isHostname(name) ? name : id.slice(0, 12),
    number,
    origin: 'docker',
    created: now(context),
  };
  change.store(`sandboxes/${id}`, record, null);
  change.allocated(
    () => state.sandboxes.set(record),
    () => state.sandboxes.delete(record),
  );
  return record;
}

/** With its last endpoint. */
export function dropSandbox(
  { state }: Context,
  change: Change,
  sandbox: SandboxRecord,
  leaving: string,
): void {
  if (!sandbox.origin || state.inside(sandbox.id).some(({ id }) => id !== leaving)) return;
  change.store(`sandboxes/${sandbox.id}`, null, sandbox);
  change.onDone(() => {
    state.sandboxes.delete(sandbox);
    state.sandboxNumbers.release(sandbox.number);
    for (const text of sandboxClaims(sandbox)) state.claims.delete(text);
  });
}

/** A name that tells whose it is. */
export function remoteName({ state }: Context, kind: 'network' | 'sandbox' | 'endpoint', id: string): string {
  const { claims } = state;
  const short = `docker-${id.slice(0, 12)}`;
  return claims.has(`name ${kind} ${short}`) ? `docker-${id.slice(0, 56)}` : short;
}
