// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/maps by src/maps/gen (npm run gen). Not to be edited.
import { type Codec, getIpv4, getMac, putIpv4, putMac } from '../codec.js';
import type * as t from './types.js';

export const collectorStateCodec: Codec<t.CollectorState> = {
  size: 72,
  encode(value, to, at) {
    to.fill(0, at, at + 72);
    to.writeBigUInt64LE(value.passes, at + 32);
    to.writeBigUInt64LE(value.duration_ns, at + 40);
    to.writeUInt32LE(value.proven[0] as number, at + 48);
    to.writeUInt32LE(value.proven[1] as number, at + 52);
    to.writeUInt32LE(value.proven[2] as number, at + 56);
    to.writeUInt32LE(value.fresh[0] as number, at + 60);
    to.writeUInt32LE(value.fresh[1] as number, at + 64);
    to.writeUInt32LE(value.fresh[2] as number, at + 68);
  },
  decode(from, at) {
    return {
      passes: from.readBigUInt64LE(at + 32),
      duration_ns: from.readBigUInt64LE(at + 40),
      proven: [from.readUInt32LE(at + 48 + 0), from.readUInt32LE(at + 48 + 4), from.readUInt32LE(at + 48 + 8)],
      fresh: [from.readUInt32LE(at + 60 + 0), from.readUInt32LE(at + 60 + 4), from.readUInt32LE(at + 60 + 8)],
    };
  },
};

export const configCodec: Codec<t.Config> = {
  size: 48,
  encode(value, to, at) {
    to.fill(0, at, at + 48);
    to.writeUInt32LE(value.mark, at);
    to.writeUInt32LE(value.l3_device, at + 4);
    to.writeUInt32LE(value.kern_ctx, at + 8);
    to.writeUInt32LE(value.fib_flags, at + 12);
    to.writeUInt32LE(value.snat_port_min, at + 16);
    to.writeUInt32LE(value.snat_port_max, at + 20);
    to.writeUInt32LE(value.tcp_established, at + 24);
    to.writeUInt32LE(value.tcp_transitory, at + 28);
    to.writeUInt32LE(value.udp_answered, at + 32);
    to.writeUInt32LE(value.udp_oneway, at + 36);
    to.writeUInt32LE(value.icmp, at + 40);
    to.writeUInt32LE(value.collect_interval, at + 44);
  },
  decode(from, at) {
    return {
      mark: from.readUInt32LE(at),
      l3_device: from.readUInt32LE(at + 4),
      kern_ctx: from.readUInt32LE(at + 8),
      fib_flags: from.readUInt32LE(at + 12),
      snat_port_min: from.readUInt32LE(at + 16),
      snat_port_max: from.readUInt32LE(at + 20),
      tcp_established: from.readUInt32LE(at + 24),
      tcp_transitory: from.readUInt32LE(at + 28),
      udp_answered: from.readUInt32LE(at + 32),
      udp_oneway: from.readUInt32LE(at + 36),
      icmp: from.readUInt32LE(at + 40),
      collect_interval: from.readUInt32LE(at + 44),
    };
  },
};

export const deviceCodec: Codec<t.Device> = {
  size: 24,
  encode(value, to, at) {
    to.fill(0, at, at + 24);
    to.writeUInt32LE(value.kind, at);
    to.writeUInt32LE(value.id, at + 4);
    to.writeUInt32LE(value.flags, at + 8);
    putIpv4(value.addr4, to, at + 12);
    putMac(value.mac, to, at + 16);
  },
  decode(from, at) {
    return {
      kind: from.readUInt32LE(at),
      id: from.readUInt32LE(at + 4),
      flags: from.readUInt32LE(at + 8),
      addr4: getIpv4(from, at + 12),
      mac: getMac(from, at + 16),
    };
  },
};

