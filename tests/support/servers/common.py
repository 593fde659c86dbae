# SPDX-License-Identifier: MIT
"""What the servers have in common: the collector behind each, and a message as it came out."""
import dataclasses
import re
import time

from tests.support import net
from tests.support.sink import Sink

SIZE_LIMIT = 20000
USER, PASSWORD = "alice", "sesame"
DOMAIN = "y.test"
RECEIVED = re.compile(rb"\A(?:Received:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+")


@dataclasses.dataclass(frozen=True)
class Message:
    """One message that a server committed; the content has CRLF line ends, no stuffed dots, no Received."""
    sender: str
    parameters: tuple     # of MAIL, sorted, names in capitals
    recipients: tuple     # (address, parameters) as sent on, in the order of the server
    content: bytes


def parameters(words):
    """Those that say something of the message, their names in capitals; SIZE is only the sender's estimate."""
    pairs = sorted((name.upper(), equals, value) for name, equals, value in (w.partition("=") for w in words))
    return tuple("".join(p) for p in pairs if p[0] != "SIZE")


def read_back(kept):
    """A message as the collector has it."""
    e = kept.envelope
    recipients = tuple((r["address"], parameters(r["parameters"])) for r in e["recipients"])
    return Message(e["sender"], parameters(e["sender_parameters"]), recipients, RECEIVED.sub(b"", kept.content))


class Server:
    """The base: owns the collector. Subclasses set `port`, start and stop their processes, say when they idle."""

    name = ""

    def __init__(self, folder, **options):
        """options: of the collector"""
        self.folder = folder
        self.port = 0
        self.process = None
        self.collector = Sink(folder / "collected", **{"size": 1 << 30, **options})

    def __enter__(self):
        self.collector.__enter__()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        try:
            self.stop()
        finally:
            self.collector.stop()

    def start(self):
        raise NotImplementedError

    def await_listening(self, process):
        """Until the process takes connections at the port; its log is the error if it ends instead."""
        net.wait_until(lambda: net.accepts("127.0.0.1", self.port) or process.poll() is not None, 30,
                       f"{self.name} to listen")
        if process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {process.returncode}:\n{self.log()}")

    def stop(self):
        """Also after a start() that failed."""

    def idle(self):
        """True when nothing waits in the server."""
        return True

    def settle(self, seconds=180.0):
        """Waits until the server has handed on all that it took: idle, and nothing new for a moment."""
        end = time.monotonic() + seconds
        seen, since = -1, time.monotonic()
        while True:
            now = len(list(self.collector.store.folder.glob("*.eml")))
            if now != seen or not self.idle():
                seen, since = now, time.monotonic()
            if time.monotonic() - since > 0.3:
                return
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} does not settle in {seconds} s\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def messages(self):
        return [read_back(m) for m in self.collector.messages()]

    def log(self):
        return ""
