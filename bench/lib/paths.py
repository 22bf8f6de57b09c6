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


def number(lab):
    """A different second octet for each path, for whoever reads a capture."""
    return 100 + len(lab.namespaces)


def floor(lab):
    n = number(lab)
    client, server = lab.namespace("floor-c"), lab.namespace("floor-s")
    lab.pair(client, "eth0", f"10.{n}.0.1/24", server, "eth0", f"10.{n}.0.2/24")
    return Path("floor", client, server, (f"10.{n}.0.2", SERVER_PORT))


def triangle(lab, name, bridge):
    """Client – host – server; the server on a bridge, as Docker has it, or not."""
    n = number(lab)
    client, host = lab.namespace(f"{name}-c"), lab.namespace(f"{name}-h")
    lab.pair(client, "eth0", f"10.{n}.1.2/24", host, "up0", f"10.{n}.1.1/24")
    run("ip", "route", "add", "default", "via", f"10.{n}.1.1", ns=client)
    if bridge is None:
        return client, host, None, n
    server = lab.namespace(f"{name}-s")
    run("sysctl", "-qw", "net.ipv4.ip_forward=1", ns=host)
    if bridge:
        run("ip", "link", "add", "br0", "type", "bridge", ns=host)
        run("ip", "addr", "add", f"10.{n}.2.1/24", "dev", "br0", ns=host)
        run("ip", "link", "set", "br0", "up", ns=host)
        lab.pair(host, "veth0", None, server, "eth0", f"10.{n}.2.2/24")
        run("ip", "link", "set", "veth0", "master", "br0", ns=host)
    else:
        lab.pair(host, "veth0", f"10.{n}.2.1/24", server, "eth0", f"10.{n}.2.2/24")
    run("ip", "route", "add", "default", "via", f"10.{n}.2.1", ns=server)
    return client, host, server, n


def routed(lab):
    client, _, server, n = triangle(lab, "routed", bridge=False)
    return Path("routed", client, server, (f"10.{n}.2.2", SERVER_PORT))


def iptables(lab, ports):
    client, host, server, n = triangle(lab, f"ipt{ports}", bridge=True)
    rule = "-A PREROUTING -d 10.{n}.1.1/32 -p {proto} -m {proto} --dport {port} -j DNAT --to-destination 10.{n}.2.2:{to}"
    rules = ["*nat"]
    for proto in ("tcp", "udp"):
        # the measured port last: every connection walks all of them
        for i in range(ports - 1):
            rules.append(rule.format(n=n, proto=proto, port=FIRST_OTHER + i, to=FIRST_OTHER + i))
        rules.append(rule.format(n=n, proto=proto, port=HOST_PORT, to=SERVER_PORT))
    rules += [f"-A POSTROUTING -s 10.{n}.2.0/24 ! -o br0 -j MASQUERADE", "COMMIT", ""]
    run("iptables-restore", ns=host, input="\n".join(rules))
    return Path(f"iptables {ports}", client, server, (f"10.{n}.1.1", HOST_PORT))


def nftables(lab, ports):
    client, host, server, n = triangle(lab, f"nft{ports}", bridge=True)
    elements = [f"{FIRST_OTHER + i} : 10.{n}.2.2 . {FIRST_OTHER + i}" for i in range(ports - 1)]
    elements.append(f"{HOST_PORT} : 10.{n}.2.2 . {SERVER_PORT}")
    run("nft", "-f", "-", ns=host, input=f"""
table ip nat {{
  map ports {{ type inet_service : ipv4_addr . inet_service; elements = {{ {", ".join(elements)} }} }}
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr 10.{n}.1.1 ip protocol {{ tcp, udp }} dnat ip to th dport map @ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr 10.{n}.2.0/24 oifname != "br0" masquerade
  }}
}}""")
    return Path(f"nftables {ports}", client, server, (f"10.{n}.1.1", HOST_PORT))


def sluice(lab, ports, name=None, flags=()):
    name = name or f"slu{ports}"
    client, host, _, n = triangle(lab, name, bridge=None)
    daemon = lab.daemon(host, name, *flags)
    daemon.start()
    box = f"{name}-box-{lab.suffix}"
    daemon.call("POST", "/v1/networks", {"name": "web"})
    daemon.call("POST", "/v1/sandboxes", {"name": box})
    mappings = []
    for proto in ("tcp", "udp"):
        mappings.append(f"{HOST_PORT}:{SERVER_PORT}/{proto}")
        if ports > 1:
            last = FIRST_OTHER + ports - 2
            mappings.append(f"{FIRST_OTHER}-{last}:{FIRST_OTHER}-{last}/{proto}")
    daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web", "ports": mappings})
    path = Path(f"sluice {ports}", client, box, (f"10.{n}.1.1", HOST_PORT))
    path.host, path.daemon = host, daemon
    return path


def host_alone(lab):
    """A server on the host itself, without and with Sluice's programs beside it."""
    client, host, _, n = triangle(lab, "alone", bridge=None)
    return Path("host alone", client, host, (f"10.{n}.1.1", 9090))
