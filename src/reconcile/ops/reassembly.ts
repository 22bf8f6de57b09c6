// SPDX-License-Identifier: Apache-2.0
/**
 * A network namespace that puts fragments together, forwards the datagram to
 * where it came from, and thereby fragments it again: as it was, or smaller.
 * A mark on the packet chooses how small, by a routing table for each size.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isNativeError, SluiceError } from '../../base/errors.js';
import { missingModule } from '../../base/modules.js';
import type { ReassemblyRow, Row } from '../../cnm/rows.js';
import { attachError } from '../../loader/attach-error.js';
import type { Identity } from '../identity.js';
import type {
  AttachApi,
  GuardsApi,
  KernelMap,
  LinkInfo,
  NetlinkApi,
  NetnsApi,
  ReassemblyValue,
  RouteInfo,
} from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import { ifPresent } from './absent.js';
import { disableIpv6, enableIpv6 } from './ipv6.js';

/** Ascending; what the way out takes is rounded down to one of these (RFC 1191, 7.1, and common tunnels). */
const MTUS = [68, 296, 576, 1006, 1280, 1400, 1420, 1440, 1450, 1476, 1480, 1492, 1500, 4352, 9000, 32000];
const LARGEST_MTU = 65_535;

const INNER = 'veth0';
const INNER_MAC = '02:00:00:00:00:02';
/** Behind the link, where nobody has them. */
const GATEWAY = { 4: '169.254.0.1', 6: 'fe80::1' } as const;
const MAIN = 254;

/** Datagrams of which parts are missing. What is beyond is dropped, and hurts fragments only. */
const MEMORY_BYTES = 8 << 20;
/** RFC 791 has 15 s as the lower bound. */
const PATIENCE_S = 15;

/** Of a fresh namespace. A namespace is born with settings of the host's, so each that matters is here. */
const SYSCTLS: readonly (readonly [string, string])[] = [
  ['net/ipv4/ip_forward', '1'],
  ['net/ipv4/conf/all/rp_filter', '0'],
  [`net/ipv4/conf/${INNER}/rp_filter`, '0'],
  ['net/ipv4/conf/all/send_redirects', '0'],
  [`net/ipv4/conf/${INNER}/send_redirects`, '0'],
  ['net/ipv4/conf/all/accept_source_route', '0'],
  ['net/ipv4/conf/all/log_martians', '0'],
  [`net/ipv4/conf/${INNER}/log_martians`, '0'],
  ['net/ipv4/ipfrag_high_thresh', String(MEMORY_BYTES)],
  ['net/ipv4/ipfrag_time', String(PATIENCE_S)],
];

const IPV6_SYSCTLS: readonly (readonly [string, string])[] = [
  ['net/ipv6/conf/all/forwarding', '1'],
  ['net/netfilter/nf_conntrack_frag6_high_thresh', String(MEMORY_BYTES)],
  ['net/netfilter/nf_conntrack_frag6_timeout', String(PATIENCE_S)],
];

export interface ReassemblyOptions {
  netlink: NetlinkApi;
  netns: NetnsApi;
  attach: AttachApi;
  guards: Pick<GuardsApi, 'put'>;
  links: LinkTable;
  identity: Identity;
  /** Directory of the pins. */
  pins: string;
  /** The host has IPv6. */
  ipv6: boolean;
  writeSysctl(key: string, value: string): Promise<void>;
}

const namespaceOf = (instance: string): string => `/run/netns/sluice-fragments-${instance}`;

/** All that a node needs for it. */
export function reassemblyRows({ instance }: Identity, by: ReassemblyRow['by']): Row[] {
  const netns = namespaceOf(instance);
  const link = `slf${instance}`;
  return [
    { kind: 'netns', path: netns },
    { kind: 'reassembly', netns, link, by },
    { kind: 'attachment', link, hook: 'reassembly_ingress' },
  ];
}

export class ReassemblyOps implements Ops<ReassemblyRow> {
  readonly #o: ReassemblyOptions;
  /** null: it goes as a whole. */
  readonly #map: KernelMap<number, ReassemblyValue> | null;
  readonly #families: readonly (4 | 6)[];

  constructor(options: ReassemblyOptions, map: KernelMap<number, ReassemblyValue> | null) {
    this.#o = options;
    this.#families = options.ipv6 ? [4, 6] : [4];
    this.#map = map;
  }

