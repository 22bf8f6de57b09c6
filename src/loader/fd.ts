// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';

/** Owns one descriptor of a map, program or link. */
export class OwnedFd {
  readonly #native: BpfNative;
  #fd: number;

  constructor(native: BpfNative, fd: number) {
    this.#native = native;
    this.#fd = fd;
  }

  get fd(): number {
    if (this.#fd < 0) throw new SluiceError('internal', 'a closed descriptor was used');
    return this.#fd;
  }

  /** Twice is once. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) this.#native.bpfCloseFd(fd);
  }
}
