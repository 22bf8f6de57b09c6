// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/maps by src/maps/gen (npm run gen). Not to be edited.
import { type Codec, getIpv4, getIpv6, getMac, putIpv4, putIpv6, putMac } from '../codec.js';
import type * as t from './types.js';

export const affinityCodec: Codec<t.Affinity> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt32LE(value.backend, at);
    to.writeUInt32LE(value.seen, at + 4);
  },
  decode(from, at) {
    return {
      backend: from.readUInt32LE(at),
      seen: from.readUInt32LE(at + 4),
    };
  },
};

export const affinityKeyCodec: Codec<t.AffinityKey> = {
  size: 24,
  encode(value, to, at) {
    to.fill(0, at, at + 24);
    to.writeUInt32LE(value.service, at);
    to.writeUInt32LE(value.endpoint, at + 4);
    putIpv6(value.client, to, at + 8);
  },
  decode(from, at) {
    return {
      service: from.readUInt32LE(at),
      endpoint: from.readUInt32LE(at + 4),
      client: getIpv6(from, at + 8),
    };
  },
};

export const backendLoadCodec: Codec<t.BackendLoad> = {
  size: 32,
  encode(value, to, at) {
    to.fill(0, at, at + 32);
    to.writeBigUInt64LE(value.picks, at);
    to.writeBigUInt64LE(value.flows, at + 8);
    to.writeBigUInt64LE(value.sockets, at + 16);
    to.writeUInt32LE(value.active, at + 24);
    to.writeUInt32LE(value.counted, at + 28);
  },
  decode(from, at) {
    return {
      picks: from.readBigUInt64LE(at),
      flows: from.readBigUInt64LE(at + 8),
      sockets: from.readBigUInt64LE(at + 16),
      active: from.readUInt32LE(at + 24),
      counted: from.readUInt32LE(at + 28),
    };
  },
};