  async update(row: ReassemblyRow): Promise<void> {
    const { links, netlink, writeSysctl } = this.#o;
    const known = links.byName(row.link) ?? (await netlink.linkByName(row.link));
    if (known !== undefined) this.#refuseForeign(known);
    const kept = known !== undefined && (await this.#isInside(row, known)) ? known : undefined;
    if (known !== undefined && kept === undefined) await this.delete(row);
    const link = kept ?? (await this.#create(row));
    await netlink.setLink(link.ifindex, { alias: this.#alias(row), mtu: LARGEST_MTU });
    await disableIpv6(writeSysctl, row.link);
    await netlink.setLink(link.ifindex, { up: true });
    await this.#defragment(row, kept === undefined);
    await this.#configure(row, link);
  }

  /** A table that is left of an earlier daemon does no harm beside the links. */
  async #defragment({ netns: path, by }: ReassemblyRow, fresh: boolean): Promise<void> {
    const { attach, netns } = this.#o;
    if (by === 'nftables') {
      await netns.defragmentIn(path);
      for (const family of this.#families) await attach.detach(this.#pin(family));
      return;
    }
    for (const family of this.#families) {
      const pin = this.#pin(family);
      if (!fresh && existsSync(pin)) attach.holdDefragmentation(pin);
      else
        await attach.attachDefragmentation({ netns: path, family, pin }).catch((e) => {
          if (isNativeError(e) && e.code === 'ENOENT')
            throw missingModule(`nf_defrag_ipv${family}`, 'fragments are not put together', e);
          throw attachError(e, { program: 'defragmentation', on: `IPv${family} of ${path}` });
        });
    }
  }

  /** What has the namespace put fragments together; null: nothing. */
  async #defragmentedBy(path: string): Promise<ReassemblyRow['by'] | null> {
    if (this.#families.every((family) => existsSync(this.#pin(family)))) return 'link';
    return (await this.#o.netns.defragmentsIn(path)) ? 'nftables' : null;
  }

  /** Once the program is there that takes back what is sent. */
  async raise(row: ReassemblyRow): Promise<void> {
    const value = { ifindex: await this.#o.links.ifindex(row.link), mtu: MTUS };
    this.#map?.set(0, value);
  }

  async delete({ link: name }: Pick<ReassemblyRow, 'link'>): Promise<void> {
    const { netlink, links, identity, attach } = this.#o;
    this.#map?.set(0, { ifindex: 0, mtu: MTUS.map(() => 0) });
    for (const family of this.#families) await attach.detach(this.#pin(family));
    const link = links.byName(name) ?? (await netlink.linkByName(name));
    if (link !== undefined) {
      if (link.kind !== 'veth' || !identity.owns(link)) return;
      await ifPresent(netlink.deleteLink(link.ifindex));
      links.forget(link.ifindex);
    }
    identity.unmark('link', name);
  }

  async read(): Promise<Actual<ReassemblyRow>> {
    const { links } = this.#o;
    await links.refresh();
    const settled = new Map<string, ReassemblyRow['by'] | null>();
    for (const link of links.all().filter((l) => this.#isOurs(l))) {
      settled.set(link.name, await this.#settled(link));
    }
    return {
      holds: (row) => {
        const link = links.byName(row.link);
        return (
          link !== undefined &&
          link.alias === this.#alias(row) &&
          link.up &&
          link.mtu === LARGEST_MTU &&
          settled.get(row.link) === row.by &&
          (this.#map === null || this.#map.get(0)?.ifindex === link.ifindex)
        );
      },
      strays: (wanted) =>
        links
          .all()
          .filter((link) => this.#isOurs(link) && !wanted(link.name))
          .map(({ name }) => ({ what: `veth ${name}`, remove: () => this.delete({ link: name }) })),
    };
  }

  #isOurs(link: LinkInfo): boolean {
    return link.kind === 'veth' && link.alias.startsWith(this.#o.identity.alias('reassembly:'));
  }

  #refuseForeign(link: LinkInfo): void {
    if (link.kind === 'veth' && this.#o.identity.owns(link)) return;
    throw new SluiceError('conflict', `link ${link.name} exists and is not ours`, {
      hint: 'remove or rename it',
    });
  }

  async #isInside(row: ReassemblyRow, link: LinkInfo): Promise<boolean> {
    return this.#inside(row.netns, async (inner) => {
      const end = await inner.linkByName(INNER);
      return end !== undefined && end.ifindex === link.linkIndex;
    });
  }

  async #create(row: ReassemblyRow): Promise<LinkInfo> {
    const { netlink, links, identity, guards } = this.#o;
    identity.mark('link', row.link);
    const link = await netlink.createVeth({
      name: row.link,
      mtu: LARGEST_MTU,
      peer: { name: INNER, mac: INNER_MAC, mtu: LARGEST_MTU, netns: row.netns },
    });
    links.note(link);
    await guards.put(link.ifindex, 'port');
    return link;
  }

  async #configure({ netns: path }: ReassemblyRow, link: LinkInfo): Promise<void> {
    const write = (key: string, value: string) => this.#o.netns.writeSysctlIn(path, key, value);
    for (const [key, value] of SYSCTLS) await write(key, value);
    if (this.#o.ipv6) {
      for (const [key, value] of IPV6_SYSCTLS) await write(key, value);
      await enableIpv6(write, INNER, LARGEST_MTU, 'none');
    }
    await this.#inside(path, async (inner) => {
      const ifindex = link.linkIndex;
      await inner.setLink(ifindex, { mtu: LARGEST_MTU, up: true });
      for (const family of this.#families) {
        await inner.setNeighbour(ifindex, GATEWAY[family], link.mac ?? INNER_MAC);
        await orPresent(inner.addRoute({ dst: null, gateway: GATEWAY[family], ifindex, onlink: true }));
      }
      for (const [i, mtu] of MTUS.entries()) {
        const table = i + 1;
        const route = { dst: null, gateway: GATEWAY[4], ifindex, onlink: true, table, mtu };
        await orPresent(inner.addRoute(route));
        await orPresent(inner.addRule(4, ruleOf(table)));
      }
    });
  }

  /** What the namespace behind the link puts fragments together by; null: it does not do what it is for. */
  async #settled(link: LinkInfo): Promise<ReassemblyRow['by'] | null> {
    const path = namespaceOf(this.#o.identity.instance);
    if (!(await this.#o.netns.isNetns(path))) return null;
    return (await this.#leadsBack(path, link)) ? this.#defragmentedBy(path) : null;
  }

  #leadsBack(path: string, link: LinkInfo): Promise<boolean> {
    return this.#inside(path, async (inner) => {
      const end = await inner.linkByName(INNER);
      if (end === undefined || end.ifindex !== link.linkIndex || !end.up || end.mtu !== LARGEST_MTU)
        return false;
      const routes = await inner.routes();
      const rules = await inner.rules(4);
      const neighbours = await inner.neighbours(end.ifindex);
      return (
        this.#families.every((family) => hasDefault(routes, end.ifindex, family, MAIN)) &&
        this.#families.every((f) => neighbours.some((n) => n.address === GATEWAY[f] && n.permanent)) &&
        MTUS.every((_, i) => {
          const rule = ruleOf(i + 1);
          return (
            hasDefault(routes, end.ifindex, 4, rule.table) &&
            rules.some((r) => r.mark === rule.mark && r.table === rule.table)
          );
        })
      );
    });
  }

  async #inside<T>(path: string, task: (inner: NetlinkApi) => Promise<T>): Promise<T> {
    const inner = await this.#o.netns.netlinkIn(path);
    try {
      return await task(inner);
    } finally {
      inner.close();
    }
  }

  #pin(family: 4 | 6): string {
    return join(this.#o.pins, `defragmentation-${family}`);
  }

  #alias({ link }: Pick<ReassemblyRow, 'link'>): string {
    return this.#o.identity.alias(`reassembly:${link}`);
  }
}

/** Mark, table and place in MTUS are one number, which bpf/lib/fragment.h counts from 1. */
function ruleOf(table: number): { priority: number; mark: number; table: number } {
  return { priority: 100 + table, mark: table, table };
}

function hasDefault(routes: readonly RouteInfo[], ifindex: number, family: 4 | 6, table: number): boolean {
  return routes.some(
    (r) => r.dst === null && r.ifindex === ifindex && r.gateway === GATEWAY[family] && r.table === table,
  );
}

/** Adding what is there already is success. */
async function orPresent(addition: Promise<void>): Promise<void> {
  try {
    await addition;
  } catch (e) {
    if (!isNativeError(e) || e.code !== 'EEXIST') throw e;
  }
}
