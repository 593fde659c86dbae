# SPDX-License-Identifier: MIT
"""What is measured, and what it must be: one table a measure.

Costs are CPU of all processes of the proxy, as a ratio to HAProxy in TCP mode in the same run: HAProxy looks at
nothing, so it is what merely passing the bytes on costs. `must` and `moonshot` are such ratios.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    what: str
    connections: int
    messages: int
    size: int
    concurrency: int
    must: float
    moonshot: float
    tls: bool = False
    pipeline: bool = False
    compare_direct: bool = False  # how many messages a second, beside those without any proxy

    def options(self, share=1.0):
        """bench_client's words for `share` of the workload."""
        words = {"connections": max(self.concurrency, round(self.connections * share)), "messages": self.messages,
                 "size": self.size, "concurrency": self.concurrency}
        return {**words, **({"pipeline": True} if self.pipeline else {})}


KIB, MIB = 1024, 1024 * 1024
WORKLOADS = (
    Workload("W1", "1 x 4 KiB a connection", 2000, 1, 4 * KIB, 16, 0.8, 0.55),
    Workload("W2", "100 x 4 KiB", 32, 100, 4 * KIB, 8, 1.0, 0.75),
    Workload("W2p", "100 x 4 KiB, pipelined", 48, 100, 4 * KIB, 8, 1.0, 0.7, pipeline=True),
    Workload("W3", "1 x 10 MiB", 24, 1, 10 * MIB, 4, 0.7, 0.5),
    Workload("W4", "1 x 4 KiB, TLS both legs", 300, 1, 4 * KIB, 8, 0.45, 0.35, tls=True, compare_direct=True),
    Workload("W4l", "100 x 4 KiB, TLS both legs", 16, 100, 4 * KIB, 8, 0.9, 0.7, tls=True),
    Workload("W4s", "1 x 10 MiB, TLS both legs", 16, 1, 10 * MIB, 4, 0.9, 0.55, tls=True),
)

DIRECT_SHARE = 0.85  # of the messages a second without a proxy; HAProxy has 0.5

# (phase that sessions are held in, TLS): PSS in KiB of one more session, must and moonshot.
MEMORY = {
    ("ehlo", False): (2.5, 1.5),
    ("ehlo", True): (18, 15),
    ("body", False): (4, None),
    ("body", True): (38, None),
}
HELD_SIZE = 4 * KIB  # of the message that is half sent; that half is not counted

# TLS: milliseconds that the median session may take longer than without a proxy.
LATENCY = {False: 0.3, True: 0.6}
RATE = 150  # sessions a second, on time
STEP_US = 38000  # Nagle and a delayed ACK cost 40 ms and more
