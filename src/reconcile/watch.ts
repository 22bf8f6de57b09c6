// SPDX-License-Identifier: Apache-2.0
/**
 * What other hands take away, noticed within half a second and mended at once:
 * the kernel tells of links and filters; of BPF links and pins nobody tells, so
 * they are looked at. What is compared here is cheap, and only what differs is
 * brought about again; the full pass compares everything.
 */
import { basename } from 'node:path';
import { familyOf } from '../base/addresses.js';
import type { Clock, Timer } from '../base/clock.js';
import { SluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { RowKind } from '../cnm/rows.js';
import type { Guarded } from '../loader/guards.js';
import type { AddressInfo, GuardsApi, LinkInfo } from './kernel.js';
import type { LinkTable } from './links.js';
import { parsePin } from './ops/attachment.js';
import { parseSocketPin } from './ops/socket-hook.js';
import type { Reconciler } from './reconciler.js';
import type { Tables } from './tables.js';

/** Between two looks. What is gone by then is back within a second. */
const LOOK_MS = 400;
/** Filters are asked for one by one; when one goes the kernel tells. */
const GUARDS_AT_A_TIME = 16;
/** After an event: what belongs together comes together. */
const SOON_MS = 20;

export interface RowName {
  readonly kind: RowKind;
  readonly key: string;
}

export interface WatchOptions {
  reconciler: Pick<Reconciler, 'lose' | 'retry' | 'mended'>;
  links: LinkTable;
  tables: Tables;
  guards: GuardsApi;
  /** Pins whose program is off its hook or was exchanged. */
  lost(touched: ReadonlySet<number>): Promise<readonly string[]>;
  /** Puts back what is gone of pins, marks and their file system; answers how many. */
  restorePins(): Promise<number>;
  clock: Clock;
  log: Log;
}

export class Watch {
  readonly #o: WatchOptions;
  readonly #undo: (() => void)[] = [];
  /** Devices that lost filters. */
  #touched = new Set<number>();
  /** Links of ours that changed, and ports that were off their bridge. */
  #changed = new Set<string>();
  #released = new Set<string>();
  /** Bridges that stopped forwarding, or lost an address. */
  #bridges = new Set<string>();
  #next: { at: number; timer: Timer } | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = true;
  #complaint = '';
  /** Links whose guards are known to be there, in the order in which they are looked at. */
  readonly #guarded = new Set<string>();

  /** Notes from now on what changes. */
  constructor(options: WatchOptions) {
    this.#o = options;
    this.#undo.push(
      options.links.onChange(({ type, link }) => {
        if (type === 'new') this.#linkChanged(link);
      }),
    );
  }

  /** Looks, once everything has been brought about for the first time. */
  start(): void {
    this.#stopped = false;
    this.#in(0);
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#next?.timer.cancel();
    for (const undo of this.#undo) undo();
    await this.#running;
  }

  /** Call when filters of a device went. */
  filtersGone(ifindex: number): void {
    this.#touched.add(ifindex);
    this.#in(SOON_MS);
  }

  /** Call when a device stopped forwarding, as all do when somebody has the host be no router. */
  forwardingOff({ ifindex, family }: { ifindex: number; family: 4 | 6 }): void {
    this.#bridgeLost(ifindex, (cidr) => familyOf(cidr) === family);
  }

  /** Call when an address is gone from a device. */
  addressGone({ ifindex, address, prefixLength }: AddressInfo): void {
    this.#bridgeLost(ifindex, (cidr) => cidr === `${address}/${prefixLength}`);
  }

  #bridgeLost(ifindex: number, concerns: (cidr: string) => boolean): void {
    const name = this.#o.links.byIndex(ifindex)?.name;
    const bridge = name === undefined ? undefined : this.#o.tables.row('bridge', name);
    if (bridge === undefined || !bridge.addresses.some(concerns)) return;
    this.#bridges.add(bridge.link);
    this.#in(SOON_MS);
  }

  #linkChanged(link: LinkInfo): void {
    const { tables } = this.#o;
    const port = this.#port(link.name);
    if (port !== undefined && tables.get(port.kind, link.name)?.state === 'done') {
      if (link.master === 0) this.#released.add(link.name);
    } else if (!tables.wants('bridge', link.name) && !tables.wants('reassembly', link.name)) {
      return;
    }
    this.#changed.add(link.name);
    this.#in(SOON_MS);
  }

  #port(name: string) {
    return this.#o.tables.row('port', name) ?? this.#o.tables.row('lent-port', name);
  }

  #in(ms: number): void {
    const at = this.#o.clock.monotonic() + ms;
    if (this.#stopped || (this.#next !== null && this.#next.at <= at)) return;
    this.#next?.timer.cancel();
    const timer = this.#o.clock.after(ms, () => {
      this.#next = null;
      this.#running = this.#running.then(() => this.#lookNow()).finally(() => this.#in(LOOK_MS));
    });
    this.#next = { at, timer };
  }

  async #lookNow(): Promise<void> {
    try {
      await this.#look();
      this.#complaint = '';
    } catch (e) {
      // twice a second the same line would fill the log
      const message = e instanceof Error ? e.message : String(e);
      if (message !== this.#complaint) this.#o.log.warn('cannot look after what is attached', { err: e });
      this.#complaint = message;
    }
  }

  async #look(): Promise<void> {
    const { reconciler } = this.#o;
    const [touched, changed, released, bridges] = [
      this.#touched,
      this.#changed,
      this.#released,
      this.#bridges,
    ];
    [this.#touched, this.#changed, this.#released] = [new Set(), new Set(), new Set()];
    this.#bridges = new Set();
    const links = [
      ...[...changed].flatMap((name) => this.#astray(name, released.has(name))),
      ...[...bridges].map((key): RowName => ({ kind: 'bridge', key })),
    ];
    await this.#guard(touched);
    let lost = reconciler.lose(links, new SluiceError('kernel', 'somebody changed the link'));
    const pins = await this.#o.restorePins();
    if (pins > 0) reconciler.mended('pin', `${pins} pins`, pins);
    const programs = (await this.#o.lost(touched)).flatMap(rowOf);
    lost += reconciler.lose(programs, new SluiceError('kernel', 'somebody took the program away'));
    if (lost > 0) await reconciler.retry();
  }

  /** Of touched links, of new ones, and of some of the others. */
  async #guard(touched: ReadonlySet<number>): Promise<void> {
    const { links, guards, reconciler } = this.#o;
    const wanted = new Map(this.#toGuard());
    for (const name of this.#guarded) if (!wanted.has(name)) this.#guarded.delete(name);
    const some = [...this.#guarded].slice(0, GUARDS_AT_A_TIME);
    for (const [name, guarded] of wanted) {
      const link = links.byName(name);
      const known = this.#guarded.has(name);
      if (link === undefined || (known && !touched.has(link.ifindex) && !some.includes(name))) continue;
      const held = await guards.hold(link.ifindex, guarded);
      if (!held) await guards.put(link.ifindex, guarded);
      if (!held && known) reconciler.mended('guard', `guard of ${name}`);
      this.#guarded.delete(name);
      this.#guarded.add(name);
    }
  }

  *#toGuard(): Generator<[string, Guarded]> {
    const { tables } = this.#o;
    for (const kind of ['port', 'lent-port', 'reassembly'] as const)
      for (const { link } of tables.rows(kind)) yield [link, 'port'];
    for (const { link } of tables.rows('bridge')) yield [link, 'bridge'];
  }

  /** The rows that a link of ours does not fulfil any more. */
  #astray(name: string, released: boolean): RowName[] {
    const { links, tables } = this.#o;
    const link = links.byName(name);
    if (link === undefined) return []; // the keeper's
    const port = this.#port(name);
    const bridge = tables.row('bridge', name);
    const rows: RowName[] = [];
    if (port !== undefined && (!link.up || link.master !== links.byName(port.bridge)?.ifindex))
      rows.push({ kind: port.kind, key: name });
    // forwarding entries go when a port leaves its bridge
    if (released)
      for (const { mac } of this.#entriesOf(name)) rows.push({ kind: 'fdb', key: `${name}/${mac}` });
    if (bridge !== undefined && (!link.up || link.mac !== bridge.mac))
      rows.push({ kind: 'bridge', key: name });
    if (tables.wants('reassembly', name) && !link.up) rows.push({ kind: 'reassembly', key: name });
    return rows;
  }

  #entriesOf(name: string) {
    return [...this.#o.tables.rows('fdb')].filter(({ link }) => link === name);
  }
}

function rowOf(pin: string): RowName[] {
  const name = basename(pin);
  const place = parsePin(name);
  if (place !== null) return [{ kind: 'attachment', key: `${place.link}/${place.hook}` }];
  const hook = parseSocketPin(name);
  return hook === null ? [] : [{ kind: 'socket-hook', key: hook }];
}
