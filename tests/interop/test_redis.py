# SPDX-License-Identifier: MIT
"""What a real redis-server sees of the limits: TLS, Unix sockets, AUTH and SELECT, one script a decision."""
import unittest

from tests.support import net
from tests.support.case import Case, certificates, with_filters
from tests.support.redisd import RedisServer


class RealRedis(Case):
    def gate(self, sink, **store):
        limits = {"s": {"key": ["sender"], "count": "messages", "rate": "2/1h", "burst": 2}}
        store = {"type": "redis", "on_error": "tempfail", "deadline": "3s", **store}
        return self.postern(sink, **with_filters("limits", limits={"plugin": "ratelimit", "store": store,
                                                                   "limits": limits}))

    def check_limit(self, p):
        codes = []
        for _ in range(3):
            with self.client(p) as c:
                c.hello()
                reply = c.say("MAIL FROM:<a@x.test>")
                codes.append(reply.code if reply.code != 250 else c.say("RCPT TO:<b@y.test>").code)
                if codes[-1] == 250:
                    c.say("DATA", 354)
                    codes[-1] = c.content("Subject: t\r\n\r\nx\r\n").code
        self.assertEqual(codes, [250, 250, 450])

    def test_tcp(self):
        with RedisServer(self.folder / "r") as r:
            self.check_limit(self.gate(self.sink(), server=f"127.0.0.1:{r.port}"))
            self.assertGreater(r.keys(), 0)

    def test_unix_socket(self):
        path = self.folder / "redis.sock"
        with RedisServer(self.folder / "r", "--unixsocket", str(path), "--unixsocketperm", "777"):
            self.check_limit(self.gate(self.sink(), server=str(path)))

    def test_password_and_database(self):
        with RedisServer(self.folder / "r", "--requirepass", "pw") as r:
            self.check_limit(self.gate(self.sink(), server=f"127.0.0.1:{r.port}", password="pw", database=3))

    def test_tls(self):
        certs = certificates()
        port = net.free_port()
        with RedisServer(self.folder / "r", "--tls-port", str(port), "--tls-cert-file", certs.good.certificate,
                         "--tls-key-file", certs.good.key, "--tls-ca-cert-file", certs.ca.certificate,
                         "--tls-auth-clients", "no"):
            net.wait_port(port)
            store = {"server": f"127.0.0.1:{port}", "tls": True, "tls_ca": certs.ca.certificate}
            self.check_limit(self.gate(self.sink(), tls_name="mail.example.org", **store))
            p = self.gate(self.sink(), tls_name="wrong.example.org", **store)
            with self.client(p) as c:
                c.hello()
                self.assertIn(c.say("MAIL FROM:<a@x.test>").code, (450, 451))

    def test_a_reload_keeps_the_counters(self):
        with RedisServer(self.folder / "r") as r:
            p = self.gate(self.sink(), server=f"127.0.0.1:{r.port}")
            p.reload()
            self.check_limit(p)

    def test_no_key_without_expiry(self):
        with RedisServer(self.folder / "r") as r:
            self.check_limit(self.gate(self.sink(), server=f"127.0.0.1:{r.port}"))
            info = r.call("INFO", "keyspace").decode()
            self.assertRegex(info, r"keys=(\d+),expires=\1\b")


if __name__ == "__main__":
    unittest.main()