export const backendTrafficCodec: Codec<t.BackendTraffic> = {
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

export const collectorStateCodec: Codec<t.CollectorState> = {
  size: 88,
  encode(value, to, at) {
    to.fill(0, at, at + 88);
    to.writeBigUInt64LE(value.passes, at + 32);
    to.writeBigUInt64LE(value.duration_ns, at + 40);
    to.writeUInt32LE(value.proven[0] as number, at + 48);
    to.writeUInt32LE(value.proven[1] as number, at + 52);
    to.writeUInt32LE(value.proven[2] as number, at + 56);
    to.writeUInt32LE(value.proven[3] as number, at + 60);
    to.writeUInt32LE(value.fresh[0] as number, at + 64);
    to.writeUInt32LE(value.fresh[1] as number, at + 68);
    to.writeUInt32LE(value.fresh[2] as number, at + 72);
    to.writeUInt32LE(value.fresh[3] as number, at + 76);
    to.writeUInt32LE(value.ports[0] as number, at + 80);
    to.writeUInt32LE(value.ports[1] as number, at + 84);
  },
  decode(from, at) {
    return {
      passes: from.readBigUInt64LE(at + 32),
      duration_ns: from.readBigUInt64LE(at + 40),
      proven: [from.readUInt32LE(at + 48 + 0), from.readUInt32LE(at + 48 + 4), from.readUInt32LE(at + 48 + 8), from.readUInt32LE(at + 48 + 12)],
      fresh: [from.readUInt32LE(at + 64 + 0), from.readUInt32LE(at + 64 + 4), from.readUInt32LE(at + 64 + 8), from.readUInt32LE(at + 64 + 12)],
      ports: [from.readUInt32LE(at + 80 + 0), from.readUInt32LE(at + 80 + 4)],
    };
  },
};

export const configCodec: Codec<t.Config> = {
  size: 68,
  encode(value, to, at) {
    to.fill(0, at, at + 68);
    to.writeUInt32LE(value.mark, at);
    to.writeUInt32LE(value.l3_device, at + 4);
    to.writeUInt32LE(value.kern_ctx, at + 8);
    to.writeUInt32LE(value.csum_ipv6, at + 12);
    to.writeUInt32LE(value.fib_flags, at + 16);
    to.writeUInt32LE(value.host_conntrack, at + 20);
    to.writeUInt32LE(value.exempt, at + 24);
    to.writeUInt32LE(value.socket_services, at + 28);
    to.writeUInt32LE(value.snat_port_min, at + 32);
    to.writeUInt32LE(value.snat_port_max, at + 36);
    to.writeUInt32LE(value.tcp_established, at + 40);
    to.writeUInt32LE(value.tcp_transitory, at + 44);
    to.writeUInt32LE(value.udp_answered, at + 48);
    to.writeUInt32LE(value.udp_oneway, at + 52);
    to.writeUInt32LE(value.icmp, at + 56);
    to.writeUInt32LE(value.port_rest, at + 60);
    to.writeUInt32LE(value.collect_interval, at + 64);
  },
  decode(from, at) {
    return {
      mark: from.readUInt32LE(at),
      l3_device: from.readUInt32LE(at + 4),
      kern_ctx: from.readUInt32LE(at + 8),
      csum_ipv6: from.readUInt32LE(at + 12),
      fib_flags: from.readUInt32LE(at + 16),
      host_conntrack: from.readUInt32LE(at + 20),
      exempt: from.readUInt32LE(at + 24),
      socket_services: from.readUInt32LE(at + 28),
      snat_port_min: from.readUInt32LE(at + 32),
      snat_port_max: from.readUInt32LE(at + 36),
      tcp_established: from.readUInt32LE(at + 40),
      tcp_transitory: from.readUInt32LE(at + 44),
      udp_answered: from.readUInt32LE(at + 48),
      udp_oneway: from.readUInt32LE(at + 52),
      icmp: from.readUInt32LE(at + 56),
      port_rest: from.readUInt32LE(at + 60),
      collect_interval: from.readUInt32LE(at + 64),
    };
  },
};

export const deviceCodec: Codec<t.Device> = {
  size: 40,
  encode(value, to, at) {
    to.fill(0, at, at + 40);
    to.writeUInt32LE(value.kind, at);
    to.writeUInt32LE(value.id, at + 4);
    to.writeUInt32LE(value.flags, at + 8);
    putIpv4(value.addr4, to, at + 12);
    putMac(value.mac, to, at + 16);
    putIpv6(value.addr6, to, at + 24);
  },
  decode(from, at) {
    return {
      kind: from.readUInt32LE(at),
      id: from.readUInt32LE(at + 4),
      flags: from.readUInt32LE(at + 8),
      addr4: getIpv4(from, at + 12),
      mac: getMac(from, at + 16),
      addr6: getIpv6(from, at + 24),
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
    putIpv6(value.addr6, to, at + 36);
    to.writeUInt32LE(value.max_flows, at + 52);
    to.writeUInt32LE(value.max_new_flows, at + 56);
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
      addr6: getIpv6(from, at + 36),
      max_flows: from.readUInt32LE(at + 52),
      max_new_flows: from.readUInt32LE(at + 56),
    };
  },
};

export const endpointLoadCodec: Codec<t.EndpointLoad> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeUInt32LE(value.flows, at);
    to.writeUInt32LE(value.counted, at + 4);
    to.writeUInt32LE(value.tick, at + 8);
    to.writeUInt32LE(value.opened, at + 12);
  },
  decode(from, at) {
    return {
      flows: from.readUInt32LE(at),
      counted: from.readUInt32LE(at + 4),
      tick: from.readUInt32LE(at + 8),
      opened: from.readUInt32LE(at + 12),
    };
  },
};

export const exemptKeyCodec: Codec<t.ExemptKey> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    to.writeUInt32LE(value.prefix_length, at);
    putIpv6(value.destination, to, at + 4);
  },
  decode(from, at) {
    return {
      prefix_length: from.readUInt32LE(at),
      destination: getIpv6(from, at + 4),
    };
  },
};

