// SPDX-License-Identifier: Apache-2.0
import { release } from 'node:os';
import { basename } from 'node:path';
import type { StatusReport, StatusSource } from '../api/sources.js';
import { rowKey } from '../cnm/rows.js';
import type { Resolver } from '../dns/resolver.js';
import type { Attacher } from '../loader/attach.js';
import type { Feature } from '../loader/features.js';
import type { DataplaneMaps } from '../maps/dataplane.js';
import { drop_reason } from '../maps/generated/enums.js';
import { layerOf } from '../reconcile/layer.js';
import { parsePin } from '../reconcile/ops/attachment.js';
import { parseSocketPin } from '../reconcile/ops/socket-hook.js';
import type { Reconciler } from '../reconcile/reconciler.js';
import type { UplinkFollower } from '../reconcile/uplinks.js';
import type { TableFills } from './fills.js';
import type { StateKeeper } from './state-keeper.js';
import { VERSION } from './version.js';

export interface StatusOptions {
  node: { name: string; ip: string | null };
  features: readonly Feature[];
  attach: Pick<Attacher, 'listAttachments' | 'listSocketHooks'>;
  /** Directory of the cgroup that the socket hooks are on. */
  cgroup: string | null;
  pins: string;
  follower: UplinkFollower;
  maps: DataplaneMaps;
  fills: TableFills;
  reconciler: Reconciler;
  state: Pick<StateKeeper, 'status'>;
  /** null: there is none. */
  resolver: Pick<Resolver, 'counts' | 'meter'> | null;
}

/** The daemon's account of itself, read from the kernel at each question. */
export class DaemonStatus implements StatusSource {
  readonly #o: StatusOptions;

  constructor(options: StatusOptions) {
    this.#o = options;
  }

  async status(): Promise<StatusReport> {
    const { node, features, follower, fills, reconciler } = this.#o;
    const rows = { pending: 0, done: 0, error: 0 };
    for (const count of reconciler.counts()) rows[count.state] += count.rows;
    return {
      node: node.name,
      address: node.ip ?? follower.address,
      version: VERSION,
      kernel: release(),
      uptimeSeconds: process.uptime(),
      features: features.map((f) => ({ ...f })),
      attachModes: await this.#attachModes(),
      uplinks: follower.uplinks.map((link) => ({
        link: link.name,
        layer: layerOf(link) ?? 'ethernet',
        addresses: follower.addressesOf(link.ifindex),
      })),
      tables: await fills.all(),
      drops: this.#drops(),
      rows,
      resolver: this.#resolver(),
      state: this.#o.state.status(),
      problems: reconciler
        .problems()
        .flatMap(({ owner, row, state, error }) =>
          state === 'done'
            ? []
            : [{ owner: { ...owner }, row: row.kind, key: rowKey(row), state, error: error ?? null }],
        ),
    };
  }

  #resolver(): StatusReport['resolver'] {
    const { resolver } = this.#o;
    if (resolver === null) return null;
    const { open, waiting } = resolver.counts();
    const { meter } = resolver;
    return {
      sandboxes: open,
      waiting,
      queries: meter.total(),
      forwarded: meter.total('forwarded'),
      failed: meter.total('failed'),
    };
  }

  async #attachModes(): Promise<StatusReport['attachModes']> {
    const { attach, pins, cgroup } = this.#o;
    const onLinks = (await attach.listAttachments(pins)).flatMap(({ pin, ifindex, mode }) => {
      const place = parsePin(basename(pin));
      return place === null || ifindex === 0 ? [] : [{ ...place, mode }];
    });
    const onSockets = (await attach.listSocketHooks(pins)).flatMap(({ pin, cgroupId }) => {
      const hook = parseSocketPin(basename(pin));
      return hook === null || cgroupId === 0n || cgroup === null
        ? []
        : [{ link: cgroup, hook, mode: 'cgroup' }];
    });
    return [...onLinks, ...onSockets];
  }

  #drops(): StatusReport['drops'] {
    const drops: StatusReport['drops'] = {};
    for (const [name, index] of Object.entries(drop_reason)) {
      if (index >= this.#o.maps.drops.descriptor.maxEntries) continue;
      const sum = { packets: 0, bytes: 0 };
      for (const { packets, bytes } of this.#o.maps.drops.getPerCpu(index)) {
        sum.packets += Number(packets);
        sum.bytes += Number(bytes);
      }
      if (sum.packets > 0) drops[name.replace(/^DROP_/, '').toLowerCase()] = sum;
    }
    return drops;
  }
}
