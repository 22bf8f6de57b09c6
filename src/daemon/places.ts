// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout or installation: what holds dist/, from wherever it is run. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
export const OBJECTS = join(ROOT, 'dist', 'bpf');

/** Below the bpffs directory of an instance. */
export const LINKS_DIR = 'links';
/** Object files, one a program, named as it. */
export const TC_OBJECTS = ['endpoint_ingress', 'bridge_egress', 'uplink_ingress', 'uplink_egress'] as const;
export const COLLECTOR = 'collector';
