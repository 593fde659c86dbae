# SPDX-License-Identifier: MIT
"""Ports, waiting and processes: the small tools that every test needs."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def free_port(host="127.0.0.1"):
    """A port that was free a moment ago, outside the kernel's own range for outgoing connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        port = 10000 + int.from_bytes(os.urandom(2), "big") % 20000
        with socket.socket(family) as s, contextlib.suppress(OSError):
            s.bind((host, port))
            return port
    raise RuntimeError("no free port between 10000 and 30000")


def wait_until(condition, seconds=10.0, what="", pause=0.02):
    """Returns the first true value of condition(); fails loudly after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what or condition}")
        time.sleep(pause)


def accepts(host, port):
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def wait_port(port, host="127.0.0.1", seconds=15.0):
    wait_until(lambda: accepts(host, port), seconds, f"{host}:{port} to accept", 0.05)


@contextlib.contextmanager
def folder(prefix="postern-test-", mode=0o755):
    """A fresh folder that other users may enter, removed afterwards."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, mode)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def end_process(process, seconds=10.0, first=signal.SIGTERM):
    """Ends a Popen by its pid: asked politely first, killed when it does not listen."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def children(pid):
    """The direct children of a process, from /proc."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