export const flow4Codec: Codec<t.Flow4> = {
  size: 56,
  encode(value, to, at) {
    to.fill(0, at, at + 56);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt16LE(value.addr_delta, at + 4);
    to.writeUInt16LE(value.port_delta, at + 6);
    to.writeUInt32LE(value.endpoint, at + 8);
    to.writeUInt32LE(value.generation, at + 12);
    to.writeUInt32LE(value.ifindex, at + 16);
    putMac(value.mac, to, at + 20);
    to.writeUInt8(value.action, at + 26);
    to.writeUInt8(value.flags, at + 27);
    to.writeUInt32LE(value.seen, at + 28);
    to.writeUInt32LE(value.opened, at + 32);
    to.writeUInt32LE(value.publish, at + 36);
    to.writeUInt16LE(value.state, at + 40);
    to.writeUInt16LE(value.mtu, at + 42);
    putIpv4(value.saddr, to, at + 44);
    putIpv4(value.daddr, to, at + 48);
    putIpv4(value.nexthop, to, at + 52);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      addr_delta: from.readUInt16LE(at + 4),
      port_delta: from.readUInt16LE(at + 6),
      endpoint: from.readUInt32LE(at + 8),
      generation: from.readUInt32LE(at + 12),
      ifindex: from.readUInt32LE(at + 16),
      mac: getMac(from, at + 20),
      action: from.readUInt8(at + 26),
      flags: from.readUInt8(at + 27),
      seen: from.readUInt32LE(at + 28),
      opened: from.readUInt32LE(at + 32),
      publish: from.readUInt32LE(at + 36),
      state: from.readUInt16LE(at + 40),
      mtu: from.readUInt16LE(at + 42),
      saddr: getIpv4(from, at + 44),
      daddr: getIpv4(from, at + 48),
      nexthop: getIpv4(from, at + 52),
    };
  },
};

export const flow4KeyCodec: Codec<t.Flow4Key> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt8(value.protocol, at + 4);
    putIpv4(value.saddr, to, at + 8);
    putIpv4(value.daddr, to, at + 12);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      protocol: from.readUInt8(at + 4),
      saddr: getIpv4(from, at + 8),
      daddr: getIpv4(from, at + 12),
    };
  },
};

export const flow6Codec: Codec<t.Flow6> = {
  size: 92,
  encode(value, to, at) {
    to.fill(0, at, at + 92);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt16LE(value.addr_delta, at + 4);
    to.writeUInt16LE(value.port_delta, at + 6);
    to.writeUInt32LE(value.endpoint, at + 8);
    to.writeUInt32LE(value.generation, at + 12);
    to.writeUInt32LE(value.ifindex, at + 16);
    putMac(value.mac, to, at + 20);
    to.writeUInt8(value.action, at + 26);
    to.writeUInt8(value.flags, at + 27);
    to.writeUInt32LE(value.seen, at + 28);
    to.writeUInt32LE(value.opened, at + 32);
    to.writeUInt32LE(value.publish, at + 36);
    to.writeUInt16LE(value.state, at + 40);
    to.writeUInt16LE(value.mtu, at + 42);
    putIpv6(value.saddr, to, at + 44);
    putIpv6(value.daddr, to, at + 60);
    putIpv6(value.nexthop, to, at + 76);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      addr_delta: from.readUInt16LE(at + 4),
      port_delta: from.readUInt16LE(at + 6),
      endpoint: from.readUInt32LE(at + 8),
      generation: from.readUInt32LE(at + 12),
      ifindex: from.readUInt32LE(at + 16),
      mac: getMac(from, at + 20),
      action: from.readUInt8(at + 26),
      flags: from.readUInt8(at + 27),
      seen: from.readUInt32LE(at + 28),
      opened: from.readUInt32LE(at + 32),
      publish: from.readUInt32LE(at + 36),
      state: from.readUInt16LE(at + 40),
      mtu: from.readUInt16LE(at + 42),
      saddr: getIpv6(from, at + 44),
      daddr: getIpv6(from, at + 60),
      nexthop: getIpv6(from, at + 76),
    };
  },
};

export const flow6KeyCodec: Codec<t.Flow6Key> = {
  size: 40,
  encode(value, to, at) {
    to.fill(0, at, at + 40);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt8(value.protocol, at + 4);
    putIpv6(value.saddr, to, at + 8);
    putIpv6(value.daddr, to, at + 24);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      protocol: from.readUInt8(at + 4),
      saddr: getIpv6(from, at + 8),
      daddr: getIpv6(from, at + 24),
    };
  },
};

export const flowCountsCodec: Codec<t.FlowCounts> = {
  size: 40,
  encode(value, to, at) {
    to.fill(0, at, at + 40);
    to.writeBigUInt64LE(value.opened, at);
    to.writeBigUInt64LE(value.promoted, at + 8);
    to.writeBigUInt64LE(value.expired, at + 16);
    to.writeBigUInt64LE(value.reset, at + 24);
    to.writeBigUInt64LE(value.unpromoted, at + 32);
  },
  decode(from, at) {
    return {
      opened: from.readBigUInt64LE(at),
      promoted: from.readBigUInt64LE(at + 8),
      expired: from.readBigUInt64LE(at + 16),
      reset: from.readBigUInt64LE(at + 24),
      unpromoted: from.readBigUInt64LE(at + 32),
    };
  },
};

