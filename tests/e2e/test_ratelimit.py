# SPDX-License-Identifier: MIT
"""The rate limits through the daemon, with the memory store and with a real redis-server that comes and goes."""
import os
import signal
import threading
import time
import unittest

from tests.support import net
from tests.support.case import Case, with_filters
from tests.support.redisd import RedisServer

GTUBE_RULES = "[text]\n/GTUBE/ REJECT 5.7.1 no\n"


def limit(key="sender", count="messages", rate="5/1h", burst=5, **more):
    return {"key": [key] if isinstance(key, str) else list(key), "count": count, "rate": rate, "burst": burst, **more}


def ratelimit(store=None, **limits):
    return {"plugin": "ratelimit", "store": store or {"type": "memory"}, "limits": limits}


class Limits(Case):
    def gate(self, sink, filter_, **more):
        settings = with_filters("limits", limits=filter_)
        return self.postern(sink, **settings, **more)

    def codes(self, where, count, sender="a@x.test", recipients=("b@y.test",), pause=0.0):
        """The deciding reply of so many one-message sessions."""
        found = []
        for _ in range(count):
            found.append(self.one(where, sender, recipients).code)
            time.sleep(pause)
        return found

    def one(self, where, sender="a@x.test", recipients=("b@y.test",), content="Subject: t\r\n\r\nx\r\n"):
        with self.client(where) as c:
            c.hello()
            reply = c.say(f"MAIL FROM:<{sender}>")
            for r in recipients:
                if reply.code == 250:
                    reply = c.say(f"RCPT TO:<{r}>")
            if reply.code != 250:
                return reply
            c.say("DATA", 354)
            return c.content(content)


