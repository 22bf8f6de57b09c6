// SPDX-License-Identifier: Apache-2.0
/** Sockets on loopback of this process's own namespace: looking changes nothing there. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type AddressInfo as TcpAddress } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostSockets } from '../../src/link/sockets.js';
import { native, openFiles } from './link-support.js';

describe('sockets of the host', () => {
  const servers: Server[] = [];
  const sockets: UdpSocket[] = [];

  function listen(host: string, ipv6Only = false): Promise<number> {
    const server = createServer();
    servers.push(server);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port: 0, ipv6Only }, () => resolve((server.address() as TcpAddress).port));
    });
  }

  function bind(type: 'udp4' | 'udp6', address: string, ipv6Only = false): Promise<number> {
    const socket = createSocket({ type, ipv6Only });
    sockets.push(socket);
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address, port: 0 }, () => resolve(socket.address().port));
    });
  }

  let tcp4: number;
  let tcp6: number;
  let tcpOnly6: number;
  let udp4: number;
  let udp6: number;
  let udpOnly6: number;
  let udpConnected: number;

  beforeAll(async () => {
    tcp4 = await listen('127.0.0.1');
    tcp6 = await listen('::');
    tcpOnly6 = await listen('::', true);
    udp4 = await bind('udp4', '127.0.0.1');
    udp6 = await bind('udp6', '::');
    udpOnly6 = await bind('udp6', '::1', true);
    udpConnected = await bind('udp4', '127.0.0.1');
    await new Promise<void>((resolve) => sockets.at(-1)?.connect(udp4, '127.0.0.1', () => resolve()));
  });
  afterAll(() => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.close();
  });

  test('listening TCP of both families, with what takes IPv4 as well', async () => {
    const found = await hostSockets(native);
    const tcp = (port: number) => found.filter((s) => s.protocol === 'tcp' && s.port === port);
    expect(tcp(tcp4)).toMatchObject([{ family: 4, address: '127.0.0.1', v6only: false }]);
    expect(tcp(tcp6)).toMatchObject([{ family: 6, address: '::', v6only: false }]);
    expect(tcp(tcpOnly6)).toMatchObject([{ family: 6, address: '::', v6only: true }]);
  });

  test('bound UDP of both families, connected or not', async () => {
    const found = await hostSockets(native);
    const udp = (port: number) => found.filter((s) => s.protocol === 'udp' && s.port === port);
    expect(udp(udp4)).toMatchObject([{ family: 4, address: '127.0.0.1' }]);
    expect(udp(udp6)).toMatchObject([{ family: 6, address: '::', v6only: false }]);
    expect(udp(udpOnly6)).toMatchObject([{ family: 6, address: '::1', v6only: true }]);
    expect(udp(udpConnected)).toMatchObject([{ family: 4, address: '127.0.0.1' }]);
  });

  test('a closed one is gone, and looking leaves no file open', async () => {
    const server = servers.shift();
    await new Promise<void>((resolve) => server?.close(() => resolve()));
    const before = openFiles();
    const found = await hostSockets(native);
    expect(found.filter((s) => s.protocol === 'tcp' && s.port === tcp4)).toEqual([]);
    for (let i = 0; i < 10; i++) await hostSockets(native);
    expect(openFiles()).toBe(before);
  });
});