export const fragmentKeyCodec: Codec<t.FragmentKey> = {
  size: 44,
  encode(value, to, at) {
    to.fill(0, at, at + 44);
    putIpv6(value.saddr, to, at);
    putIpv6(value.daddr, to, at + 16);
    to.writeUInt32LE(value.family, at + 32);
    to.writeUInt32BE(value.id, at + 36);
    to.writeUInt32LE(value.protocol, at + 40);
  },
  decode(from, at) {
    return {
      saddr: getIpv6(from, at),
      daddr: getIpv6(from, at + 16),
      family: from.readUInt32LE(at + 32),
      id: from.readUInt32BE(at + 36),
      protocol: from.readUInt32LE(at + 40),
    };
  },
};

export const fragmentPairCodec: Codec<t.FragmentPair> = {
  size: 36,
  encode(value, to, at) {
    to.fill(0, at, at + 36);
    putIpv6(value.saddr, to, at);
    putIpv6(value.daddr, to, at + 16);
    to.writeUInt32LE(value.family, at + 32);
  },
  decode(from, at) {
    return {
      saddr: getIpv6(from, at),
      daddr: getIpv6(from, at + 16),
      family: from.readUInt32LE(at + 32),
    };
  },
};

export const fragmentPortsCodec: Codec<t.FragmentPorts> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt8(value.protocol, at + 4);
    to.writeUInt8(value.again, at + 5);
    to.writeUInt8(value.answer, at + 6);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      protocol: from.readUInt8(at + 4),
      again: from.readUInt8(at + 5),
      answer: from.readUInt8(at + 6),
    };
  },
};

export const fragmentWayCodec: Codec<t.FragmentWay> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeUInt32LE(value.ifindex, at);
    putMac(value.to, to, at + 4);
    putMac(value.from, to, at + 10);
  },
  decode(from, at) {
    return {
      ifindex: from.readUInt32LE(at),
      to: getMac(from, at + 4),
      from: getMac(from, at + 10),
    };
  },
};

export const hostPrefixCodec: Codec<t.HostPrefix> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt32LE(value.kind, at);
    putIpv4(value.addr, to, at + 4);
  },
  decode(from, at) {
    return {
      kind: from.readUInt32LE(at),
      addr: getIpv4(from, at + 4),
    };
  },
};

