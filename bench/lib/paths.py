# SPDX-License-Identifier: Apache-2.0
"""The ways from a client to a server that are compared. Each has namespaces of
its own; all are up at once, and `target` is what the client dials."""
from .shell import run

SERVER_PORT = 8080
HOST_PORT = 8080
# other published ports, around the measured one
FIRST_OTHER = 20000


class Path:
    """target: (address, port) as the client sees the server."""

    def __init__(self, name, client, server, target):
        self.name, self.client, self.server, self.target = name, client, server, target


class Family:
    """What differs between IPv4 and IPv6. `n` is the path's own number, for whoever reads a capture."""

    def __init__(self, n, v6):
        self.n, self.v6 = n, v6
        self.restore = "ip6tables-restore" if v6 else "iptables-restore"
        self.nft = "ip6" if v6 else "ip"
        self.forwarding = "net.ipv6.conf.all.forwarding=1" if v6 else "net.ipv4.ip_forward=1"
        self.everywhere = "::/0" if v6 else "0.0.0.0/0"
        self.whole = 128 if v6 else 32

    def address(self, net, host):
        return f"fd00:{self.n}:{net}::{host}" if self.v6 else f"10.{self.n}.{net}.{host}"

    def on(self, net, host):
        """With the prefix length."""
        return f"{self.address(net, host)}/{64 if self.v6 else 24}"

    def net(self, net):
        return f"fd00:{self.n}:{net}::/64" if self.v6 else f"10.{self.n}.{net}.0/24"

    def socket(self, address, port):
        return f"[{address}]:{port}" if self.v6 else f"{address}:{port}"

    def name(self, name):
        return f"{name} IPv6" if self.v6 else name


def family(lab, v6):
    return Family(100 + len(lab.namespaces), v6)


def floor(lab, v6=False):
    f = family(lab, v6)
    client, server = lab.namespace(f"floor{f.n}-c"), lab.namespace(f"floor{f.n}-s")
    lab.pair(client, "eth0", f.on(0, 1), server, "eth0", f.on(0, 2))
    return Path(f.name("floor"), client, server, (f.address(0, 2), SERVER_PORT))


def triangle(lab, name, bridge, v6=False):
    """Client – host – server; the server on a bridge, as Docker has it, or not."""
    f = family(lab, v6)
    client, host = lab.namespace(f"{name}-c"), lab.namespace(f"{name}-h")
    lab.pair(client, "eth0", f.on(1, 2), host, "up0", f.on(1, 1))
    run("ip", "route", "add", f.everywhere, "via", f.address(1, 1), ns=client)
    if bridge is None:
        return client, host, None, f
    server = lab.namespace(f"{name}-s")
    run("sysctl", "-qw", f.forwarding, ns=host)
    if bridge:
        run("ip", "link", "add", "br0", "type", "bridge", ns=host)
        run("sysctl", "-eqw", "net.ipv6.conf.br0.accept_dad=0", ns=host)
        lab.address(host, "br0", f.on(2, 1))
        run("ip", "link", "set", "br0", "up", ns=host)
        lab.pair(host, "veth0", None, server, "eth0", f.on(2, 2))
        run("ip", "link", "set", "veth0", "master", "br0", ns=host)
        lab.ready(host, "br0")
    else:
        lab.pair(host, "veth0", f.on(2, 1), server, "eth0", f.on(2, 2))
    run("ip", "route", "add", f.everywhere, "via", f.address(2, 1), ns=server)
    return client, host, server, f


def routed(lab, v6=False):
    client, _, server, f = triangle(lab, f"routed{6 if v6 else 4}", bridge=False, v6=v6)
    return Path(f.name("routed"), client, server, (f.address(2, 2), SERVER_PORT))


def iptables(lab, ports, v6=False):
    client, host, server, f = triangle(lab, f"ipt{ports}-{6 if v6 else 4}", bridge=True, v6=v6)
    rules = ["*nat"]
    for proto in ("tcp", "udp"):
        # the measured port last: every connection walks all of them
        others = [(FIRST_OTHER + i, FIRST_OTHER + i) for i in range(ports - 1)]
        for port, to in [*others, (HOST_PORT, SERVER_PORT)]:
            rules.append(f"-A PREROUTING -d {f.address(1, 1)}/{f.whole} -p {proto} -m {proto} --dport {port}"
                         f" -j DNAT --to-destination {f.socket(f.address(2, 2), to)}")
    rules += [f"-A POSTROUTING -s {f.net(2)} ! -o br0 -j MASQUERADE", "COMMIT", ""]
    run(f.restore, ns=host, input="\n".join(rules))
    return Path(f"{f.name('iptables')} {ports}", client, server, (f.address(1, 1), HOST_PORT))


def nftables(lab, ports, v6=False):
    client, host, server, f = triangle(lab, f"nft{ports}-{6 if v6 else 4}", bridge=True, v6=v6)
    elements = [f"{FIRST_OTHER + i} : {f.address(2, 2)} . {FIRST_OTHER + i}" for i in range(ports - 1)]
    elements.append(f"{HOST_PORT} : {f.address(2, 2)} . {SERVER_PORT}")
    address = "ipv6_addr" if v6 else "ipv4_addr"
    run("nft", "-f", "-", ns=host, input=f"""
table {f.nft} nat {{
  map ports {{ type inet_service : {address} . inet_service; elements = {{ {", ".join(elements)} }} }}
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    {f.nft} daddr {f.address(1, 1)} meta l4proto {{ tcp, udp }} dnat {f.nft} to th dport map @ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    {f.nft} saddr {f.net(2)} oifname != "br0" masquerade
  }}
}}""")
    return Path(f"{f.name('nftables')} {ports}", client, server, (f.address(1, 1), HOST_PORT))


def sluice(lab, ports, name=None, flags=(), v6=False):
    name = name or f"slu{ports}-{6 if v6 else 4}"
    client, host, _, f = triangle(lab, name, bridge=None, v6=v6)
    daemon = lab.daemon(host, name, *flags)
    daemon.start()
    box = f"{name}-box-{lab.suffix}"
    daemon.call("POST", "/v1/networks", {"name": "web", "ipv6": v6})
    daemon.call("POST", "/v1/sandboxes", {"name": box})
    mappings = []
    for proto in ("tcp", "udp"):
        mappings.append(f"{HOST_PORT}:{SERVER_PORT}/{proto}")
        if ports > 1:
            last = FIRST_OTHER + ports - 2
            mappings.append(f"{FIRST_OTHER}-{last}:{FIRST_OTHER}-{last}/{proto}")
    daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web", "ports": mappings})
    path = Path(f"{f.name('sluice')} {ports}", client, box, (f.address(1, 1), HOST_PORT))
    path.host, path.daemon = host, daemon
    return path


def host_alone(lab):
    """A server on the host itself, without and with Sluice's programs beside it."""
    client, host, _, f = triangle(lab, "alone", bridge=None)
    return Path("host alone", client, host, (f.address(1, 1), 9090))
