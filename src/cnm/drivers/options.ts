// SPDX-License-Identifier: Apache-2.0
/** The `-o` keys of networks, Docker's spellings included. */
import { SluiceError } from '../../base/errors.js';
import { isInterfaceName } from '../../base/names.js';
import { checkHostIp4 } from '../hostip.js';

export const MTU = 'com.docker.network.driver.mtu';
const BRIDGE_NAME = 'com.docker.network.bridge.name';
const MASQUERADE = 'com.docker.network.bridge.enable_ip_masquerade';
const HOST_BINDING = 'com.docker.network.bridge.host_binding_ipv4';
const ICC = 'com.docker.network.bridge.enable_icc';

const KNOWN: readonly string[] = [
  'mtu',
  MTU,
  'masquerade',
  MASQUERADE,
  'icc',
  ICC,
  'host-access',
  'max-flows',
  'max-new-flows',
  BRIDGE_NAME,
  HOST_BINDING,
];

export interface BridgeOptions {
  /** null: the lowest of the uplinks. */
  readonly mtu: number | null;
  readonly masquerade: boolean;
  /** null: derived from the id. */
  readonly link: string | null;
  /** '': every address. */
  readonly hostIp: string;
  /** Containers of the network reach one another. */
  readonly icc: boolean;
  /** Containers reach the host's own services. */
  readonly hostAccess: boolean;
  /** Of one container; null: no limit. */
  readonly maxFlows: number | null;
  /** Of one container, new ones in a second; null: no limit. */
  readonly newFlowsPerSecond: number | null;
}

export type Options = Readonly<Record<string, string>>;

export function parseBridgeOptions(options: Options): BridgeOptions {
  for (const key of Object.keys(options)) {
    if (KNOWN.includes(key)) continue;
    throw new SluiceError('invalid_argument', `'${key}' is not an option of a bridge network`, {
      field: `options.${key}`,
      hint: `the options are ${KNOWN.join(', ')}`,
    });
  }
  return {
    mtu: either(options, 'mtu', MTU, parseMtu) ?? null,
    masquerade: either(options, 'masquerade', MASQUERADE, parseBoolean) ?? true,
    link: parsed(options, BRIDGE_NAME, parseLink) ?? null,
    hostIp: parsed(options, HOST_BINDING, parseHostIp) ?? '',
    icc: either(options, 'icc', ICC, parseBoolean) ?? true,
    hostAccess: parsed(options, 'host-access', parseBoolean) ?? true,
    maxFlows: parsed(options, 'max-flows', parseLimit) ?? null,
    newFlowsPerSecond: parsed(options, 'max-new-flows', parseLimit) ?? null,
  };
}

/** For drivers that have no options. */
export function refuseOptions(driver: string, options: Options): void {
  const [key] = Object.keys(options);
  if (key === undefined) return;
  throw new SluiceError('invalid_argument', `'${key}' is not an option of a ${driver} network`, {
    field: `options.${key}`,
    hint: `${driver} networks have no options`,
  });
}

export type Parser<T> = (text: string, refuse: (why: string, hint: string) => never) => T;

export function parsed<T>(options: Options, key: string, parse: Parser<T>): T | undefined {
  const text = options[key];
  if (text === undefined) return undefined;
  return parse(text, (why, hint) => {
    throw new SluiceError('invalid_argument', `network option ${key}: ${why}`, {
      field: `options.${key}`,
      hint,
    });
  });
}

/** Two spellings of one option may both be there if they say the same. */
export function either<T>(options: Options, key: string, docker: string, parse: Parser<T>): T | undefined {
  const ours = parsed(options, key, parse);
  const theirs = parsed(options, docker, parse);
  if (ours !== undefined && theirs !== undefined && ours !== theirs) {
    throw new SluiceError('invalid_argument', `network options ${key} and ${docker} contradict each other`, {
      field: `options.${key}`,
      hint: 'give one of them',
    });
  }
  return ours ?? theirs;
}

/** 68 is the least that IPv4 works with (RFC 791), 65535 the most the kernel's veth takes. */
export const parseMtu: Parser<number> = (text, refuse) => {
  const mtu = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return mtu >= 68 && mtu <= 65535 ? mtu : refuse(`'${text}' is not an MTU`, 'give 68 to 65535 bytes');
};

/** What Docker takes for a boolean (Go's ParseBool). */
const parseBoolean: Parser<boolean> = (text, refuse) => {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  return refuse(`'${text}' is neither true nor false`, 'give true or false');
};

/** The tables of the dataplane hold 32 bits. */
const parseLimit: Parser<number> = (text, refuse) => {
  const limit = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  return limit >= 1 && limit <= 0xffffffff
    ? limit
    : refuse(`'${text}' is not a limit`, 'give a number of flows, 1 to 4294967295');
};

export const parseLink: Parser<string> = (text, refuse) =>
  isInterfaceName(text)
    ? text
    : refuse(
        `'${text}' is not an interface name`,
        'interface names have at most 15 characters, no spaces, slashes, colons or percent signs',
      );

const parseHostIp: Parser<string> = (text, refuse) => {
  checkHostIp4(text, (why) => refuse(why, 'give an IPv4 address of this host'));
  return text;
};