export const hostPrefixKeyCodec: Codec<t.HostPrefixKey> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    to.writeUInt32LE(value.prefix_length, at);
    putIpv6(value.addr, to, at + 4);
  },
  decode(from, at) {
    return {
      prefix_length: from.readUInt32LE(at),
      addr: getIpv6(from, at + 4),
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
  size: 40,
  encode(value, to, at) {
    to.fill(0, at, at + 40);
    to.writeUInt32LE(value.ifindex, at);
    to.writeUInt32LE(value.flags, at + 4);
    putIpv4(value.gateway4, to, at + 8);
    to.writeUInt32LE(value.members_end, at + 12);
    putMac(value.mac, to, at + 16);
    putIpv6(value.gateway6, to, at + 24);
  },
  decode(from, at) {
    return {
      ifindex: from.readUInt32LE(at),
      flags: from.readUInt32LE(at + 4),
      gateway4: getIpv4(from, at + 8),
      members_end: from.readUInt32LE(at + 12),
      mac: getMac(from, at + 16),
      gateway6: getIpv6(from, at + 24),
    };
  },
};

export const publishCodec: Codec<t.Publish> = {
  size: 36,
  encode(value, to, at) {
    to.fill(0, at, at + 36);
    to.writeUInt32LE(value.endpoint, at);
    to.writeUInt32LE(value.generation, at + 4);
    putIpv4(value.addr4, to, at + 8);
    to.writeUInt16LE(value.host_port, at + 12);
    to.writeUInt16LE(value.host_port_end, at + 14);
    to.writeUInt16LE(value.port, at + 16);
    to.writeUInt8(value.protocol, at + 18);
    to.writeUInt8(value.flags, at + 19);
    putIpv6(value.addr6, to, at + 20);
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
      flags: from.readUInt8(at + 19),
      addr6: getIpv6(from, at + 20),
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

export const publishAddr6KeyCodec: Codec<t.PublishAddr6Key> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    putIpv6(value.addr, to, at);
    to.writeUInt16BE(value.port, at + 16);
    to.writeUInt8(value.protocol, at + 18);
  },
  decode(from, at) {
    return {
      addr: getIpv6(from, at),
      port: from.readUInt16BE(at + 16),
      protocol: from.readUInt8(at + 18),
    };
  },
};

export const publishAllowKeyCodec: Codec<t.PublishAllowKey> = {
  size: 24,
  encode(value, to, at) {
    to.fill(0, at, at + 24);
    to.writeUInt32LE(value.prefix_length, at);
    to.writeUInt32BE(value.publish, at + 4);
    putIpv6(value.source, to, at + 8);
  },
  decode(from, at) {
    return {
      prefix_length: from.readUInt32LE(at),
      publish: from.readUInt32BE(at + 4),
      source: getIpv6(from, at + 8),
    };
  },
};

export const reassemblyCodec: Codec<t.Reassembly> = {
  size: 68,
  encode(value, to, at) {
    to.fill(0, at, at + 68);
    to.writeUInt32LE(value.ifindex, at);
    to.writeUInt32LE(value.mtu[0] as number, at + 4);
    to.writeUInt32LE(value.mtu[1] as number, at + 8);
    to.writeUInt32LE(value.mtu[2] as number, at + 12);
    to.writeUInt32LE(value.mtu[3] as number, at + 16);
    to.writeUInt32LE(value.mtu[4] as number, at + 20);
    to.writeUInt32LE(value.mtu[5] as number, at + 24);
    to.writeUInt32LE(value.mtu[6] as number, at + 28);
    to.writeUInt32LE(value.mtu[7] as number, at + 32);
    to.writeUInt32LE(value.mtu[8] as number, at + 36);
    to.writeUInt32LE(value.mtu[9] as number, at + 40);
    to.writeUInt32LE(value.mtu[10] as number, at + 44);
    to.writeUInt32LE(value.mtu[11] as number, at + 48);
    to.writeUInt32LE(value.mtu[12] as number, at + 52);
    to.writeUInt32LE(value.mtu[13] as number, at + 56);
    to.writeUInt32LE(value.mtu[14] as number, at + 60);
    to.writeUInt32LE(value.mtu[15] as number, at + 64);
  },
  decode(from, at) {
    return {
      ifindex: from.readUInt32LE(at),
      mtu: [from.readUInt32LE(at + 4 + 0), from.readUInt32LE(at + 4 + 4), from.readUInt32LE(at + 4 + 8), from.readUInt32LE(at + 4 + 12), from.readUInt32LE(at + 4 + 16), from.readUInt32LE(at + 4 + 20), from.readUInt32LE(at + 4 + 24), from.readUInt32LE(at + 4 + 28), from.readUInt32LE(at + 4 + 32), from.readUInt32LE(at + 4 + 36), from.readUInt32LE(at + 4 + 40), from.readUInt32LE(at + 4 + 44), from.readUInt32LE(at + 4 + 48), from.readUInt32LE(at + 4 + 52), from.readUInt32LE(at + 4 + 56), from.readUInt32LE(at + 4 + 60)],
    };
  },
};

export const rejectRateCodec: Codec<t.RejectRate> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt32LE(value.tick, at);
    to.writeUInt32LE(value.sent, at + 4);
  },
  decode(from, at) {
    return {
      tick: from.readUInt32LE(at),
      sent: from.readUInt32LE(at + 4),
    };
  },
};

export const resolverCodec: Codec<t.Resolver> = {
  size: 4,
  encode(value, to, at) {
    to.fill(0, at, at + 4);
    to.writeUInt16BE(value.udp, at);
    to.writeUInt16BE(value.tcp, at + 2);
  },
  decode(from, at) {
    return {
      udp: from.readUInt16BE(at),
      tcp: from.readUInt16BE(at + 2),
    };
  },
};

export const service4KeyCodec: Codec<t.Service4Key> = {
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

export const service6KeyCodec: Codec<t.Service6Key> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    putIpv6(value.addr, to, at);
    to.writeUInt16BE(value.port, at + 16);
    to.writeUInt8(value.protocol, at + 18);
  },
  decode(from, at) {
    return {
      addr: getIpv6(from, at),
      port: from.readUInt16BE(at + 16),
      protocol: from.readUInt8(at + 18),
    };
  },
};

