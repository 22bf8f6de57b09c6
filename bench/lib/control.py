# SPDX-License-Identifier: Apache-2.0
"""What the control plane takes: publishing, creating endpoints, starting, memory."""
import statistics
import threading
import time


def timed(action):
    """Milliseconds."""
    begun = time.monotonic()
    action()
    return (time.monotonic() - begun) * 1000


def measure(lab, quick):
    host = lab.namespace("ctl-h")
    peer = lab.namespace("ctl-p")
    lab.pair(host, "up0", "10.99.0.1/24", peer, "eth0", "10.99.0.2/24")
    daemon = lab.daemon(host, "ctl")
    result = {"startColdMs": daemon.start() * 1000}
    daemon.call("POST", "/v1/networks", {"name": "web"})
    daemon.call("POST", "/v1/sandboxes", {"name": f"ctl0-{lab.suffix}"})
    daemon.call("POST", f"/v1/sandboxes/ctl0-{lab.suffix}/connect", {"network": "web", "name": "first"})

    publish = {}
    for ports in (1, 1000, 10000):
        spec = f"20000-{19999 + ports}:20000-{19999 + ports}"
        times = []
        for _ in range(3 if quick else 7):
            times.append(timed(lambda: daemon.call("POST", "/v1/endpoints/first/publish", {"ports": [spec]})))
            daemon.call("DELETE", "/v1/endpoints/first/publish", {"ports": [spec]})
        publish[ports] = statistics.median(times)
    result["publishMs"] = publish

    def join(box):
        daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web"})

    boxes = [f"ctl{i}-{lab.suffix}" for i in range(1, 11 if quick else 31)]
    for box in boxes:
        daemon.call("POST", "/v1/sandboxes", {"name": box})
    result["joinMs"] = statistics.median(timed(lambda b=box: join(b)) for box in boxes)

    many = [f"par{i}-{lab.suffix}" for i in range(20 if quick else 100)]
    for box in many:
        daemon.call("POST", "/v1/sandboxes", {"name": box})
    threads = [threading.Thread(target=join, args=(box,)) for box in many]

    def parallel():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    result[f"join{len(many)}InParallelMs"] = timed(parallel)
    done = daemon.call("GET", "/v1/status")["rows"]
    result["rows"] = done

    for box in (boxes + many)[9:]:
        daemon.call("POST", f"/v1/sandboxes/{box}/disconnect", {"network": "web"})
        daemon.call("DELETE", f"/v1/sandboxes/{box}")
    daemon.stop()
    result["startWarmMs"] = daemon.start() * 1000
    time.sleep(5 if quick else 60)
    result["residentBytes"] = daemon.resident()
    result["endpointsThen"] = len(daemon.call("GET", "/v1/endpoints"))
    return result
