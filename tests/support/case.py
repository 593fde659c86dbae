# SPDX-License-Identifier: MIT
"""The base of the tests: a folder, a sink and a daemon for each test, all checked and ended afterwards."""
import contextlib
import functools
import pathlib
import tempfile
import time
import unittest

from tests.support import net
from tests.support.certs import Certificates
from tests.support.client import Smtp
from tests.support.daemon import Postern, config, merge
from tests.support.sink import Sink

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@functools.cache
def certificates():
    """One set for all tests of this process; removed when it ends."""
    holder = tempfile.TemporaryDirectory(prefix="postern-certs-")
    pathlib.Path(holder.name).chmod(0o755)
    made = Certificates(holder.name)
    made.holder = holder
    return made


class Case(unittest.TestCase):
    """Helpers that start things; what they start ends with the test, last first."""

    strict_sink = True  # fail when the sink saw a breach of protocol

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = pathlib.Path(self.stack.enter_context(net.folder()))
        self.sinks = []
        self.names = 0

    def fresh(self, name):
        self.names += 1
        return self.folder / f"{name}{self.names}"

    def sink(self, **options):
        sink = self.stack.enter_context(Sink(self.fresh("sink"), **options))
        self.sinks.append(sink)
        if self.strict_sink:
            self.addCleanup(lambda: self.assertEqual(sink.violations(), [], "the sink's client broke a rule"))
        return sink

    def tls_sink(self, pair=None, **options):
        pair = pair or certificates().good
        return self.sink(certificate=pair.certificate, key=pair.key, tls_port=0, **options)

    def postern(self, upstream=None, files=None, settings=None, **more):
        """A daemon in front of `upstream` (a port or a sink); **more is laid over the basic configuration."""
        if settings is None:
            port = upstream.port if isinstance(upstream, Sink) else upstream
            settings = config(port, **more)
        return self.stack.enter_context(Postern(self.fresh("postern"), settings, files))

    def client(self, where, listener=None, **options):
        """A connection to a daemon, or to a port."""
        port = where
        if isinstance(where, Postern):
            port = where.listener_port(listener) if listener else where.port
        return self.stack.enter_context(Smtp(port, **options))

    def ready_client(self, where, **options):
        """The same, greeted and after EHLO."""
        client = self.client(where, **options)
        client.hello()
        return client

    def connections_after_probe(self, sink):
        """How many connections the sink has seen, once the daemon's first look at it is over."""
        net.wait_until(lambda: any("EHLO" in line for line in sink.commands()), 10, "the probe", 0.05)
        time.sleep(0.1)
        return sink.connections

    def only_message(self, sink):
        messages = sink.messages()
        self.assertEqual(len(messages), 1, [m.envelope for m in messages])
        return messages[0]


def listener(port=None, host="127.0.0.1", **more):
    """One listener's settings."""
    return merge({"bind": [f"{host}:{port or net.free_port()}"], "tls": "none", "upstream": "mta",
                  "policy": "main"}, more)


def with_filters(*names, **filters):
    """The policy `main` with these filters, in this order, and their definitions."""
    return {"policies": {"main": {"filters": list(names)}}, "filters": filters}


def certificate_settings(**pairs):
    """The `certificates` section for pairs of files."""
    return {name: {"certificate": p.certificate, "key": p.key} for name, p in pairs.items()}