export const serviceBackendCodec: Codec<t.ServiceBackend> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    to.writeUInt32LE(value.endpoint, at);
    to.writeUInt32LE(value.generation, at + 4);
    to.writeUInt32LE(value.service, at + 8);
    to.writeUInt32LE(value.idle, at + 12);
    to.writeUInt32LE(value.state, at + 16);
  },
  decode(from, at) {
    return {
      endpoint: from.readUInt32LE(at),
      generation: from.readUInt32LE(at + 4),
      service: from.readUInt32LE(at + 8),
      idle: from.readUInt32LE(at + 12),
      state: from.readUInt32LE(at + 16),
    };
  },
};

export const servicePlacesCodec: Codec<t.ServicePlaces> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt16LE(value.slot[0] as number, at + 0);
    to.writeUInt16LE(value.slot[1] as number, at + 2);
    to.writeUInt16LE(value.slot[2] as number, at + 4);
    to.writeUInt16LE(value.slot[3] as number, at + 6);
  },
  decode(from, at) {
    return {
      slot: [from.readUInt16LE(at + 0), from.readUInt16LE(at + 2), from.readUInt16LE(at + 4), from.readUInt16LE(at + 6)],
    };
  },
};

export const servicePortCodec: Codec<t.ServicePort> = {
  size: 36,
  encode(value, to, at) {
    to.fill(0, at, at + 36);
    to.writeUInt32LE(value.service, at);
    to.writeUInt32LE(value.net, at + 4);
    to.writeUInt32LE(value.slots, at + 8);
    to.writeUInt32LE(value.count, at + 12);
    to.writeUInt32LE(value.weights, at + 16);
    to.writeUInt32LE(value.table, at + 20);
    to.writeUInt32LE(value.places, at + 24);
    to.writeUInt32LE(value.affinity, at + 28);
    to.writeUInt16BE(value.port, at + 32);
    to.writeUInt8(value.flags, at + 34);
  },
  decode(from, at) {
    return {
      service: from.readUInt32LE(at),
      net: from.readUInt32LE(at + 4),
      slots: from.readUInt32LE(at + 8),
      count: from.readUInt32LE(at + 12),
      weights: from.readUInt32LE(at + 16),
      table: from.readUInt32LE(at + 20),
      places: from.readUInt32LE(at + 24),
      affinity: from.readUInt32LE(at + 28),
      port: from.readUInt16BE(at + 32),
      flags: from.readUInt8(at + 34),
    };
  },
};

export const serviceRefusalsCodec: Codec<t.ServiceRefusals> = {
  size: 24,
  encode(value, to, at) {
    to.fill(0, at, at + 24);
    to.writeBigUInt64LE(value.count[0] as bigint, at + 0);
    to.writeBigUInt64LE(value.count[1] as bigint, at + 8);
    to.writeBigUInt64LE(value.count[2] as bigint, at + 16);
  },
  decode(from, at) {
    return {
      count: [from.readBigUInt64LE(at + 0), from.readBigUInt64LE(at + 8), from.readBigUInt64LE(at + 16)],
    };
  },
};

export const serviceSlotCodec: Codec<t.ServiceSlot> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeUInt32LE(value.backend, at);
    to.writeUInt32LE(value.seed, at + 4);
    to.writeUInt32LE(value.weight, at + 8);
  },
  decode(from, at) {
    return {
      backend: from.readUInt32LE(at),
      seed: from.readUInt32LE(at + 4),
      weight: from.readUInt32LE(at + 8),
    };
  },
};

export const shareStateCodec: Codec<t.ShareState> = {
  size: 24,
  encode(value, to, at) {
    to.fill(0, at, at + 24);
    to.writeBigUInt64LE(value.seed, at);
    to.writeUInt32LE(value.half, at + 8);
    to.writeInt32LE(value.proven[0] as number, at + 12);
    to.writeInt32LE(value.proven[1] as number, at + 16);
  },
  decode(from, at) {
    return {
      seed: from.readBigUInt64LE(at),
      half: from.readUInt32LE(at + 8),
      proven: [from.readInt32LE(at + 12 + 0), from.readInt32LE(at + 12 + 4)],
    };
  },
};

export const socketChoiceCodec: Codec<t.SocketChoice> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt32LE(value.backend, at);
    to.writeUInt32LE(value.generation, at + 4);
  },
  decode(from, at) {
    return {
      backend: from.readUInt32LE(at),
      generation: from.readUInt32LE(at + 4),
    };
  },
};

