# SPDX-License-Identifier: MIT
"""The rig: one server, one postern in front of it, and many scripts played against both at once.

    with Rig("exim", folder) as rig:
        report = rig.check(rig.scripts(first, count))

      script --player--> server            Play(transcript, messages) ----+
             \\-player--> postern --> server  Play(transcript, messages) --+-- compare --> differences
"""
import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import pathlib

from tests.interop.oracle import compare
from tests.interop.oracle.generate import generate
from tests.interop.oracle.play import How, play
from tests.interop.oracle.script import NONCE
from tests.support import servers
from tests.support.case import certificate_settings, certificates
from tests.support.client import Smtp
from tests.support.daemon import Postern, config

AT_ONCE = 24
BATCH = 400
CONVERTED = {"PIPELINING", "CHUNKING"}  # what postern offers though the server may lack it
LIMITS = {"errors": 100000, "junk_commands": 100000}  # as the servers are set: scripts have many of both


@dataclasses.dataclass
class Failure:
    script: object
    differences: list

    def kind(self):
        """Failures of one kind are told once."""
        d = self.differences[0]
        return (d.what, " ".join(d.label.split()[:2])[:24], d.direct[:3], d.through[:3])


@dataclasses.dataclass
class Report:
    server: str
    scripts: int = 0
    replies: int = 0
    messages: int = 0
    parted: int = 0     # sessions that were not compared to their end, by an accepted difference
    failures: list = dataclasses.field(default_factory=list)
    used: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def __str__(self):
        used = ", ".join(f"{name} {n}" for name, n in self.used.most_common())
        return (f"{self.server}: {self.scripts} scripts, {self.replies} replies and {self.messages} messages compared, "
                f"{len(self.failures)} scripts differ\n  accepted: {used}\n  not compared to their end: {self.parted}")


class Rig:
    def __init__(self, server, folder, between=None, tls=False, streams=False):
        """between: port of the server -> context manager with the port that postern is given (a liar, for a test);
        tls: all of it within TLS, on both legs (Postfix); streams: no body is held, all are streamed."""
        self.name = server
        self.folder = pathlib.Path(folder)
        self.between = between or contextlib.nullcontext
        self.numbers = itertools.count()
        self.messages_read = 0
        self.how = How(tls=tls)
        self.streams = streams

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.server = stack.enter_context(servers.start(self.name))
            port = stack.enter_context(self.between(self.server.port))
            self.postern = stack.enter_context(Postern(self.folder / "postern", self.settings(port)))
            self.pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(AT_ONCE))
            servers_own, posterns = self.offer(self.server.port), self.offer(self.postern.port)
            lacking = frozenset((posterns & CONVERTED) - servers_own)
            self.how = dataclasses.replace(self.how, lacking=lacking)
            self.offered = (servers_own & posterns) | lacking
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        return self.stack.__exit__(*exc)

    def settings(self, port):
        listener = {"main": {"auth_needs_tls": False}}
        more = {"listeners": listener, "limits": LIMITS | ({"hold": 0} if self.streams else {})}
        if self.name == "postfix":
            listener["main"] |= {"tls": "starttls", "certificate": "main"}
            more["certificates"] = certificate_settings(main=certificates().good)
            more["upstreams"] = {"mta": {"tls": "required" if self.how.tls else "none", "verify": False}}
        return config(port, **more)

    def offer(self, port):
        """The EHLO keywords."""
        with Smtp(port) as c:
            offered = c.hello()
            if self.how.tls:
                c.starttls()
                offered = c.ehlo()
            return set(offered)

    def scripts(self, first, count):
        made = (generate(self.name, number, self.offered) for number in range(first, first + count))
        return [s for s in made if self.fit(s)]

    def fit(self, script):
        """Nothing can be said before the greeting within TLS. Exim 4.96 spools the next messages of a connection
        wrongly after a chunk that was too big, and what streams goes by chunks."""
        if script.early and self.how.tls:
            return False
        too_big = any(len(unit) > servers.SIZE_LIMIT for step in script.steps for unit in step.units)
        return not (too_big and self.streams and self.name == "exim")

    # ---- playing ----

    def nonce(self):
        return b"n%0*d" % (len(NONCE) - 1, next(self.numbers))

    def play_pair(self, script):
        """Direct and through."""
        plays = []
        for port, its in ((self.server.port, script.without(self.how.lacking)), (self.postern.port, script)):
            nonce = self.nonce()
            plays.append(compare.Play(play(its, port, nonce, self.how), nonce))
        return plays

    def play_all(self, scripts):
        """[(direct, through)] with their messages, when the server has handed them all on."""
        try:
            pairs = list(self.pool.map(self.play_pair, scripts))
        except ConnectionError as error:
            raise AssertionError(f"{error}\n{self.server.log()[-3000:]}\n{self.postern.log()[-3000:]}") from None
        self.server.settle()
        by_nonce = {p.nonce: p for pair in pairs for p in pair}
        for message in self.new_messages():
            owner = next((p for nonce, p in by_nonce.items() if has(message, nonce)), None)
            if owner is None:
                raise AssertionError(f"a message of nobody: {message}")
            owner.messages.append(message)
        return pairs

    def new_messages(self):
        every = self.server.messages()
        new, self.messages_read = every[self.messages_read:], len(every)
        return new

    # ---- judging ----

    def check(self, scripts):
        report = Report(self.name)
        for first in range(0, len(scripts), BATCH):
            batch = scripts[first:first + BATCH]
            for script, (direct, through) in zip(batch, self.play_all(batch)):
                found, whole = compare.differences(direct, through, report.used, self.streams)
                report.parted += not whole and not found
                report.scripts += 1
                report.replies += len(direct.transcript.replies)
                report.messages += len(direct.messages)
                if found:
                    report.failures.append(Failure(script, found))
        return report


def has(message, nonce):
    text = nonce.decode()
    return (text in message.sender or any(text in address for address, _ in message.recipients)
            or nonce in message.content)
