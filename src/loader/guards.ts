// SPDX-License-Identifier: Apache-2.0
/**
 * The second lock on links of ours: filters that the kernel itself holds, so
 * that they stay when links, pins or the daemon are gone. They go with their link.
 */
import { isNativeError, SluiceError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import { CLSACT_HANDLE, CLSACT_PRIORITY, type Direction, type Qdiscs } from './clsact.js';
import type { Program } from './programs.js';

/** Behind the program that it stands in for, where that is a filter as well. */
export const GUARD_PRIORITY = CLSACT_PRIORITY + 1;

/** `port`: a veth whose program looks at all that enters; `bridge`: of a network. */
export type Guarded = 'port' | 'bridge';

export type GuardProgram = 'guard_port' | 'guard_to_host' | 'guard_forward';

const FILTERS: Readonly<Record<Guarded, readonly (readonly [GuardProgram, Direction])[]>> = {
  port: [['guard_port', 'ingress']],
  bridge: [
    ['guard_to_host', 'ingress'],
    ['guard_forward', 'egress'],
  ],
};

/** The kernel has no clsact qdisc or no BPF filters, and no module of them. */
const LACKING = ['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT'];

export interface GuardsOptions {
  qdiscs: Pick<Qdiscs, 'createClsact'>;
  program(name: GuardProgram): Program;
  /** Called once, with the reason, where the kernel has no such filters. */
  lacking(reason: string): void;
}

export class Guards {
  readonly #native: BpfNative;
  readonly #o: GuardsOptions;
  #lacking = false;

  constructor(native: BpfNative, options: GuardsOptions) {
    this.#native = native;
    this.#o = options;
  }

  /** Exchanged atomically where they are there already. */
  async put(ifindex: number, guarded: Guarded): Promise<void> {
    if (this.#lacking) return;
    try {
      await this.#o.qdiscs.createClsact(ifindex);
      for (const [name, direction] of FILTERS[guarded]) {
        const { fd } = this.#o.program(name);
        await this.#native.bpfTcAttach(fd, ifindex, direction === 'egress', CLSACT_HANDLE, GUARD_PRIORITY);
      }
    } catch (e) {
      if (!isNativeError(e) || !LACKING.includes(e.code)) throw e;
      this.#lacking = true;
      this.#o.lacking(new SluiceError('kernel', e.message, { cause: e }).message);
    }
  }

  /** Whether they are there, and are of this version. */
  async hold(ifindex: number, guarded: Guarded): Promise<boolean> {
    if (this.#lacking) return true;
    for (const [name, direction] of FILTERS[guarded]) {
      const egress = direction === 'egress';
      const id = await this.#native.bpfTcQuery(ifindex, egress, CLSACT_HANDLE, GUARD_PRIORITY);
      if (id !== this.#o.program(name).id) return false;
    }
    return true;
  }
}
