// SPDX-License-Identifier: Apache-2.0
/** One daemon, from its configuration to the API answering, and back. */
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { apiHistogram, registerControl } from '../../metrics/control.js';
import { registerDataplane } from '../../metrics/dataplane.js';
import { registerDns } from '../../metrics/dns.js';
import { registerDocker } from '../../metrics/docker.js';
import { serveMetrics } from '../../metrics/server.js';
import { registerServices } from '../../metrics/services.js';
import { type Listener, listen } from '../api/listen.js';
import { buildApi } from '../api/server.js';
import { systemClock } from '../base/clock.js';
import type { Log } from '../base/log.js';
import { CnmModel } from '../cnm/model.js';
import type { Owner } from '../cnm/rows.js';
import type { Config } from '../config/options.js';
import { HostResolvers } from '../dns/host-resolvers.js';
import { Resolver } from '../dns/resolver.js';
import { DockerEngine } from '../docker/engine/engine.js';
import { buildPlugin, listenPlugin } from '../docker/server.js';
import { Prober } from '../health/prober.js';
import { probe } from '../health/probes.js';
import { Announcer } from '../link/announce.js';
import { canDefragmentByTable } from '../link/defragment.js';
import { followEvents } from '../link/events.js';
import { Netlink } from '../link/netlink.js';
import { Netns } from '../link/netns.js';
import { destroySockets } from '../link/socket-destroy.js';
import { connectedUdp } from '../link/socket-diag.js';
import { moveSockets } from '../link/socket-move.js';
import { hostSockets } from '../link/sockets.js';
import { Attacher } from '../loader/attach.js';
import { ensureBpffs, mountsArePrivate } from '../loader/bpffs.js';
import { describeFeatures, type Feature, probeKernel } from '../loader/features.js';
import { Guards } from '../loader/guards.js';
import { resolver_mark } from '../maps/generated/enums.js';
import { bpfNative } from '../native/bpf.js';
import { netNative } from '../native/net.js';
import { Announcements } from '../reconcile/announcements.js';
import { Awaited } from '../reconcile/awaited.js';
import { DeadSockets } from '../reconcile/dead-sockets.js';
import { KernelHostView } from '../reconcile/host.js';
import { Identity } from '../reconcile/identity.js';
import { Keeper } from '../reconcile/keeper.js';
import { allOps } from '../reconcile/kinds.js';
import { LinkTable } from '../reconcile/links.js';
import { PublishOps } from '../reconcile/ops/publish.js';
import { reassemblyRows } from '../reconcile/ops/reassembly.js';
import { ServiceOps } from '../reconcile/ops/service.js';
import { ServiceSocketOps } from '../reconcile/ops/service-sockets.js';
import { SOCKET_HOOKS } from '../reconcile/ops/socket-hook.js';
import { type PassReport, Reconciler } from '../reconcile/reconciler.js';
import { ReservedPorts } from '../reconcile/reserved-ports.js';
import { Tables } from '../reconcile/tables.js';
import { UdpTargets } from '../reconcile/udp-targets.js';
import { NODE, UplinkFollower } from '../reconcile/uplinks.js';
import { Watch } from '../reconcile/watch.js';
import { LevelStore } from '../store/level.js';
import { checkBuild, checkCapabilities, prepareStateDir } from './checks.js';
import { KernelConntrack } from './conntrack.js';
import { Dataplane } from './dataplane.js';
import { forwardEvents } from './events.js';
import { TableFills } from './fills.js';
import { heldByKernel } from './held.js';
import { hostAddresses } from './host-addresses.js';
import { kernelClock } from './kernel-clock.js';
import { markLayout, refuseNewerLayout } from './layout-mark.js';
import { Locks } from './lock.js';
import { DATABASE, LINKS_DIR, RESERVED_FILE } from './places.js';
import { ServiceFigures } from './service-figures.js';
import { StateKeeper } from './state-keeper.js';
import { matchState } from './state-mark.js';
import { DaemonStatus } from './status.js';
import { settleSysctl, sysctls } from './sysctls.js';
import { VERSION } from './version.js';

/** Rows whose links are no uplinks. */
const OWN_LINKS = ['port', 'lent-port', 'bridge', 'reassembly'] as const;
/** The owner of the reassembly namespace. */
const FRAGMENTS: Owner = { kind: 'node', id: 'fragments' };
const OWN_NETNS = '/proc/self/ns/net';

