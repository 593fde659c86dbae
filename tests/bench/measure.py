# SPDX-License-Identifier: MIT
"""The measures: CPU of processes, system calls, memory, latencies. Each is of a way of rig.py under bench_client."""
import array
import contextlib
import json
import pathlib
import re
import signal
import subprocess
import time

from tests.support import net

CALLS = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.M)


class Failed(Exception):
    """A measurement that measured nothing: messages were refused or lost."""


# ---- load ----

def words(lab, way, tls, options):
    """bench_client's command line."""
    result = [str(lab.client_program), "--port", str(options.pop("port", way.port(tls)))]
    if tls:
        result.append(f"--{way.client_tls}")
    for name, value in options.items():
        result += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return result


def load(lab, way, tls=False, **options):
    """Runs bench_client to its end and returns what it printed. No message may have failed."""
    done = subprocess.run(words(lab, way, tls, options), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    if done.returncode:
        raise Failed(f"{way.name}: {' '.join(done.args)}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def held(lab, way, tls, count, phase):
    """`count` sessions that wait in a phase while the block runs."""
    line = words(lab, way, tls, {"connections": count, "concurrency": 32, "hold": phase})
    client = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        result = json.loads(client.stdout.readline() or "{}")
        if result.get("held") != count:
            raise Failed(f"{way.name}: of {count} sessions not all could be held: {result}")
        yield
    finally:
        client.stdin.close()
        client.stdout.close()
        net.end_process(client)


# ---- CPU ----

def cpu_seconds(pids):
    """CPU time of all threads of these processes. schedstat counts nanoseconds; stat only hundredths."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def settled_cpu(pids):
    """The same when the last connections are closed and nothing moves any more."""
    before = cpu_seconds(pids)
    for _ in range(50):
        time.sleep(0.02)
        now = cpu_seconds(pids)
        if now - before < 0.0002:
            return now
        before = now
    return before


def cost(lab, way, tls, **options):
    """CPU milliseconds per 1,000 messages, and messages a second."""
    pids = way.pids()
    began, taken = settled_cpu(pids), lab.sinks.messages()
    result = load(lab, way, tls, **options)
    used = settled_cpu(pids) - began
    if lab.sinks.messages() - taken != result["messages"]:
        raise Failed(f"{way.name}: {result['messages']} messages were acknowledged, the sink has "
                     f"{lab.sinks.messages() - taken}")
    return used * 1e6 / result["messages"], result["messages"] / result["seconds"]


# ---- system calls ----

def traced(pid):
    return not re.search(r"^TracerPid:\s+0$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)


def system_calls(lab, way, tls, **options):
    """System calls per message, and the most frequent of them."""
    out = lab.fresh("strace") / "summary"
    pids = way.pids()
    tracer = subprocess.Popen(["strace", "-c", "-f", "-o", str(out), *(f"--attach={p}" for p in pids)],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        net.wait_until(lambda: all(map(traced, pids)) or tracer.poll() is not None, 10, "strace to attach")
        if tracer.poll() is not None:
            raise Failed(f"strace cannot attach: {tracer.stderr.read()}")
        result = load(lab, way, tls, **options)
        time.sleep(0.1)
    finally:
        net.end_process(tracer, first=signal.SIGINT)
        tracer.stderr.close()
    calls = [(int(n) / result["messages"], name) for n, name in CALLS.findall(out.read_text()) if name != "total"]
    return sum(n for n, _ in calls), sorted(calls, reverse=True)


# ---- memory ----

def pss_kib(pids):
    found = [re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{p}/smaps_rollup").read_text(), re.M)
             for p in pids]
    return sum(int(m[1]) for m in found)


def memory(lab, make, tls, phase, count):
    """KiB of PSS that one more session costs, in a proxy that was just started."""
    with make(lab) as way:
        load(lab, way, tls, connections=32, concurrency=8)
        before = pss_kib(way.pids())
        with held(lab, way, tls, count, phase):
            time.sleep(0.2)
            return (pss_kib(way.pids()) - before) / count


# ---- latency ----

def latencies(lab, way, tls, seconds, rate):
    """Microseconds of whole sessions, started on time."""
    path = lab.fresh("samples") / "us"
    load(lab, way, tls, rate=rate, connections=round(seconds * rate), save=path)
    samples = array.array("I")
    samples.frombytes(path.read_bytes())
    return list(samples)


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]