class Memory(Limits):
    def test_exactly_so_many(self):
        sink = self.sink()
        p = self.gate(sink, ratelimit(**{"per-sender": limit()}))
        self.assertEqual(self.codes(p, 7), [250] * 5 + [450] * 2)
        self.assertEqual(self.codes(p, 1, "other@x.test"), [250])
        self.assertEqual(len(sink.messages()), 6)

    def test_refusal_says_how_long_and_the_log_which_limit(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit(rate="1/1m", burst=1)}))
        self.assertEqual(self.one(p).code, 250)
        reply = self.one(p)
        self.assertRegex(str(reply), r"^450 4\.7\.1 .*\b(59|60) seconds")
        line = p.transactions(2)[1]
        self.assertEqual((line["filter"], line["rule"], line["verdict"]), ("limits", "per-sender", "deferred"))
        self.assertIn(line["sid"], reply.text)

    def test_tokens_come_back_with_time(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit(rate="60/1m", burst=2)}))
        self.assertEqual(self.codes(p, 3), [250, 250, 450])
        time.sleep(1.1)
        self.assertEqual(self.codes(p, 2), [250, 450])

    def test_workers_share_the_counters(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit(burst=10, rate="10/1h")}), workers=4)
        codes = self.codes(p, 30)
        self.assertEqual(codes.count(250), 10)

    def test_recipients_are_counted_one_by_one(self):
        sink = self.sink()
        p = self.gate(sink, ratelimit(**{"per-sender": limit(count="recipients", rate="4/1h", burst=4)}))
        c = self.ready_client(p)
        c.say("MAIL FROM:<a@x.test>", 250)
        codes = [c.say(f"RCPT TO:<r{i}@y.test>").code for i in range(6)]
        self.assertEqual(codes, [250] * 4 + [450] * 2)
        c.say("DATA", 354)
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)
        self.assertEqual(len(self.only_message(sink).recipients), 4)

    def test_what_the_upstream_refuses_is_given_back(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit()}))
        for recipients in (["refuse550@y.test"], ["data554@y.test"]):
            self.assertEqual(set(self.codes(p, 8, recipients=recipients)) & {450}, set())
        self.assertEqual(self.codes(p, 6), [250] * 5 + [450])

    def test_what_a_filter_refuses_is_given_back(self):
        settings = with_filters("limits", "content", limits=ratelimit(**{"per-sender": limit()}),
                                content={"plugin": "content", "rules": ["r.rules"]})
        p = self.postern(self.sink(), files={"r.rules": GTUBE_RULES}, **settings)
        for _ in range(8):
            self.assertEqual(self.one(p, content="Subject: t\r\n\r\nGTUBE\r\n").code, 550)
        self.assertEqual(self.codes(p, 6), [250] * 5 + [450])

    def test_what_a_client_gives_up_is_given_back(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit()}))
        for end in ("RSET", "EHLO again", "QUIT", None):
            with self.client(p) as c:
                c.hello()
                c.envelope()
                if end:
                    c.say(end)
        net.wait_until(lambda: len(p.events("transaction")) >= 4, 10, "four ended transactions")
        self.assertEqual(self.codes(p, 6), [250] * 5 + [450])

    def test_all_or_nothing(self):
        """A message that one limit refuses is charged to no other."""
        limits = {"per-client": limit("client/32", rate="6/1h", burst=6), "per-sender": limit(rate="2/1h", burst=2)}
        p = self.gate(self.sink(), ratelimit(**limits))
        self.assertEqual(self.codes(p, 6, "a@x.test"), [250] * 2 + [450] * 4)
        self.assertEqual(self.codes(p, 2, "b@x.test"), [250] * 2)
        self.assertEqual(self.codes(p, 3, "c@x.test"), [250] * 2 + [450])

    def test_keys(self):
        cases = (
            ("sender_domain", ("a@x.test", "b@X.TEST"), 450), ("sender_domain", ("a@x.test", "a@z.test"), 250),
            ("sender", ("a@x.test", "b@x.test"), 250), ("listener", ("a@x.test", "b@z.test"), 450),
            (("sender", "client/32"), ("a@x.test", "a@x.test"), 450), ("user", ("a@x.test", "a@x.test"), 250),
        )
        for key, senders, second in cases:
            with self.subTest(key=key, senders=senders):
                p = self.gate(self.sink(), ratelimit(only=limit(key, rate="1/1h", burst=1)))
                self.assertEqual([self.one(p, s).code for s in senders], [250, second])
                p.stop()

    def test_counters_survive_a_reload(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit()}))
        self.assertEqual(self.codes(p, 4), [250] * 4)
        self.assertIn("generation", p.reload())
        self.assertEqual(self.codes(p, 2), [250, 450])

    def test_counters_survive_the_death_of_a_worker(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit()}))
        self.assertEqual(self.codes(p, 4), [250] * 4)
        p.deaths_expected = True
        old = p.workers()
        os.kill(old[0], signal.SIGKILL)
        net.wait_until(lambda: p.workers() and not set(p.workers()) & set(old), 10, "a new worker")
        net.wait_until(lambda: self.answers(p), 10, "service")
        self.assertEqual(self.codes(p, 2), [250, 450])

    def answers(self, p):
        with self.client(p) as c:
            return c.reply().code == 220

    def test_shadow(self):
        filter_ = {**ratelimit(**{"per-sender": limit(rate="1/1h", burst=1)}), "mode": "shadow"}
        p = self.gate(self.sink(), filter_)
        self.assertEqual(self.codes(p, 4), [250] * 4)
        p.wait_log("shadow")

    def test_many_keys_are_bounded(self):
        sink = self.sink()
        p = self.gate(sink, ratelimit(**{"per-sender": limit(rate="1/1h", burst=1)}))
        c = self.ready_client(p)
        for i in range(2000):
            c.send(f"MAIL FROM:<key{i}@x.test>\r\nRSET\r\n")
            self.assertEqual(c.reply().code, 250)
            c.expect(250)
            if i % 50 == 49:
                c.close()
                c = self.ready_client(p)


