# SPDX-License-Identifier: Apache-2.0
"""A service's address, from one container to another: kube-proxy's shape in
iptables, maps in nftables, Sluice packet by packet and at the socket, and the
backend's own address. The measured service is the last of `services`."""
from .paths import SERVER_PORT, Path, family
from .shell import run

VIP_PORT = 80
PROTOCOLS = ("tcp", "udp")


def routed_pair(lab, name):
    """Two containers routed through a host, and the family's addresses."""
    f = family(lab, False)
    client, host, server = (lab.namespace(f"{name}-{end}") for end in "chs")
    lab.pair(client, "eth0", f.on(1, 2), host, "veth1", f.on(1, 1))
    lab.pair(server, "eth0", f.on(2, 2), host, "veth2", f.on(2, 1))
    for ns, net in ((client, 1), (server, 2)):
        run("ip", "route", "add", "default", "via", f.address(net, 1), ns=ns)
    run("sysctl", "-qw", "net.ipv4.ip_forward=1", ns=host)
    return client, host, server, f


def vip(f, i):
    return f"10.{f.n}.{128 + i // 250}.{1 + i % 250}"


def iptables(lab, services):
    client, host, server, f = routed_pair(lab, f"svc-ipt{services}")
    backend = f.address(2, 2)
    chains, rules = [], []
    for i in range(services):
        for proto in PROTOCOLS:
            own = f"{proto.upper()}{i}"
            match = f"-d {vip(f, i)}/32 -p {proto} -m {proto} --dport {VIP_PORT}"
            chains += [f":KUBE-SVC-{own} - [0:0]", f":KUBE-SEP-{own} - [0:0]"]
            rules += [
                f"-A KUBE-SERVICES {match} -j KUBE-SVC-{own}",
                f"-A KUBE-SVC-{own} ! -s 10.{f.n}.0.0/16 {match} -j KUBE-MARK-MASQ",
                f"-A KUBE-SVC-{own} -j KUBE-SEP-{own}",
                f"-A KUBE-SEP-{own} -s {backend}/32 -j KUBE-MARK-MASQ",
                f"-A KUBE-SEP-{own} -p {proto} -m {proto} -j DNAT --to-destination {backend}:{SERVER_PORT}",
            ]
    run("iptables-restore", ns=host, input="\n".join([
        "*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-MARK-MASQ - [0:0]", ":KUBE-POSTROUTING - [0:0]", *chains,
        "-A PREROUTING -j KUBE-SERVICES", "-A POSTROUTING -j KUBE-POSTROUTING",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN", "-A KUBE-POSTROUTING -j MASQUERADE",
        *rules, "COMMIT", ""]))
    return Path(f"iptables {services}", client, server, (vip(f, services - 1), VIP_PORT))


def nftables(lab, services):
    client, host, server, f = routed_pair(lab, f"svc-nft{services}")
    elements = ", ".join(f"{vip(f, i)} . {proto} . {VIP_PORT} : {f.address(2, 2)} . {SERVER_PORT}"
                         for i in range(services) for proto in PROTOCOLS)
    run("nft", "-f", "-", ns=host, input=f"""
table ip nat {{
  map services {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    elements = {{ {elements} }}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    dnat ip to ip daddr . meta l4proto . th dport map @services
  }}
}}""")
    return Path(f"nftables {services}", client, server, (vip(f, services - 1), VIP_PORT))


def sluice(lab, services, *flags, label):
    """Paths to the service, and to its backend's own address."""
    name = f"svc-{label}{services}"
    host = lab.namespace(f"{name}-h")
    # somewhere to be connected to, as a host is
    peer = lab.namespace(f"{name}-p")
    f = family(lab, False)
    lab.pair(host, "up0", f.on(1, 1), peer, "eth0", f.on(1, 2))
    daemon = lab.daemon(host, name, *flags)
    daemon.start()
    client, server = (f"{name}-{end}-{lab.suffix}" for end in "cs")
    daemon.call("POST", "/v1/networks", {"name": "web", "subnets": [{"cidr": f"10.{f.n}.128.0/17"}]})
    for box in (client, server):
        daemon.call("POST", "/v1/sandboxes", {"name": box})
        daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web", "name": box})
    ports = [f"{VIP_PORT}:{SERVER_PORT}/{proto}" for proto in PROTOCOLS]
    made = daemon.call("POST", "/v1/services", [
        {"name": f"s{i}", "network": "web", "ports": ports, "backends": [{"endpoint": server}]} for i in range(services)])
    address = daemon.call("GET", f"/v1/endpoints/{server}")["ipv4"]
    path = Path(f"sluice {label} {services}", client, server, (made[-1]["vip"], VIP_PORT))
    direct = Path(f"sluice direct {label}", client, server, (address, SERVER_PORT))
    path.daemon = daemon
    return path, direct
