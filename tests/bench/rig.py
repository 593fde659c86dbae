# SPDX-License-Identifier: MIT
"""What is started for a measurement: sinks, and the ways to them: no proxy, HAProxy, postern.

A way has `port(tls)`, `pids()` and `client_tls`, the word that bench_client needs for TLS there. HAProxy knows no
STARTTLS: it has TLS from the first byte on both legs, which spares it two round trips.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

from tests.support import net
from tests.support.certs import Certificates
from tests.support.daemon import BUILD, Postern

HERE = pathlib.Path(__file__).resolve().parent

RULES = r"""
[header:Subject]
/^(re: )?cheap\s+meds/i        REJECT 5.7.1 Not here, thanks
[text]
/XJS\*C4JDBQADN1\.NSBN3\*2IDNEN\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\*C\.34X/   REJECT 5.7.1 GTUBE
/\bwallet\s+recovery\b/i       SCORE 2.5 wallet
"""
NO_RECIPIENT = "[to]\n/^refused@/  REJECT 5.1.1 nobody\n"
REFUSED = "refused@server.example"

HAPROXY = """
global
  nbthread {workers}
  maxconn 5000
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend plain
  bind 127.0.0.1:{plain}
  default_backend plain
frontend secure
  bind 127.0.0.1:{secure} ssl crt {both}
  default_backend secure
backend plain
  server sink 127.0.0.1:{sink_plain}
backend secure
  server sink 127.0.0.1:{sink_secure} ssl verify none
