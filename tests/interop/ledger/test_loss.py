# SPDX-License-Identifier: MIT
"""The loss oracle: whatever dies under load, what was acknowledged is there, what was refused is not, and what is
there twice is named by the log.

    clients (load.py) --> postern, several workers --> a bad network (chaos.py) --> server (upstreams.py)
       |                     |  Redis, state_dir                                     |
       book of attempts      log                                                     what it committed
                     nemesis (nemesis.py) harms all of them

Every attempt at a message has a key of its own, so that it is known of each whether the server has it, what the client
was told, and what the log says. See `Ledger.fault` for what must hold. POSTERN_SEED=N plays a seed again (clients and
troubles are the same; their order in time is not); POSTERN_LONG=1 goes on for minutes.
"""
import collections
import json
import os
import pathlib
import random
import unittest

from tests.interop.ledger import nemesis
from tests.interop.ledger.chaos import Chaos
from tests.interop.ledger.load import ACKED, REFUSED, UNKNOWN, UNSENT, Load
from tests.interop.ledger.upstreams import PostfixProcesses, SinkProcess
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.daemon import SANITIZERS, fields
from tests.support.redisd import RedisServer

LONG = bool(os.environ.get("POSTERN_LONG"))
RULES = "[header:Subject]\n/refuse me/ REJECT 5.7.1 as asked\n"
KINDS = {"plain": 4, "pipelined": 4, "tls": 3, "chunks": 4, "leaves": 1, "hangs up": 1, "gives up": 1, "refused": 1,
         "refused above": 1}
SHORT_PATIENCE = {"upstream_connect": "1s", "upstream_greeting": "2s", "upstream_command": "2s", "upstream_data": "2s",
                  "upstream_final": "2s", "greeting": "5s", "drain": "2s"}


def seed():
    return int(os.environ.get("POSTERN_SEED") or random.SystemRandom().randrange(1 << 32))


class Ledger:
    """The three accounts of one storm, compared."""

    def __init__(self, attempts, committed, log, deaths, ends):
        self.attempts = attempts
        self.committed = collections.Counter(committed)
        self.lines = log        # {key: fields of its transaction's line}
        self.deaths = deaths    # when a worker was killed: the supervisor names what it had released
        self.ends = ends        # when the supervisor was killed as well: nobody is left to name anything
        self.named = set()      # keys of what is there although nobody was told, and the log says so
        self.of_the_dead = set()  # the same, where nobody was left who could say it
        self.hung_up = set()      # the same, where the reply was sent to a client that had ended its half and was gone

    @staticmethod
    def during(attempt, times):
        return any(attempt.began <= at <= attempt.ended + 2 for at in times)

    def doubtful(self, attempt):
        """Whether the log names it: committed or perhaps committed, and the client does not know."""
        line = self.lines.get(attempt.key)
        if line and (line["verdict"] == "unknown" or line.get("undelivered") == "yes"):
            self.named.add(attempt.key)
            return True
        written = line is not None and line["verdict"] == "accepted"  # and died with the reply in its hands
        nobody_left = line is None and self.during(attempt, self.ends)
        if nobody_left or written and self.during(attempt, self.deaths + self.ends):
            self.of_the_dead.add(attempt.key)
            return True
        if attempt.left and attempt.kind == "hangs up" and line and line["verdict"] == "accepted":
            self.hung_up.add(attempt.key)
            return True
        return False

    def fault(self, attempt):
        """What is wrong with one attempt, or None."""
        there = self.committed[attempt.key]
        verdict = self.lines.get(attempt.key, {}).get("verdict")
        if there > 1:
            return "is there twice"
        if attempt.outcome == ACKED:
            if not there:
                return "was acknowledged, and is not there"
            cut_off = self.during(attempt, self.deaths + self.ends)  # between reply and line
            return None if verdict == "accepted" or cut_off else f"was acknowledged; the log: {verdict}"
        if there and attempt.outcome == UNSENT:
            return "is there without having been ended"
        if there and not self.doubtful(attempt):
            return f"is there; the client was not told, and the log: {verdict}"
        if not there and verdict == "accepted":
            return "is not there, and the log says accepted"
        if attempt.reply.startswith("5") and not attempt.kind.startswith("refused"):
            return "was refused for good by nobody's wish"
        return None

    def faults(self):
        found = [f"{a.key} ({a.kind}) {what}: {a}\n    {self.lines.get(a.key)}"
                 for a in self.attempts if (what := self.fault(a))]
        strangers = set(self.committed) - {a.key for a in self.attempts}
        return found + [f"{key} is there, and nobody sent it" for key in strangers]

    def summary(self):
        outcomes = collections.Counter(a.outcome for a in self.attempts)
        words = ", ".join(f"{n} {word}" for word, n in sorted(outcomes.items()))
        return (f"{len(self.attempts)} attempts at {len({a.nonce for a in self.attempts})} messages: {words}; "
                f"{sum(self.committed.values())} committed; in doubt and there: {len(self.named)} that the log names, "
                f"{len(self.of_the_dead)} of killed supervisors, {len(self.hung_up)} of clients that hung up")


