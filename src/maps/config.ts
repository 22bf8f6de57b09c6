// SPDX-License-Identifier: Apache-2.0
import { configCodec } from './generated/codecs.js';
import { configDefaults } from './generated/config.js';
import type { Config } from './generated/types.js';

/** The programs' constants as .rodata holds them: the defaults of bpf/lib/config.h, some replaced. */
export function encodeConfig(changes: Partial<Config>): Buffer {
  const bytes = Buffer.alloc(configCodec.size);
  configCodec.encode({ ...configCodec.decode(configDefaults, 0), ...changes }, bytes, 0);
  return bytes;
}