class Redis(Limits):
    def setUp(self):
        super().setUp()
        self.redis = self.stack.enter_context(RedisServer(self.folder / "redis"))
        self.mta = self.sink()

    def store(self, on_error="local", **more):
        return {"type": "redis", "server": f"127.0.0.1:{self.redis.port}", "on_error": on_error, **more}

    def redis_gate(self, on_error="local", rate="5/1h", burst=5, **more):
        filter_ = ratelimit(self.store(on_error, **more), **{"per-sender": limit(rate=rate, burst=burst)})
        return self.gate(self.mta, filter_)

    def test_exactly_so_many_across_two_daemons(self):
        first, second = self.redis_gate(), self.redis_gate()
        codes = [self.one((first, second)[i % 2]).code for i in range(8)]
        self.assertEqual(codes, [250] * 5 + [450] * 3)
        self.assertGreater(self.redis.keys(), 0)

    def test_keys_expire(self):
        p = self.redis_gate(rate="60/1m", burst=1)
        self.assertEqual(self.one(p).code, 250)
        net.wait_until(lambda: self.redis.keys() == 0, 15, "the key to expire", 0.2)

    def test_given_back(self):
        p = self.redis_gate()
        self.codes(p, 8, recipients=["data554@y.test"])
        self.assertEqual(self.codes(p, 6), [250] * 5 + [450])

    def test_scripts_flushed(self):
        p = self.redis_gate()
        self.assertEqual(self.codes(p, 2), [250] * 2)
        self.redis.call("SCRIPT", "FLUSH")
        self.assertEqual(self.codes(p, 4), [250] * 3 + [450])

    def test_redis_away_at_the_start(self):
        self.redis.stop()
        p = self.redis_gate("local")
        self.assertEqual(self.codes(p, 7).count(250), 5)

    def while_away(self, on_error):
        p = self.redis_gate(on_error)
        self.assertEqual(self.one(p, "first@x.test").code, 250)
        self.redis.stop()
        codes = self.codes(p, 12)
        self.assertTrue(p.log_lines("redis"), "a line about the lost store")
        self.redis.start()
        net.wait_until(lambda: self.one(p, f"back{time.monotonic_ns()}@x.test").code == 250 and self.redis.keys(),
                       15, "Redis to be used again", 0.2)
        return codes

    def test_away_local(self):
        self.assertEqual(self.while_away("local"), [250] * 5 + [450] * 7)

    def test_away_allow(self):
        self.assertEqual(self.while_away("allow"), [250] * 12)

    def test_away_tempfail(self):
        self.assertEqual(set(self.while_away("tempfail")) - {450, 451}, set())

    def test_frozen_redis_stalls_nobody(self):
        p = self.redis_gate("allow")
        self.assertEqual(self.one(p, "warm@x.test").code, 250)
        self.redis.freeze()
        start = time.monotonic()
        self.assertEqual(self.codes(p, 10), [250] * 10)
        self.assertLess(time.monotonic() - start, 5.0)
        self.redis.thaw()

    def test_traffic_while_redis_is_stopped_started_flushed_and_frozen(self):
        """Limits far away: every message must be accepted at once, whatever happens to Redis."""
        p = self.redis_gate("allow", "100000/1m", 100000)
        stop, results = threading.Event(), []
        threads = [threading.Thread(target=self.traffic, args=(p, stop, results, n)) for n in range(4)]
        for t in threads:
            t.start()
        for step in (self.redis.stop, self.redis.start, self.redis.flush, self.redis.freeze, self.redis.thaw,
                     lambda: self.redis.stop(9), self.redis.start, self.redis.flush):
            time.sleep(0.6)
            step()
        time.sleep(0.6)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual({code for code, _ in results}, {250})
        self.assertLess(max(seconds for _, seconds in results), 2.0)
        self.assertEqual(len(self.mta.messages()), len(results))

    def traffic(self, p, stop, results, n):
        while not stop.is_set():
            start = time.monotonic()
            try:
                code = self.one(p, f"traffic{n}@x.test").code
            except Exception as error:  # noqa: BLE001 - whatever went wrong is the result
                code = repr(error)
            results.append((code, time.monotonic() - start))

    def test_odd_addresses_are_keys_like_others(self):
        p = self.redis_gate(rate="1/1h", burst=1)
        for sender in ('"a b"@x.test', '"{}"@x.test', "a'$1*3@x.test", "x" * 64 + "@x.test"):
            with self.subTest(sender):
                self.assertEqual([self.one(p, sender).code, self.one(p, sender).code], [250, 450])

    def test_password_is_used_and_never_shown(self):
        secret = "redis-Secret-4711"
        with RedisServer(self.folder / "locked", "--requirepass", secret) as locked:
            store = {"type": "redis", "server": f"127.0.0.1:{locked.port}", "password": secret, "on_error": "tempfail"}
            limits = {"per-sender": limit(rate="1/1h", burst=1)}
            p = self.gate(self.mta, ratelimit(store, **limits), log={"level": "debug"})
            self.assertEqual([self.one(p).code, self.one(p).code], [250, 450])
            self.assertNotIn(secret, p.log())
            store["password"] = "wrong"
            q = self.gate(self.mta, ratelimit(store, **{"per-sender": limit()}))
            self.assertIn(self.one(q).code, (450, 451))
            self.assertTrue(q.log_lines("redis"))

    def test_something_else_answers_on_the_port(self):
        self.strict_sink = False
        store = {"type": "redis", "server": f"127.0.0.1:{self.sink().port}", "on_error": "local"}
        p = self.gate(self.mta, ratelimit(store, **{"per-sender": limit()}))
        self.assertEqual(self.codes(p, 6), [250] * 5 + [450])


if __name__ == "__main__":
    unittest.main()
