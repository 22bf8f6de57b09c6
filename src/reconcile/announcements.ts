// SPDX-License-Identifier: Apache-2.0
/**
 * Announcements spare neighbours a wait, and nothing depends on them: one that
 * cannot be sent is told, once for each cause, and the row is done without.
 */
import { isNativeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Announcement, Audience } from '../link/announce.js';
import type { AnnounceApi, LinkInfo } from './kernel.js';
import type { LinkTable } from './links.js';

export type Announce = Pick<Announcements, 'tell'>;

export class Announcements {
  readonly #announcer: AnnounceApi;
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(announcer: AnnounceApi, log: Log) {
    this.#announcer = announcer;
    this.#log = log;
  }

  async tell(audience: Audience, who: Announcement): Promise<void> {
    try {
      await this.#announcer.announce(audience, who);
    } catch (e) {
      const cause = isNativeError(e) ? `${e.syscall} ${e.code}` : String(e);
      if (this.#told.has(cause)) return;
      this.#told.add(cause);
      const hint = isNativeError(e) && e.code === 'EPERM' ? '; CAP_NET_RAW is missing' : '';
      this.#log.warn(`neighbours cannot be told of new addresses${hint}`, { err: e });
    }
  }
}

/** Everybody on a bridge, but for the port `except`. */
export function portsOf(links: LinkTable, bridge: LinkInfo, except?: string): Audience {
  const ports = links.all().filter((link) => link.master === bridge.ifindex && link.name !== except);
  return { netns: null, ifindexes: ports.map(({ ifindex }) => ifindex) };
}
