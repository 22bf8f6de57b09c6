// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { ServiceRow } from '../../cnm/rows.js';
import type { KernelMaps } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';

export class ServiceOps implements Ops<ServiceRow> {
  constructor(_maps: KernelMaps) {}

  update(): void {
    throw new SluiceError('unsupported', 'not yet');
  }

  delete(): void {}

  async read(): Promise<Actual<ServiceRow>> {
    return { holds: () => false, strays: () => [] };
  }
}