class Storm(Case):
    """What the storms share: the parts, and the reckoning."""

    strict_sink = False
    bad_network = True

    def setUp(self):
        super().setUp()
        self.seed = seed()
        self.chance = random.Random(f"deeds {self.seed}")
        print(f"\n{self.id()}: POSTERN_SEED={self.seed}")

    def enter(self, thing):
        return self.stack.enter_context(thing)

    def gate(self, port, **more):
        """A daemon with the filters that refuse, all bodies above 16 KiB on the small disk, above 64 KiB streamed."""
        pair = certificate_settings(main=certificates().good)
        limit = {"key": ["client/32"], "count": "messages", "rate": "100000/1s", "burst": 100000}
        store = {"type": "redis", "server": f"127.0.0.1:{self.redis.port}", "on_error": "tempfail", "deadline": "300ms"}
        self.daemon = self.postern(
            port, files={"r.rules": RULES}, workers=3, state_dir=str(self.disk.folder), certificates=pair,
            timeouts=SHORT_PATIENCE, limits={"body_memory": "16KiB", "hold": "64KiB"},
            listeners={"main": listener(tls="starttls", certificate="main")},
            upstreams={"mta": {"probe": "500ms"}}, policies={"main": {"filters": ["content", "limits"]}},
            filters={"content": {"plugin": "content", "rules": ["r.rules"]},
                     "limits": {"plugin": "ratelimit", "store": store, "limits": {"all": limit}}}, **more)
        self.daemon.deaths_expected = True
        return self.daemon

    def parts(self):
        self.redis = self.enter(RedisServer(self.fresh("redis")))
        self.disk = self.enter(nemesis.Disk(self.fresh("disk")))

    def logs(self):
        return "".join(p.read_text(errors="replace") for p in sorted(self.daemon.folder.glob("postern.*"))
                       if p.suffix != ".yaml")

    def check_logs(self):
        """Nothing found by the sanitizers, and no worker dead but by the nemesis."""
        logs = self.logs()
        for word in SANITIZERS:
            at = logs.find(word)
            self.assertEqual(at, -1, f"POSTERN_SEED={self.seed}\n{logs[max(0, at - 300):at + 6000]}")
        deaths = [line for line in logs.splitlines() if "event=worker_ended" in line and "level=error" in line]
        self.assertEqual([line for line in deaths if "signal=9" not in line], [])

    def transactions(self):
        """{key: fields} of every transaction's line of every log."""
        lines = (fields(line) for line in self.logs().splitlines() if "event=transaction" in line)
        return {f["from"].removesuffix("@x.test"): f for f in lines if "from" in f}

    def storm(self, server, deeds, seconds, kinds, clients):
        """(the ledger, the load) after the storm."""
        chaos = self.enter(Chaos(server.port, f"chaos {self.seed}"))
        chaos.calm = not self.bad_network
        self.gate(chaos.port)
        villain = nemesis.Nemesis(f"nemesis {self.seed}", deeds(self.daemon, self.chance))
        with Load(self.daemon.port, clients, self.seed, kinds) as load:
            villain.rage(seconds)
            chaos.calm = True
            calmed = load.finish(30)
        self.daemon.stop()
        self.check_logs()
        ledger = Ledger(load.book.attempts, server.committed(), self.transactions(),
                        villain.when("kill a worker"), villain.when("kill everything"))
        faults = ledger.faults()
        account = f"seed {self.seed}\n{ledger.summary()}\nthe network: {chaos.struck}\n{villain.account()}\n"
        self.assertEqual(faults, [], "\n".join([account, *faults[:20]]))
        self.assertTrue(calmed, f"{account}not settled: {load.book.unsettled()}\n{self.daemon.log()[-2000:]}")
        self.assertEqual(load.book.unsettled(), set(), account)
        print(ledger.summary())
        return ledger, load

    def check_enough(self, ledger, load, least):
        """That enough happened for a proof."""
        self.assertGreater(len(load.book.having(ACKED)), least, ledger.summary())
        self.assertTrue(load.book.having(REFUSED) and load.book.having(UNKNOWN), ledger.summary())
        self.assertTrue(ledger.named or "leaves" not in load.kinds, ledger.summary())

    def all_deeds(self, daemon, chance):
        return {**nemesis.daemon_deeds(daemon, chance), **nemesis.redis_deeds(self.redis, chance),
                **nemesis.disk_deeds(self.disk, chance)}

    def sink_process(self):
        pair = certificates().good
        script = self.folder / "slow.json"
        script.write_text(json.dumps([{"at": "DOT", "match": "-slow@", "delay": 0.2}]))
        return self.enter(SinkProcess(self.fresh("sink"), "--chunking", "--delay", "0.002", "--script", str(script),
                                      "--certificate", pair.certificate, "--key", pair.key))


class Loss(Storm):
    def test_sink(self):
        self.parts()
        server = self.sink_process()
        ledger, load = self.storm(
            server, lambda daemon, chance: {**self.all_deeds(daemon, chance), **nemesis.sink_deeds(server, chance)},
            300 if LONG else 5, KINDS, 10)
        self.check_enough(ledger, load, 50)

    def test_postfix(self):
        self.parts()
        folder = pathlib.Path(self.fresh("postfix"))
        folder.mkdir()
        server = self.enter(PostfixProcesses(folder, f"postfix {self.seed}"))
        ledger, load = self.storm(
            server, lambda daemon, chance: {**self.all_deeds(daemon, chance), **nemesis.postfix_deeds(server, chance)},
            120 if LONG else 4, {k: n for k, n in KINDS.items() if k not in ("leaves", "refused above")}, 8)
        self.check_enough(ledger, load, 20)


class CleanStop(Storm):
    bad_network = False

    def test_reloads_and_stops_leave_no_doubt(self):
        self.parts()

        def orderly(daemon, chance):
            deeds = nemesis.daemon_deeds(daemon, chance)
            return {name: deeds[name] for name in ("reload", "stop and start")}
        kinds = {k: KINDS[k] for k in ("plain", "pipelined", "tls", "chunks", "refused")}
        ledger, load = self.storm(self.sink_process(), orderly, 60 if LONG else 3, kinds, 6)
        self.assertGreater(len(load.book.having(ACKED)), 30)
        self.assertEqual(ledger.named | ledger.of_the_dead, set(), "a clean stop leaves no doubt")


if __name__ == "__main__":
    unittest.main()