export const socketChoiceKeyCodec: Codec<t.SocketChoiceKey> = {
  size: 32,
  encode(value, to, at) {
    to.fill(0, at, at + 32);
    to.writeBigUInt64LE(value.cookie, at);
    putIpv6(value.vip, to, at + 8);
    to.writeUInt16BE(value.port, at + 24);
  },
  decode(from, at) {
    return {
      cookie: from.readBigUInt64LE(at),
      vip: getIpv6(from, at + 8),
      port: from.readUInt16BE(at + 24),
    };
  },
};

export const socketMemberKeyCodec: Codec<t.SocketMemberKey> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    to.writeBigUInt64LE(value.cookie, at);
    to.writeUInt32LE(value.net, at + 8);
  },
  decode(from, at) {
    return {
      cookie: from.readBigUInt64LE(at),
      net: from.readUInt32LE(at + 8),
    };
  },
};

export const socketPeer4Codec: Codec<t.SocketPeer4> = {
  size: 16,
  encode(value, to, at) {
    to.fill(0, at, at + 16);
    putIpv4(value.addr, to, at);
    to.writeUInt16BE(value.port, at + 4);
    to.writeUInt32LE(value.backend, at + 8);
    to.writeUInt32LE(value.client, at + 12);
  },
  decode(from, at) {
    return {
      addr: getIpv4(from, at),
      port: from.readUInt16BE(at + 4),
      backend: from.readUInt32LE(at + 8),
      client: from.readUInt32LE(at + 12),
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

export const socketPeer6Codec: Codec<t.SocketPeer6> = {
  size: 28,
  encode(value, to, at) {
    to.fill(0, at, at + 28);
    putIpv6(value.addr, to, at);
    to.writeUInt16BE(value.port, at + 16);
    to.writeUInt32LE(value.backend, at + 20);
    to.writeUInt32LE(value.client, at + 24);
  },
  decode(from, at) {
    return {
      addr: getIpv6(from, at),
      port: from.readUInt16BE(at + 16),
      backend: from.readUInt32LE(at + 20),
      client: from.readUInt32LE(at + 24),
    };
  },
};

export const socketPeer6KeyCodec: Codec<t.SocketPeer6Key> = {
  size: 32,
  encode(value, to, at) {
    to.fill(0, at, at + 32);
    to.writeBigUInt64LE(value.cookie, at);
    putIpv6(value.addr, to, at + 8);
    to.writeUInt16BE(value.port, at + 24);
  },
  decode(from, at) {
    return {
      cookie: from.readBigUInt64LE(at),
      addr: getIpv6(from, at + 8),
      port: from.readUInt16BE(at + 24),
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

export const waiting4Codec: Codec<t.Waiting4> = {
  size: 20,
  encode(value, to, at) {
    to.fill(0, at, at + 20);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt8(value.protocol, at + 4);
    putIpv4(value.saddr, to, at + 8);
    putIpv4(value.daddr, to, at + 12);
    to.writeUInt32LE(value.at, at + 16);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      protocol: from.readUInt8(at + 4),
      saddr: getIpv4(from, at + 8),
      daddr: getIpv4(from, at + 12),
      at: from.readUInt32LE(at + 16),
    };
  },
};

export const waiting6Codec: Codec<t.Waiting6> = {
  size: 44,
  encode(value, to, at) {
    to.fill(0, at, at + 44);
    to.writeUInt16BE(value.sport, at);
    to.writeUInt16BE(value.dport, at + 2);
    to.writeUInt8(value.protocol, at + 4);
    putIpv6(value.saddr, to, at + 8);
    putIpv6(value.daddr, to, at + 24);
    to.writeUInt32LE(value.at, at + 40);
  },
  decode(from, at) {
    return {
      sport: from.readUInt16BE(at),
      dport: from.readUInt16BE(at + 2),
      protocol: from.readUInt8(at + 4),
      saddr: getIpv6(from, at + 8),
      daddr: getIpv6(from, at + 24),
      at: from.readUInt32LE(at + 40),
    };
  },
};

export const waitingEndsCodec: Codec<t.WaitingEnds> = {
  size: 8,
  encode(value, to, at) {
    to.fill(0, at, at + 8);
    to.writeUInt32LE(value.pushed, at);
    to.writeUInt32LE(value.taken, at + 4);
  },
  decode(from, at) {
    return {
      pushed: from.readUInt32LE(at),
      taken: from.readUInt32LE(at + 4),
    };
  },
};