"""


def programs():
    """Where bench_client and bench_sink are; builds them when the build folder has none."""
    folder = BUILD / "tests" / "bench"
    if not (folder / "bench_client").exists():
        folder = BUILD / "bench"
        for words in (["cmake", "-S", HERE, "-B", folder, "-DCMAKE_BUILD_TYPE=RelWithDebInfo"],
                      ["cmake", "--build", folder]):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"cannot build tests/bench:\n{done.stdout[-3000:]}{done.stderr}")
    return folder / "bench_client", folder / "bench_sink"


class Sink:
    """bench_sink: plain, with STARTTLS (`pair`), or with TLS at once (`implicit`)."""

    def __init__(self, program, pair=None, implicit=False):
        words = [str(program)]
        if pair:
            words += ["--certificate", pair.certificate, "--key", pair.key]
        self.words = words + (["--implicit"] if implicit else [])

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_exc):
        net.end_process(self.process)
        self.process.stdout.close()

    def counts(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())


class Sinks:
    """One of each kind."""

    def __init__(self, program, pair):
        self.plain = Sink(program)
        self.starttls = Sink(program, pair)
        self.implicit = Sink(program, pair, implicit=True)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        for sink in (self.plain, self.starttls, self.implicit):
            self.stack.enter_context(sink)
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def messages(self):
        return sum(s.counts()["messages"] for s in (self.plain, self.starttls, self.implicit))


class Direct:
    name, client_tls = "direct", "starttls"

    def __init__(self, lab):
        self.sinks = lab.sinks

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def port(self, tls):
        return (self.sinks.starttls if tls else self.sinks.plain).port

    def pids(self):
        return []


class HAProxy:
    name, client_tls = "HAProxy", "implicit"

    def __init__(self, lab):
        self.folder, self.ports = lab.fresh("haproxy"), {False: net.free_port(), True: net.free_port()}
        pair = lab.pair
        both = self.folder / "both.pem"
        both.write_text(pathlib.Path(pair.certificate).read_text() + pathlib.Path(pair.key).read_text())
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(
            workers=lab.workers, plain=self.ports[False], secure=self.ports[True], both=both,
            sink_plain=lab.sinks.plain.port, sink_secure=lab.sinks.implicit.port))

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            for port in self.ports.values():
                net.wait_port(port)
        except AssertionError:
            self.__exit__()
            raise SystemExit(f"haproxy does not start: {(self.folder / 'log').read_text()}") from None
        return self

    def __exit__(self, *_exc):
        net.end_process(self.process, first=signal.SIGKILL)

    def port(self, tls):
        return self.ports[tls]

    def pids(self):
        return [self.process.pid]


class PosternWay:
    """postern with content rules and limits that let everything pass, and a listener whose policy refuses."""

    name, client_tls = "postern", "starttls"

    def __init__(self, lab):
        self.ports = {False: net.free_port(), True: net.free_port()}
        self.refusing_port = net.free_port()
        self.lab, self.folder = lab, lab.fresh("postern")
        self.log = self.folder / "transactions.log"
        self.log.touch()
        self.log.chmod(0o666)  # the workers are another user
        self.daemon = Postern(self.folder, self.settings(),
                              files={"bench.rules": RULES, "recipients.rules": NO_RECIPIENT,
                                     "cert.pem": pathlib.Path(lab.pair.certificate).read_bytes(),
                                     "key.pem": pathlib.Path(lab.pair.key).read_bytes()})

    def settings(self):
        limit = {"rate": "1000000/1s", "burst": 1000000}
        return {
            "workers": self.lab.workers,
            "hostname": "gate.example.org",
            "log": {"to": str(self.log)},
            "plugins": {"path": str(BUILD / "plugins")},
            "certificates": {"main": {"certificate": "cert.pem", "key": "key.pem"}},
            "listeners": {
                "plain": self.listener(self.ports[False], "plain"),
                "secure": {**self.listener(self.ports[True], "secure"), "tls": "starttls", "certificate": "main"},
                "refusing": {**self.listener(self.refusing_port, "plain"), "policy": "refusing"},
            },
            "upstreams": {
                "plain": {"servers": [f"127.0.0.1:{self.lab.sinks.plain.port}"], "tls": "none", "probe": "1h"},
                "secure": {"servers": [f"127.0.0.1:{self.lab.sinks.starttls.port}"], "tls": "required",
                           "verify": False, "probe": "1h"},
            },
            "policies": {"main": {"filters": ["limits", "content"]}, "refusing": {"filters": ["recipients"]}},
            "filters": {
                "limits": {"plugin": "ratelimit", "store": {"type": "memory"}, "limits": {
                    "per-sender": {"key": ["sender"], "count": "recipients", **limit},
                    "per-client": {"key": ["client/32"], "count": "messages", **limit}}},
                "content": {"plugin": "content", "rules": ["bench.rules"], "score": {"reject": 10, "defer": 8}},
                "recipients": {"plugin": "content", "rules": ["recipients.rules"]},
            },
        }

    @staticmethod
    def listener(port, upstream):
        return {"bind": [f"127.0.0.1:{port}"], "tls": "none", "upstream": upstream, "policy": "main"}

    def __enter__(self):
        self.daemon.start()
        return self

    def __exit__(self, *exc):
        if exc[0] is None:
            self.daemon.stop()
        else:
            self.daemon.abandon()

    def port(self, tls):
        return self.ports[tls]

    def pids(self):
        return [self.daemon.pid, *self.daemon.workers()]


class Lab:
    """A folder, certificates and sinks; the ways are made in it."""

    def __init__(self, workers):
        self.workers = workers
        self.stack = contextlib.ExitStack()
        self.count = 0
        self.client_program, self.sink_program = programs()

    def __enter__(self):
        self.folder = pathlib.Path(self.stack.enter_context(net.folder("postern-bench-")))
        self.pair = Certificates(self.folder / "certificates").good
        self.sinks = self.stack.enter_context(Sinks(self.sink_program, self.pair))
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def fresh(self, name):
        self.count += 1
        folder = self.folder / f"{name}{self.count}"
        folder.mkdir(mode=0o755)
        return folder


def missing():
    """What the measurements need and this machine lacks."""
    found = [name for name in ("haproxy", "strace", "openssl", "cmake")
             if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")]
    if not (BUILD / "postern").exists():
        found.append(str(BUILD / "postern"))
    return found
