// SPDX-License-Identifier: Apache-2.0
/**
 * Which state the dataplane in the kernel was made from: an id that the state
 * got when it was first used, and the version of its last change. Both are in
 * the bpffs as the name of a mark, which goes with the kernel as the dataplane
 * does. A state that is not that one, or lacks changes of it, says nothing about
 * what is wanted, so nothing may be removed on its word.
 */
import { randomUUID } from 'node:crypto';
import { SluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Identity } from '../reconcile/identity.js';
import { LOST_HINT } from '../store/directory.js';
import { RESTORED_KEY, type Restored } from '../store/restored.js';
import type { Store } from '../store/store.js';

/** Where a state has its id. */
export const STATE_KEY = 'state';

interface Mark {
  readonly id: string;
  readonly version: number;
}

export interface MatchOptions {
  readonly store: Store;
  /** For people. */
  readonly place: { readonly stateDir: string; readonly bpffs: string };
  readonly identity: Pick<Identity, 'mark' | 'remark' | 'unmark' | 'marked'>;
  /** What a full pass could remove, for people; asked only where it decides. */
  readonly held: () => Promise<readonly string[]>;
  /** Whatever the state does not mention may be removed. */
  readonly adopt: boolean;
  readonly log: Log;
}

/** The mark of a state that matched, kept up with its changes. */
export class StateMark {
  readonly id: string;
  readonly #identity: MatchOptions['identity'];
  readonly #log: Log;
  #name: string;
  #complained = false;

  constructor(id: string, version: number, { identity, log }: Pick<MatchOptions, 'identity' | 'log'>) {
    this.id = id;
    this.#identity = identity;
    this.#log = log;
    this.#name = format({ id, version });
    identity.mark('state', this.#name);
  }

  /** The change is made already, so this never fails. */
  note(version: number): void {
    const name = format({ id: this.id, version });
    try {
      this.#identity.remark('state', this.#name, name);
      this.#name = name;
    } catch (err) {
      if (!this.#complained) this.#log.warn('the dataplane cannot be marked with its state', { err });
      this.#complained = true;
    }
  }

  /** Whoever takes pins away may have taken it, too. */
  ensure(): void {
    this.#identity.mark('state', this.#name);
  }
}

/** Refuses a state that the dataplane was not made from. */
export async function matchState(options: MatchOptions): Promise<StateMark> {
  const { store, identity, adopt, log } = options;
  const stored = (await store.get(STATE_KEY))?.value as { id: string } | undefined;
  const restored = (await store.get(RESTORED_KEY))?.value as unknown as Restored | undefined;
  const marks = identity.marked('state').map(parse);
  const trusted = restored?.pending ? [stored?.id, restored.over] : [];
  for (const mark of marks.filter(({ id }) => !trusted.includes(id))) {
    const complaint = await complain(options, stored?.id, mark);
    if (complaint === null) continue;
    if (!adopt) throw complaint;
    log.warn(`${complaint.message}: adopted`);
  }
  if (marks.length === 0 && (await isEmpty(store))) {
    const held = await options.held();
    const { stateDir, bpffs } = options.place;
    const what = `the state in ${stateDir} is empty, though there is a dataplane of ${bpffs}: ${some(held)}`;
    if (held.length > 0 && !adopt) throw refusal(what);
    if (held.length > 0) log.warn(`${what}: adopted`);
  }
  const id = stored?.id ?? randomUUID().replaceAll('-', '');
  if (stored === undefined) await store.put(STATE_KEY, { id });
  const mark = new StateMark(id, store.version, options);
  for (const other of marks.map(format)) {
    if (other !== format({ id, version: store.version })) identity.unmark('state', other);
  }
  if (restored?.pending) await store.put(RESTORED_KEY, { ...restored, pending: false });
  mark.note(store.version);
  store.watch('', ([change]) => {
    if (change !== undefined) mark.note(change.version);
  });
  return mark;
}

async function complain(
  { store, place }: MatchOptions,
  id: string | undefined,
  mark: Mark,
): Promise<SluiceError | null> {
  const made = `the dataplane of ${place.bpffs} was made from`;
  if (id === undefined) {
    const what = (await isEmpty(store)) ? 'is empty' : 'has no id';
    return refusal(`the state in ${place.stateDir} ${what}, though ${made} state ${short(mark.id)}`);
  }
  if (id !== mark.id) {
    return refusal(`the state in ${place.stateDir} is ${short(id)}, though ${made} state ${short(mark.id)}`);
  }
  if (store.version >= mark.version) return null;
  return refusal(
    `the state in ${place.stateDir} ends with change ${store.version}, though ${made} it up to change ${mark.version}`,
  );
}

function refusal(message: string): SluiceError {
  return new SluiceError('environment', message, {
    hint: `give the --state-dir that it was made from, ${LOST_HINT}`,
  });
}

/** The engine's notes of its own schema are no state. */
async function isEmpty(store: Store): Promise<boolean> {
  return store.version === 0 || (await store.list('')).length === 0;
}

const short = (id: string): string => id.slice(0, 12);

function some(things: readonly string[]): string {
  return `${things.slice(0, 3).join(', ')}${things.length > 3 ? ` and ${things.length - 3} more` : ''}`;
}

function format({ id, version }: Mark): string {
  return `${id}-${version}`;
}

function parse(name: string): Mark {
  const [id = '', version] = name.split('-');
  return { id, version: Number(version ?? 0) };
}