export const endpointCodec: Codec<t.Endpoint> = {
  size: 64,
  encode(value, to, at) {
    to.fill(0, at, at + 64);
    to.writeUInt32LE(value.ifindex, at);
    to.writeUInt32LE(value.generation, at + 4);
    to.writeUInt32LE(value.net, at + 8);
    to.writeUInt32LE(value.sandbox, at + 12);
    putIpv4(value.addr4, to, at + 16);
    putMac(value.mac, to, at + 20);
    putMac(value.gateway_mac, to, at + 26);
    to.writeUInt32LE(value.member, at + 32);
  },
  decode(from, at) {
    return {
      ifindex: from.readUInt32LE(at),
      generation: from.readUInt32LE(at + 4),
      net: from.readUInt32LE(at + 8),
      sandbox: from.readUInt32LE(at + 12),
      addr4: getIpv4(from, at + 16),
      mac: getMac(from, at + 20),
      gateway_mac: getMac(from, at + 26),
      member: from.readUInt32LE(at + 32),
    };
  },
};

export const flow4Codec: Codec<t.Flow4> = {
  size: 56,
  encode(value, to, at) {
    to.fill(0, at, at + 56);
    putIpv4(value.saddr, to, at);
    putIpv4(value.daddr, to, at + 4);
    to.writeUInt16BE(value.sport, at + 8);
    to.writeUInt16BE(value.dport, at + 10);
    to.writeUInt16LE(value.addr_delta, at + 12);
    to.writeUInt16LE(value.port_delta, at + 14);
    to.writeUInt32LE(value.endpoint, at + 16);
    to.writeUInt32LE(value.generation, at + 20);
    to.writeUInt32LE(value.ifindex, at + 24);
    putIpv4(value.nexthop, to, at + 28);
    putMac(value.mac, to, at + 32);
    to.writeUInt8(value.action, at + 38);
    to.writeUInt8(value.flags, at + 39);
    to.writeUInt32LE(value.seen, at + 40);
    to.writeUInt32LE(value.opened, at + 44);
    to.writeUInt32LE(value.publish, at + 48);
    to.writeUInt32LE(value.state, at + 52);
  },
  decode(from, at) {
    return {
      saddr: getIpv4(from, at),
      daddr: getIpv4(from, at + 4),
      sport: from.readUInt16BE(at + 8),
      dport: from.readUInt16BE(at + 10),
      addr_delta: from.readUInt16LE(at + 12),
      port_delta: from.readUInt16LE(at + 14),
      endpoint: from.readUInt32LE(at + 16),
      generation: from.readUInt32LE(at + 20),
      ifindex: from.readUInt32LE(at + 24),
      nexthop: getIpv4(from, at + 28),
      mac: getMac(from, at + 32),
      action: from.readUInt8(at + 38),
      flags: from.readUInt8(at + 39),
      seen: from.readUInt32LE(at + 40),
      opened: from.readUInt32LE(at + 44),
      publish: from.readUInt32LE(at + 48),
      state: from.readUInt32LE(at + 52),
    };
  },
};

export const flow4KeyCodec: Codec<t.Flow4Key> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    putIpv4(value.saddr, to, at);
    putIpv4(value.daddr, to, at + 4);
    to.writeUInt16BE(value.sport, at + 8);
    to.writeUInt16BE(value.dport, at + 10);
    to.writeUInt8(value.protocol, at + 12);
  },
  decode(from, at) {
    return {
      saddr: getIpv4(from, at),
      daddr: getIpv4(from, at + 4),
      sport: from.readUInt16BE(at + 8),
      dport: from.readUInt16BE(at + 10),
      protocol: from.readUInt8(at + 12),
    };
  },
};

export const flowCountsCodec: Codec<t.FlowCounts> = {
  size: 32,
  encode(value, to, at) {
    to.fill(0, at, at + 32);
    to.writeBigUInt64LE(value.opened, at);
    to.writeBigUInt64LE(value.promoted, at + 8);
    to.writeBigUInt64LE(value.expired, at + 16);
    to.writeBigUInt64LE(value.reset, at + 24);
  },
  decode(from, at) {
    return {
      opened: from.readBigUInt64LE(at),
      promoted: from.readBigUInt64LE(at + 8),
      expired: from.readBigUInt64LE(at + 16),
      reset: from.readBigUInt64LE(at + 24),
    };
  },
};

