// SPDX-License-Identifier: Apache-2.0
/**
 * Defragmentation in a network namespace by nf_tables, for kernels that cannot
 * be asked for it alone. The kernel puts datagrams together where connections
 * are tracked (nf_ct_netns_get()), before anything else looks at a packet, and
 * a rule that looks at a packet's connection turns that on. The same rule says
 * `notrack`, before tracking would begin: no connection is ever made.
 */
import { isNativeError } from '../base/errors.js';
import type { NetNative } from '../native/net.js';
import {
  type Attribute,
  attributesOf,
  decodeAttributes,
  decodeMessage,
  encodeMessage,
  messageType,
  text,
  textOf,
} from './message.js';
import * as k from './uapi.js';

const TABLE = 'sluice';
/** NF_IP_PRI_RAW: behind defragmentation (-400), before tracking (-200). */
const PRIORITY = -300;
/** What the namespace sends by itself would be tracked as well. */
const CHAINS = { prerouting: k.NF_INET_PRE_ROUTING, output: k.NF_INET_LOCAL_OUT } as const;
/** Of struct nfgenmsg. */
const FIXED = 4;
const RULE = (k.NFNL_SUBSYS_NFTABLES << 8) | k.NFT_MSG.NEWRULE;
const NEW_NAMESPACE = '';
const REQUEST = k.NLM_F_REQUEST;
const CREATE = REQUEST | k.NLM_F_CREATE;

/** Numbers of nf_tables are in network byte order. */
function be32(value: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeInt32BE(value);
  return b;
}

/** struct nfgenmsg */
function nfgenmsg(family: number, resource = 0): Buffer {
  const b = Buffer.alloc(FIXED);
  b[0] = family;
  b.writeUInt16BE(resource, 2);
  return b;
}

function message(type: number, flags: number, attributes: readonly Attribute[]): Buffer {
  return encodeMessage((k.NFNL_SUBSYS_NFTABLES << 8) | type, flags, nfgenmsg(k.NFPROTO_INET), attributes);
}

/** All or nothing. */
function batch(messages: readonly Buffer[]): Buffer {
  const resource = nfgenmsg(k.AF_UNSPEC, k.NFNL_SUBSYS_NFTABLES);
  return Buffer.concat([
    encodeMessage(k.NFNL_MSG_BATCH_BEGIN, REQUEST, resource),
    ...messages,
    encodeMessage(k.NFNL_MSG_BATCH_END, REQUEST, resource),
  ]);
}

function expression(name: string, data: readonly Attribute[]): Attribute {
  return [
    k.NFTA_LIST_ELEM,
    [
      [k.NFTA_EXPR.NAME, text(name)],
      [k.NFTA_EXPR.DATA, data],
    ],
  ];
}

/** `ct state != 0 notrack`: true of every packet: one without connection is `invalid`, which is a bit. */
const EXPRESSIONS: readonly Attribute[] = [
  expression('ct', [
    [k.NFTA_CT.DREG, be32(k.NFT_REG_1)],
    [k.NFTA_CT.KEY, be32(k.NFT_CT_STATE)],
  ]),
  expression('cmp', [
    [k.NFTA_CMP.SREG, be32(k.NFT_REG_1)],
    [k.NFTA_CMP.OP, be32(k.NFT_CMP_NEQ)],
    [k.NFTA_CMP.DATA, [[k.NFTA_DATA_VALUE, be32(0)]]],
  ]),
  expression('notrack', []),
];

/** In place of what has its name, whatever that is. */
function createTable(): Buffer {
  const table: Attribute[] = [[k.NFTA_TABLE_NAME, text(TABLE)]];
  const chains = Object.entries(CHAINS);
  return batch([
    message(k.NFT_MSG.NEWTABLE, CREATE, table),
    message(k.NFT_MSG.DELTABLE, REQUEST, table),
    message(k.NFT_MSG.NEWTABLE, CREATE, table),
    ...chains.map(([name, hook]) =>
      message(k.NFT_MSG.NEWCHAIN, CREATE, [
        [k.NFTA_CHAIN.TABLE, text(TABLE)],
        [k.NFTA_CHAIN.NAME, text(name)],
        [k.NFTA_CHAIN.TYPE, text('filter')],
        [
          k.NFTA_CHAIN.HOOK,
          [
            [k.NFTA_HOOK.NUMBER, be32(hook)],
            [k.NFTA_HOOK.PRIORITY, be32(PRIORITY)],
          ],
        ],
      ]),
    ),
    ...chains.map(([name], i) =>
      message(k.NFT_MSG.NEWRULE, CREATE | (i === chains.length - 1 ? k.NLM_F_ACK : 0), [
        [k.NFTA_RULE.TABLE, text(TABLE)],
        [k.NFTA_RULE.CHAIN, text(name)],
        [k.NFTA_RULE.EXPRESSIONS, EXPRESSIONS],
      ]),
    ),
  ]);
}

const getRules = (): Buffer =>
  message(k.NFT_MSG.GETRULE, REQUEST | k.NLM_F_DUMP, [[k.NFTA_RULE.TABLE, text(TABLE)]]);

/** The chain of a rule, and the names of its expressions. */
function decodeRule(data: Buffer): string {
  const { attributes } = decodeMessage(data, FIXED);
  const list = attributes.get(k.NFTA_RULE.EXPRESSIONS) ?? Buffer.alloc(0);
  const names = [...attributesOf(list)].map(([, e]) => textOf(decodeAttributes(e).get(k.NFTA_EXPR.NAME)));
  return [textOf(attributes.get(k.NFTA_RULE.CHAIN)), ...names].join(' ');
}

const WANTED = Object.keys(CHAINS).map((chain) => `${chain} ct cmp notrack`);

/** Has the namespace at `netns` put datagrams of both families together. */
export async function createDefragmentTable(native: NetNative, netns: string): Promise<void> {
  const socket = await native.netOpen(k.NETLINK_NETFILTER, netns);
  try {
    await native.netBatch(socket, 'NFT_MSG_NEWTABLE', createTable());
  } finally {
    native.netClose(socket);
  }
}

/** Whether it still does. */
export async function hasDefragmentTable(native: NetNative, netns: string): Promise<boolean> {
  const socket = await native.netOpen(k.NETLINK_NETFILTER, netns);
  try {
    const answer = await native.netRequest(socket, 'NFT_MSG_GETRULE', getRules());
    const rules = answer.filter((m) => messageType(m) === RULE).map(decodeRule);
    return rules.sort().join() === WANTED.toSorted().join();
  } catch (e) {
    if (isNativeError(e) && e.code === 'ENOENT') return false;
    throw e;
  } finally {
    native.netClose(socket);
  }
}

/** Whether this kernel can, tried in a namespace that is gone with the answer. */
export async function canDefragmentByTable(native: NetNative): Promise<boolean> {
  try {
    await createDefragmentTable(native, NEW_NAMESPACE);
    return true;
  } catch (e) {
    if (isNativeError(e)) return false;
    throw e;
  }
}