export interface Daemon {
  readonly features: readonly Feature[];
  readonly pass: PassReport;
  readonly recreated: readonly string[];
  readonly uplinks: readonly string[];
  readonly objects: { networks: number; sandboxes: number; endpoints: number };
  readonly listener: Listener;
  /** Ends the API and the store; the dataplane goes on. */
  stop(): Promise<void>;
}

/** What was opened, to be closed in reverse, whatever of it there is. */
class Closers {
  readonly #closers: (() => void | Promise<void>)[] = [];

  add(close: () => void | Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/** `restart`: stops it and serves anew, when the state has become another. */
export async function serve(config: Config, log: Log, restart: () => void): Promise<Daemon> {
  const closers = new Closers();
  try {
    return await start(config, log, closers, restart);
  } catch (e) {
    await closers.close();
    throw e;
  }
}

async function start(config: Config, log: Log, closers: Closers, restart: () => void): Promise<Daemon> {
  checkCapabilities();
  const net = netNative();
  const features = await probeKernel({
    without: config.without,
    nftables: () => canDefragmentByTable(net),
  });
  checkBuild();
  prepareStateDir(config.stateDir);
  const mounted = await ensureBpffs(config.bpffs);
  if (mounted !== null && mountsArePrivate())
    log.warn(
      `the bpffs at ${mounted} is this process's own, and all that is pinned ends with it: start sluiced in the host's mount namespace (nsenter --net, not ip netns exec), or mount a bpffs there before`,
    );
  const locks = await Locks.take(config);
  closers.add(() => locks.release());

  const clock = systemClock();
  const time = kernelClock();
  const bpf = bpfNative();
  const netns = new Netns(net);
  const netlink = await Netlink.open(net);
  closers.add(() => netlink.close());

  const identity = new Identity(config.bpffs);
  identity.lookForLoss(await netlink.links());
  if (identity.wiped) log.warn(`somebody has taken away marks and pins in ${config.bpffs}: it is made anew`);
  const location = join(config.stateDir, DATABASE);
  const store = new LevelStore(
    location,
    config.adoptEmptyState ? { giveUp: (what) => log.warn(`the state is not whole: ${what}: adopted`) } : {},
  );
  await store.open();
  closers.add(() => store.close());
  // Before anything is loaded: maps of another layout are made anew.
  const stateMark = await matchState({
    store,
    place: config,
    identity,
    held: () => heldByKernel(config.bpffs, identity, netlink),
    adopt: config.adoptEmptyState,
    log,
  });
  refuseNewerLayout(identity, config.bpffs);
  const dataplane = await Dataplane.load({ native: bpf, config, features, time, log });
  closers.add(() => dataplane.close());
  markLayout(identity);
  await dataplane.carried.all();

  const tables = new Tables();
  const links = new LinkTable(netlink);
  const attach = new Attacher(bpf, { tcx: features.tcx, qdiscs: netlink });
  closers.add(() => attach.close());
  const guards = new Guards(bpf, {
    qdiscs: netlink,
    program: (name) => dataplane.guard(name),
    lacking: (reason) =>
      log.warn(`${reason}: without sch_ingress and cls_bpf nothing is closed while a program is not there`),
  });
  const pins = join(config.bpffs, LINKS_DIR);
  const reserved = new ReservedPorts({
    sysctls,
    file: join(config.stateDir, RESERVED_FILE),
    rows: () => tables.rows('publish'),
    log,
  });
  dataplane.serveSocketsOf((await netns.info(OWN_NETNS))?.cookie ?? 0n);
  if (features.socketHooks.missing !== null)
    log.warn(`${features.socketHooks.missing}: processes of the host itself reach no published port`);
  // an engine that takes a link into a container has given the namespace its path by then
  const awaited = new Awaited(clock, log);
  closers.add(() => awaited.stop());
  links.onChange(({ type }) => {
    if (type === 'gone') awaited.soon();
  });
  const dead = new DeadSockets({
    maps: dataplane.maps,
    tables,
    move: (netns, moves) => moveSockets(net, netns, moves, false),
    destroy: (...which) => destroySockets(net, ...which),
    clock,
    log,
  });
  closers.add(() => dead.stop());
  const targets = new UdpTargets({
    maps: dataplane.maps,
    tables,
    connected: (path) => connectedUdp(net, path),
    move: (path, moves) => moveSockets(net, path, moves, true),
    destroy: (...which) => destroySockets(net, ...which),
    clock,
    log,
  });
  closers.add(() => targets.stop());
  // without the hooks nobody would find it
  const withResolver = config.dns && dataplane.cgroup !== null;
  const figures = new ServiceFigures(dataplane.maps, tables);
  const { service_slots, service_table, service_backends, backend_endpoints } = dataplane.maps;
  const services = new ServiceOps(dataplane.maps, {
    sizes: {
      slots: service_slots.capacity,
      table: service_table.capacity,
      backends: service_backends.capacity,
      endpoints: backend_endpoints.capacity,
    },
    clock,
    onLeft: (number, ids) => figures.left(number, ids),
    onRemoved: (number) => figures.removed(number),
  });
  const fills = new TableFills(dataplane.maps, () => services.used);
  const conntrack = new KernelConntrack({ maps: dataplane.maps, tables, fills, time });
  const host = new KernelHostView(netlink, netns, {
    sockets: () => hostSockets(net),
    ipv6: features.ipv6,
    sysctls,
    resolvConf: config.resolvConf,
  });
  const publishes = new PublishOps(dataplane.maps);
  const addresses = await hostAddresses({ maps: dataplane.maps, tables, host, publishes, conntrack, log });
  closers.add(() => addresses.stop());
  const ops = allOps(
    {
      netlink,
      netns,
      attach,
      guards,
      links,
      tables,
      identity,
      pins,
      mtu: () => follower.mtu,
      ipv6: features.ipv6,
      programs: dataplane,
      sockets: dataplane,
      announcements: new Announcements(new Announcer(net), log),
      writeSysctl: settleSysctl,
    },
    dataplane.maps,
    { hostSockets: () => hostSockets(net), reserved, targets, addresses, publishes },
    new ServiceSocketOps(services, dead, targets),
    awaited,
  );
  const reconciler = new Reconciler({ ops, tables, clock, log });
  const keeper = new Keeper({
    reconciler,
    links,
    clock,
    log,
    alongside: async () => {
      stateMark.ensure();
      await reserved.repair();
    },
    passMs: config.passInterval * 1000,
  });
  const watch = new Watch({
    reconciler,
    links,
    tables,
    guards,
    lost: (touched) => attach.lost(touched),
    restorePins: async () => {
      await ensureBpffs(config.bpffs);
      return identity.restore() + dataplane.restorePins() + (await attach.restorePins()).length;
    },
    clock,
    log,
  });
  const follower = new UplinkFollower({
    netlink,
    links,
    realizer: reconciler,
    identity,
    names: config.uplinks,
    fixed: [
      ...(dataplane.cgroup === null
        ? []
        : SOCKET_HOOKS.map((hook) => ({ kind: 'socket-hook' as const, hook }))),
    ],
    xdp: config.xdp,
    wanted: (name) => OWN_LINKS.some((kind) => tables.wants(kind, name)),
    onMtu: () => {
      reconciler.invalidate((row) => 'mtu' in row && row.mtu === null, null);
      keeper.soon();
    },
    onAddresses: (have) => addresses.have(have),
    onApplied: () => addresses.endFlows(),
    clock,
    log,
  });
  const model = new CnmModel({
    store,
    realizer: reconciler,
    host,
    log,
    clock,
    resolver: withResolver,
    masqueradePorts: config.masqueradePorts,
    ...(config.pools.length === 0 ? {} : { pools: config.pools }),
  });

  // Followed before they are read: what changes in between comes as an event.
  const events = await followEvents(net, (event) => {
    if (event.type === 'filters') return watch.filtersGone(event.ifindex);
    if (event.type === 'forwarding-off') return watch.forwardingOff(event);
    if (event.type === 'link') {
      if (event.gone) links.forget(event.link.ifindex);
      else links.note(event.link);
    } else if (event.type === 'overrun') {
      for (const { ifindex } of links.all()) watch.filtersGone(ifindex);
      void links.refresh().catch((e: unknown) => log.error('cannot read the links', { err: e }));
    }
    if (event.type === 'address' && event.gone) watch.addressGone(event.address);
    if (event.type === 'route') follower.routeChanged(event.route);
    else if (event.type === 'overrun') follower.routeChanged(null);
    else if (event.type === 'address' && event.gone) follower.addressGone();
    else follower.changed();
  });
  closers.add(() => events.close());

  await links.refresh();
  reconciler.load(await model.start());
  closers.add(() => model.stop());
  reconciler.load(new Map([[NODE, await follower.look()]]));
  // apart from the uplinks: these do without it where it fails
  if (features.defragment !== null)
    reconciler.load(new Map([[FRAGMENTS, reassemblyRows(identity, features.defragment)]]));
  closers.add(() => follower.stop());
  await reserved.repair();
  await dataplane.carried.all();
  dataplane.carried.begin();
  const pass = await reconciler.fullPass();
  await dataplane.carried.end();
  addresses.endFlows();
  await dataplane.startCollector();
  dead.backendsGone();
  keeper.start();
  closers.add(() => keeper.stop());
  watch.start();
  closers.add(() => watch.stop());
  closers.add(forwardEvents({ model, reconciler, follower, links, clock }));

  const prober = new Prober({ model, probe, clock, log });
  prober.start();
  closers.add(() => prober.stop());

  const engine =
    config.dockerHost === null ? null : new DockerEngine({ address: config.dockerHost, model, clock, log });
  engine?.start();
  closers.add(() => engine?.stop());

  const resolver = withResolver
    ? new Resolver({
        model,
        namespaces: netns,
        map: dataplane.maps.resolvers,
        beat: (answers) => dataplane.beatResolver(answers),
        mark: resolver_mark.RESOLVER_ASKS_OTHERS,
        host: new HostResolvers(config.resolvConf, clock),
        nickname: (network) => engine?.networks.of(network) ?? null,
        clock,
        log,
      })
    : null;
  if (resolver === null) dataplane.beatResolver(false);
  await resolver?.start();
  closers.add(() => resolver?.stop());

  const state = await StateKeeper.open({
    store,
    location,
    id: stateMark.id,
    hasObjects: () =>
      [model.networks(), model.sandboxes(), model.services()].some(({ length }) => length > 0),
    restart,
    clock,
    log,
  });
  const described = describeFeatures(features);
  const node = { name: config.nodeName, ip: config.nodeIp };
  const registry = new Registry();
  registerDataplane(registry, dataplane.maps, config.masqueradePorts);
  registerControl(registry, {
    version: VERSION,
    reconciler,
    objects: () => ({
      networks: model.networks().length,
      sandboxes: model.sandboxes().length,
      endpoints: model.endpoints().length,
      ports: model
        .endpoints()
        .reduce((n, e) => n + e.ports.reduce((m, p) => m + p.hostPortEnd - p.hostPort + 1, 0), 0),
    }),
    tables: () => fills.all(),
    programs: () => dataplane.runTimes(),
    state: () => state.status(),
  });
  const observeRequest = apiHistogram(registry);
  if (resolver !== null) {
    const { meter } = resolver;
    registerDns(registry, { meter, counts: () => resolver.counts(), totals: () => resolver.totals() });
  }
  registerServices(registry, {
    services: () => model.naming.services(),
    totals: () => figures.totals(),
    most: config.metricsServices,
  });
  registerDocker(registry, engine);
  const app = buildApi({
    cnm: model,
    docker: engine,
    services: figures,
    status: new DaemonStatus({
      node,
      features: described,
      attach,
      pins,
      cgroup: dataplane.cgroup,
      follower,
      maps: dataplane.maps,
      fills,
      reconciler,
      state,
      resolver,
    }),
    conntrack,
    state,
    log,
    observeRequest,
  });
  if (config.metrics !== null) {
    const metrics = await serveMetrics(registry, config.metrics);
    closers.add(() => metrics.close());
  }
  if (config.dockerPlugin !== null) {
    const plugin = buildPlugin({
      remote: model.remote,
      leases: model.leases,
      scope: config.dockerScope,
      log,
      observeRequest,
    });
    closers.add(await listenPlugin(plugin, config.dockerPlugin));
  }
  const listener = await listen(app, {
    socket: config.socket,
    log,
    ...(config.listen === null || config.tls === null ? {} : { tls: { ...config.listen, ...config.tls } }),
  });
  closers.add(() => listener.close());

  return {
    features: described,
    pass,
    recreated: dataplane.recreated,
    uplinks: follower.uplinks.map((link) => link.name),
    objects: {
      networks: model.networks().length,
      sandboxes: model.sandboxes().length,
      endpoints: model.endpoints().length,
    },
    listener,
    stop: () => closers.close(),
  };
}
