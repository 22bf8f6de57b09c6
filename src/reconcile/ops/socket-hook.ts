// SPDX-License-Identifier: Apache-2.0
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SluiceError } from '../../base/errors.js';
import type { SocketHook, SocketHookRow } from '../../cnm/rows.js';
import { attachError } from '../../loader/attach-error.js';
import { SOCKET_HOOK_TYPES } from '../../loader/socket-hooks.js';
import type { AttachApi, SocketPrograms } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';

const TYPE: Readonly<Record<SocketHook, number>> = SOCKET_HOOK_TYPES;
const PREFIX = 'cgroup-';

export const SOCKET_HOOKS = Object.keys(TYPE) as SocketHook[];

export interface SocketHookOptions {
  attach: AttachApi;
  sockets: SocketPrograms;
  /** Directory of the pins. */
  pins: string;
}

/** Programs on the root cgroup, each pinned as `cgroup-<hook>`. */
export class SocketHookOps implements Ops<SocketHookRow> {
  readonly #o: SocketHookOptions;

  constructor(options: SocketHookOptions) {
    this.#o = options;
  }

  async update({ hook }: SocketHookRow): Promise<void> {
    const { attach, sockets } = this.#o;
    if (sockets.cgroup === null) throw new SluiceError('environment', 'this host has no socket hooks');
    const at = { cgroup: sockets.cgroup, type: TYPE[hook], pin: this.#pin(hook) };
    try {
      await attach.attachSocketHook(sockets.socketProgram(hook), at);
    } catch (e) {
      throw attachError(e, { program: hook, on: `cgroup ${sockets.cgroup}` });
    }
  }

  async delete({ hook }: Pick<SocketHookRow, 'hook'>): Promise<void> {
    await this.#o.attach.detach(this.#pin(hook));
  }

  async read(): Promise<Actual<SocketHookRow>> {
    const { attach, sockets, pins } = this.#o;
    const have = new Map((await attach.listSocketHooks(pins)).map((link) => [link.pin, link]));
    const root = sockets.cgroup === null ? null : statSync(sockets.cgroup, { bigint: true }).ino;
    return {
      holds: ({ hook }) => {
        const own = have.get(this.#pin(hook));
        return own !== undefined && own.cgroupId === root && own.programId === sockets.socketProgram(hook).id;
      },
      strays: (wanted) =>
        [...have.keys()].flatMap((pin) => {
          const hook = parseSocketPin(basename(pin));
          if (hook === null || wanted(hook)) return [];
          return [{ what: `socket hook ${hook}`, remove: () => this.delete({ hook }) }];
        }),
    };
  }

  #pin(hook: SocketHook): string {
    return join(this.#o.pins, `${PREFIX}${hook}`);
  }
}

/** Of a pin's file name; null: it is none of ours. */
export function parseSocketPin(name: string): SocketHook | null {
  const hook = name.slice(PREFIX.length);
  return name.startsWith(PREFIX) && hook in TYPE ? (hook as SocketHook) : null;
}
