// SPDX-License-Identifier: Apache-2.0
import { basename, join } from 'node:path';
import type { AttachmentRow, Hook } from '../../cnm/rows.js';
import { attachError } from '../../loader/attach-error.js';
import { decode, encode } from '../identity.js';
import type { AttachApi, LinkInfo, Programs } from '../kernel.js';
import { type Layer, layerOf } from '../layer.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import type { Tables } from '../tables.js';

/** Which tc hook; `xdp`: the device's own. */
const PLACE: Readonly<Record<Hook, 'ingress' | 'egress' | 'xdp'>> = {
  endpoint_ingress: 'ingress',
  bridge_egress: 'egress',
  uplink_ingress: 'ingress',
  uplink_egress: 'egress',
  uplink_xdp: 'xdp',
  reassembly_ingress: 'ingress',
};

export interface AttachmentOptions {
  attach: AttachApi;
  links: LinkTable;
  programs: Programs;
  tables: Tables;
  /** Directory of the pins. */
  pins: string;
}

/** Programs on links, each pinned as `<hook>-<link>`. */
export class AttachmentOps implements Ops<AttachmentRow> {
  readonly #o: AttachmentOptions;

  constructor(options: AttachmentOptions) {
    this.#o = options;
  }

  async update(row: AttachmentRow): Promise<void> {
    const link = await this.#o.links.need(row.link);
    const program = await this.#o.programs.load(row.hook, layer(link));
    const at = { ifindex: link.ifindex, pin: this.#pin(row) };
    const direction = PLACE[row.hook];
    try {
      if (direction === 'xdp') await this.#o.attach.attachXdp(program, at);
      else await this.#o.attach.attachTc(program, { ...at, direction });
    } catch (e) {
      throw attachError(e, { program: row.hook, on: `${direction} of ${row.link}` });
    }
  }

  async delete(row: Pick<AttachmentRow, 'hook' | 'link'>): Promise<void> {
    const pin = this.#pin(row);
    const heir = await this.#renamed(row, pin);
    if (heir === null) await this.#o.attach.detach(pin);
    else await this.#o.attach.rename(pin, this.#pin({ ...row, link: heir }));
  }

  /** The name that the link has been given since, if it is to keep the program. */
  async #renamed({ hook, link }: Pick<AttachmentRow, 'hook' | 'link'>, pin: string): Promise<string | null> {
    const { attach, links, tables } = this.#o;
    const ifindex = await attach.deviceOf(pin);
    const name = ifindex === null ? undefined : links.byIndex(ifindex)?.name;
    return name !== undefined && name !== link && tables.wants('attachment', `${name}/${hook}`) ? name : null;
  }

  async read(): Promise<Actual<AttachmentRow>> {
    const { links, attach, pins } = this.#o;
    const have = new Map((await attach.listAttachments(pins)).map((a) => [a.pin, a]));
    return {
      holds: (row) => {
        const link = links.byName(row.link);
        const own = have.get(this.#pin(row));
        return (
          link !== undefined &&
          own !== undefined &&
          own.ifindex === link.ifindex &&
          own.programId === this.#o.programs.loaded(row.hook, layer(link))?.id
        );
      },
      strays: (wanted) =>
        [...have.keys()].flatMap((pin) => {
          const row = parsePin(basename(pin));
          if (row === null || wanted(`${row.link}/${row.hook}`)) return [];
          return [{ what: `program ${row.hook} on ${row.link}`, remove: () => this.delete(row) }];
        }),
    };
  }

  #pin({ hook, link }: Pick<AttachmentRow, 'hook' | 'link'>): string {
    return join(this.#o.pins, `${hook}-${encode(link)}`);
  }
}

function layer(link: LinkInfo): Layer {
  return layerOf(link) ?? 'ethernet';
}

/** Of a pin's file name; null: it is none of ours. */
export function parsePin(name: string): { hook: Hook; link: string } | null {
  const cut = name.indexOf('-');
  const hook = name.slice(0, cut);
  return cut > 0 && hook in PLACE ? { hook: hook as Hook, link: decode(name.slice(cut + 1)) } : null;
}
