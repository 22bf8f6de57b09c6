// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { packageRoot } from '../native/load.js';

export const ROOT = packageRoot();
/** Compiled programs, one an object file. */
export const OBJECTS = join(ROOT, 'dist', 'bpf');

/** Below the state directory. */
export const DATABASE = 'db';
export const RESERVED_FILE = 'reserved-ports.json';

/** Below the bpffs directory of an instance. */
export const LINKS_DIR = 'links';
export const MAPS_DIR = 'maps';
