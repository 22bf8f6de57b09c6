// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { helpText, parseCommand, UsageError } from '../../../src/config/load.js';
import { type Config, defaults, OPTIONS } from '../../../src/config/options.js';

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-config-'));
  file = join(directory, 'sluice.yaml');
});
afterEach(() => rmSync(directory, { recursive: true }));

function run(...argv: string[]): Config {
  const parsed = parseCommand(argv, file);
  if (parsed.command !== 'run') throw new Error(`parsed as ${parsed.command}`);
  return parsed.config;
}

describe('command line', () => {
  it('takes the contract defaults', () => {
    expect(run()).toEqual(defaults());
    expect(run()).toMatchObject({
      socket: '/run/sluice/sluice.sock',
      stateDir: '/var/lib/sluice',
      bpffs: '/sys/fs/bpf/sluice',
      metrics: { host: '127.0.0.1', port: 9477 },
    });
  });

  it('has a Docker plugin unless told otherwise', () => {
    expect(run().dockerPlugin).toBe('/run/docker/plugins/sluice.sock');
    expect(run('--docker-plugin', '/x/net.sock').dockerPlugin).toBe('/x/net.sock');
    expect(run('--no-docker').dockerPlugin).toBeNull();
  });

  it('lets flows live as long as RFC 4787, 5382 and 5508 ask for', () => {
    expect(run().timeouts).toMatchObject({
      tcp_established: 7440,
      tcp_transitory: 240,
      udp_answered: 300,
      udp_oneway: 120,
      icmp: 60,
    });
  });

  it('reads every kind of option', () => {
    const config = run(
      ...['--socket', '/tmp/s', '--uplink', 'eth0', '--uplink=eth1.100', '--pool', '10.0.0.0/8,24'],
      ...[
        '--pool',
        '192.168.0.0/16,26',
        '--pool',
        'fd00::/48,64',
        '--metrics',
        '[::1]:9000',
        '--node-ip',
        '192.0.2.1',
      ],
      ...[
        '--timeout-tcp-established',
        '3h',
        '--conntrack-max',
        '100000',
        '--no-docker',
        '--docker-plugin',
        '/x',
      ],
    );
    expect(config).toMatchObject({
      socket: '/tmp/s',
      uplinks: ['eth0', 'eth1.100'],
      metrics: { host: '::1', port: 9000 },
      nodeIp: '192.0.2.1',
      conntrackMax: 100_000,
    });
    expect(config.timeouts.tcp_established).toBe(10_800);
    expect(config.pools).toEqual(['10.0.0.0/8,24', '192.168.0.0/16,26', 'fd00::/48,64']);
    expect(run('--no-metrics').metrics).toBeNull();
  });

  it('knows the cleanup command', () => {
    expect(parseCommand(['cleanup', '--bpffs', '/x', '--state'], file)).toMatchObject({
      command: 'cleanup',
      state: true,
      config: { bpffs: '/x' },
    });
  });

  it.each([
    [['--nonsense'], "Unknown option '--nonsense'"],
    [['--socket'], "Option '--socket <value>' argument missing"],
    [['start'], "unexpected argument 'start'"],
    [['--state'], '--state goes with cleanup'],
    [['--uplink', 'a/b'], "--uplink: 'a/b' is not an interface name"],
    [['--node-ip', '300.1.1.1'], '--node-ip'],
    [['--pool', '10.0.0.1/8,24'], '--pool'],
    [['--pool', 'fd00::/48,127'], '--pool: a /127 cannot be cut from fd00::/48'],
    [['--pool', '10.0.0.0/24,8'], '--pool: a /8 cannot be cut from 10.0.0.0/24'],
    [['--metrics', 'localhost'], "--metrics: 'localhost' is not HOST:PORT"],
    [['--timeout-icmp', '0'], '--timeout-icmp'],
    [['--masquerade-ports', '500-40000'], '--masquerade-ports'],
    [['--masquerade-ports', '40000-40010'], '--masquerade-ports'],
    [['--masquerade-ports', '40000'], '--masquerade-ports'],
    [['--masquerade-except', '10.0.0.1/8'], '--masquerade-except'],
    [['--masquerade-except', 'lan'], '--masquerade-except'],
    [['--store', 'etcd://127.0.0.1:2379'], '--store: unsupported'],
    [['--listen', '0.0.0.0:9000'], 'mutual TLS only'],
    [['--tls-cert', '/x'], 'go with --listen'],
    [['--config', '/nonexistent.yaml'], 'cannot read /nonexistent.yaml: ENOENT'],
  ])('%j is refused in one line', (argv, message) => {
    expect(() => run(...argv)).toThrow(UsageError);
    expect(() => run(...argv)).toThrow(message);
    try {
      run(...argv);
    } catch (e) {
      expect((e as Error).message).not.toContain('\n');
    }
  });

  it('names every option in the help', () => {
    for (const { name } of OPTIONS) expect(helpText()).toContain(`--${name}`);
  });

  it('leaves features of the kernel unused that it knows, and no others', () => {
    expect(run().without).toEqual([]);
    expect(run('--without', 'tcx', '--without', 'bpf_wq').without).toEqual(['tcx', 'bpf_wq']);
    expect(() => run('--without', 'wings')).toThrow(/'wings' is none of tcx, kern_ctx/);
  });
});

describe('configuration file', () => {
  it('has the same names, and the command line wins', () => {
    writeFileSync(
      file,
      'socket: /file\nuplink: [eth0, eth1]\nno-metrics: true\nno-docker: false\ntimeout-icmp: 90\n',
    );
    expect(run()).toMatchObject({ socket: '/file', uplinks: ['eth0', 'eth1'], metrics: null });
    expect(run().timeouts.icmp).toBe(90);
    expect(run('--socket', '/line', '--uplink', 'eth2')).toMatchObject({
      socket: '/line',
      uplinks: ['eth2'],
    });
  });

  it.each([
    ['sockets: /x', "there is no option 'sockets'"],
    ['config: /x', "there is no option 'config'"],
    ['socket: [a, b]', 'socket: PATH expected'],
    ['no-metrics: 3', 'no-metrics: true or false expected'],
    ['pool: {a: b}', 'pool: CIDR,SIZE or a list of them expected'],
    ['- a', 'not a list of OPTION: VALUE'],
    ['a: [', 'at line 1'],
    ['metrics: nowhere', "metrics: 'nowhere' is not HOST:PORT"],
  ])('%j is refused with the file named', (text, message) => {
    writeFileSync(file, text);
    expect(() => run()).toThrow(file);
    expect(() => run()).toThrow(message);
  });

  it('may be empty or absent', () => {
    expect(run()).toEqual(defaults());
    writeFileSync(file, '# nothing\n');
    expect(run()).toEqual(defaults());
  });
});
