// SPDX-License-Identifier: Apache-2.0
/** The `-o` keys of macvlan networks; `parent` and `macvlan_mode` are Docker's. */
import { SluiceError } from '../../base/errors.js';
import type { MacvlanMode } from '../rows.js';
import { either, MTU, type Options, type Parser, parsed, parseLink, parseMtu } from './options.js';

const KNOWN: readonly string[] = ['parent', 'macvlan_mode', 'mtu', MTU];

/** What the dataplane does on bridge networks. A macvlan link's packets do not pass it. */
const ELSEWHERE: readonly string[] = [
  'icc',
  'com.docker.network.bridge.enable_icc',
  'masquerade',
  'com.docker.network.bridge.enable_ip_masquerade',
  'host-access',
  'com.docker.network.bridge.host_binding_ipv4',
];

const MODES: readonly MacvlanMode[] = ['bridge', 'private', 'vepa', 'passthru'];

export interface MacvlanOptions {
  readonly parent: string;
  readonly mode: MacvlanMode;
  /** null: the parent's. */
  readonly mtu: number | null;
}

export function parseMacvlanOptions(options: Options): MacvlanOptions {
  for (const key of Object.keys(options)) {
    if (KNOWN.includes(key)) continue;
    if (ELSEWHERE.includes(key)) {
      throw new SluiceError('unsupported', `'${key}' has no effect on a macvlan network`, {
        field: `options.${key}`,
        hint: 'its packets go straight to the physical network: leave the option out, or use a bridge network',
      });
    }
    throw new SluiceError('invalid_argument', `'${key}' is not an option of a macvlan network`, {
      field: `options.${key}`,
      hint: `the options are ${KNOWN.join(', ')}`,
    });
  }
  const parent = parsed(options, 'parent', parseLink);
  if (parent === undefined) {
    throw new SluiceError('invalid_argument', 'a macvlan network needs a parent', {
      field: 'options.parent',
      hint: "name the host's link that it is to be on, such as -o parent=eth0",
    });
  }
  return {
    parent,
    mode: parsed(options, 'macvlan_mode', parseMode) ?? 'bridge',
    mtu: either(options, 'mtu', MTU, parseMtu) ?? null,
  };
}

const parseMode: Parser<MacvlanMode> = (text, refuse) =>
  MODES.find((mode) => mode === text) ??
  refuse(`'${text}' is not a mode`, `the modes are ${MODES.join(', ')}`);