export const macKeyCodec: Codec<t.MacKey> = {
  size: 12,
  encode(value, to, at) {
    to.fill(0, at, at + 12);
    to.writeUInt32LE(value.net, at);
    putMac(value.mac, to, at + 4);
  },
  decode(from, at) {
    return {
      net: from.readUInt32LE(at),
      mac: getMac(from, at + 4),
    };
  },
};

export const memberKeyCodec: Codec<t.MemberKey> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt32LE(value.net, at);
    to.writeUInt32LE(value.member, at + 4);
  },
  decode(from, at) {
    return {
      net: from.readUInt32LE(at),
      member: from.readUInt32LE(at + 4),
    };
  },
};

export const networkCodec: Codec<t.Network> = {
  size: 24,
  encode(value, to, at) {
    to.fill(0, at, at + 24);
    to.writeUInt32LE(value.ifindex, at);
    to.writeUInt32LE(value.flags, at + 4);
    putIpv4(value.gateway4, to, at + 8);
    to.writeUInt32LE(value.members_end, at + 12);
    putMac(value.mac, to, at + 16);
  },
  decode(from, at) {
    return {
      ifindex: from.readUInt32LE(at),
      flags: from.readUInt32LE(at + 4),
      gateway4: getIpv4(from, at + 8),
      members_end: from.readUInt32LE(at + 12),
      mac: getMac(from, at + 16),
    };
  },
};

export const publishCodec: Codec<t.Publish> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    to.writeUInt32LE(value.endpoint, at);
    to.writeUInt32LE(value.generation, at + 4);
    putIpv4(value.addr4, to, at + 8);
    to.writeUInt16LE(value.host_port, at + 12);
    to.writeUInt16LE(value.host_port_end, at + 14);
    to.writeUInt16LE(value.port, at + 16);
    to.writeUInt8(value.protocol, at + 18);
  },
  decode(from, at) {
    return {
      endpoint: from.readUInt32LE(at),
      generation: from.readUInt32LE(at + 4),
      addr4: getIpv4(from, at + 8),
      host_port: from.readUInt16LE(at + 12),
      host_port_end: from.readUInt16LE(at + 14),
      port: from.readUInt16LE(at + 16),
      protocol: from.readUInt8(at + 18),
    };
  },
};

export const publishAddr4KeyCodec: Codec<t.PublishAddr4Key> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    putIpv4(value.addr, to, at);
    to.writeUInt16BE(value.port, at + 4);
    to.writeUInt8(value.protocol, at + 6);
  },
  decode(from, at) {
    return {
      addr: getIpv4(from, at),
      port: from.readUInt16BE(at + 4),
      protocol: from.readUInt8(at + 6),
    };
  },
};

export const socketPeer4Codec: Codec<t.SocketPeer4> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    putIpv4(value.addr, to, at);
    to.writeUInt16BE(value.port, at + 4);
  },
  decode(from, at) {
    return {
      addr: getIpv4(from, at),
      port: from.readUInt16BE(at + 4),
    };
  },
};

export const socketPeer4KeyCodec: Codec<t.SocketPeer4Key> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeBigUInt64LE(value.cookie, at);
    putIpv4(value.addr, to, at + 8);
    to.writeUInt16BE(value.port, at + 12);
  },
  decode(from, at) {
    return {
      cookie: from.readBigUInt64LE(at),
      addr: getIpv4(from, at + 8),
      port: from.readUInt16BE(at + 12),
    };
  },
};

export const trafficCodec: Codec<t.Traffic> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeBigUInt64LE(value.packets, at);
    to.writeBigUInt64LE(value.bytes, at + 8);
  },
  decode(from, at) {
    return {
      packets: from.readBigUInt64LE(at),
      bytes: from.readBigUInt64LE(at + 8),
    };
  },
};
