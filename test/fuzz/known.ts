// SPDX-License-Identifier: Apache-2.0
/**
 * Faults of the programs that are known, each with the shortest frames that
 * show it. known.test.ts fails once one is mended: its entry goes then, and the
 * fuzzer holds the programs to it from there on.
 */
import { dissect } from '../support/craft.js';
import type { FuzzedProgram } from '../support/fuzzbed.js';

export interface KnownFault {
  readonly what: string;
  /** In this order, to fresh maps; the last one comes out wrong. */
  readonly frames: readonly (readonly [FuzzedProgram, string])[];
  /** A frame that comes out wrong because of this and nothing else. */
  matches(program: FuzzedProgram, data: Buffer): boolean;
}

const ICMP = 1;
const ECHO_REPLY = 0;

export const KNOWN: readonly KnownFault[] = [
  {
    what: 'a layer-4 header is read and rewritten past the end that the total length gives, in what pads the frame',
    frames: [
      [
        'uplink_ingress',
        // total length 27, one byte less than the two headers
        '0200000000aa0200000000bb08004500001b1234400040113c61c6336408c00002019c4214b4000862aa',
      ],
    ],
    matches(_, data) {
      const ip = data.subarray(14);
      const header = ((ip[0] ?? 0) & 15) * 4;
      const total = ip.length >= 20 ? ip.readUInt16BE(2) : 0;
      return total >= header && total < header + (ip[9] === 6 ? 20 : 8);
    },
  },
  {
    what: "an echo reply opens a flow: a container's takes the identifier away from the host's own replies",
    frames: [
      [
        'endpoint_ingress',
        '02000000000102420a40000208004500001c123440004001f4200a400002c6336407000063bf9c400000',
      ],
      [
        'uplink_egress',
        '0200000000bb0200000000aa08004500001c123440004001a45ec0000201c6336407000063bf9c400000',
      ],
    ],
    matches(program, data) {
      const d = dissect(data.subarray(14), 4);
      return program === 'uplink_egress' && d?.protocol === ICMP && d.segment[0] === ECHO_REPLY;
    },
  },
];
