# SPDX-License-Identifier: MIT
"""The command line: -c, -t, -T, exit codes; every error of a configuration in one run."""
import json
import re
import unittest

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.daemon import config, run, yaml

BROKEN = """workers: 0
hostnam: gate.example.org
log: { format: xml }
listeners:
  main:
    bind: ["127.0.0.1:99999"]
    tls: starttls
    upstream: nobody
    policy: nowhere
upstreams:
  mta:
    servers: []
    verify: { nam: x }
timeouts: { command: 5 parsecs }
"""


class CommandLine(Case):
    def write(self, text):
        path = self.fresh("conf")
        path.write_text(text if isinstance(text, str) else yaml(text).lstrip("\n") + "\n")
        return str(path)

    def good(self, **more):
        return self.write(config(net.free_port(), **more))

    def test_good_configuration(self):
        done = run("-t", "-c", self.good())
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_check_binds_and_connects_nothing(self):
        sink = self.sink()
        done = run("-t", "-c", self.write(config(sink.port, port=sink.port)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sink.connections, 0)

    def test_usage(self):
        for words in ((), ("-x",), ("-c",), ("-t",), ("-c", "a", "b"), ("--nonsense",)):
            with self.subTest(words=words):
                done = run(*words)
                self.assertEqual(done.returncode, 2, done)
                self.assertRegex(done.stderr + done.stdout, "(?i)usage")

    def test_every_error_in_one_run(self):
        path = self.write(BROKEN)
        for words in (("-t", "-c", path), ("-c", path), ("-T", "-c", path)):
            with self.subTest(words=words):
                done = run(*words)
                self.assertEqual(done.returncode, 78)
                places = re.findall(rf"^{re.escape(path)}:(\d+):(\d+): error: (.+)$", done.stderr, re.M)
                lines = {int(line) for line, _, _ in places}
                self.assertTrue({1, 2, 3, 6, 8, 9, 12, 13, 14} <= lines, done.stderr)
                self.assertRegex(done.stderr, r"did you mean '?hostname")
                self.assertNotIn("postern: ready", done.stderr)

    def test_what_cannot_be_read(self):
        for path in (str(self.folder / "absent.yaml"), str(self.folder)):
            with self.subTest(path=path):
                done = run("-t", "-c", path)
                self.assertEqual(done.returncode, 78, done)
                self.assertIn(path, done.stderr)

    def test_not_the_subset_of_yaml(self):
        for text in ("a: &x 1\nb: *x\n", "workers: 1\nworkers: 2\n", "- a\n- b\n", "workers: [1\n", "a: b: c\n",
                     "workers: !!int 1\n", "x" * 100000, "a:\n" + " " * 5 + "\t- x\n", "\x00\x01"):
            with self.subTest(text=text[:30]):
                done = run("-t", "-c", self.write(text))
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertIn("error", done.stderr)

    def test_missing_and_unfitting_files(self):
        certs = certificates()
        pairs = ({"certificate": "absent.pem", "key": "absent.key"},
                 {"certificate": certs.good.certificate, "key": certs.second.key},
                 {"certificate": certs.good.key, "key": certs.good.key})
        for pair in pairs:
            with self.subTest(pair=pair):
                path = self.good(certificates={"c": pair}, listeners={"main": {"tls": "starttls", "certificate": "c"}})
                done = run("-t", "-c", path)
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertRegex(done.stderr, r":\d+:\d+: error: ")

    def test_effective_configuration_is_complete_loads_again_and_hides_secrets(self):
        secret = "Very-Secret-0815"
        store = {"type": "redis", "server": "127.0.0.1:6379", "password": secret}
        limit = {"key": ["sender"], "count": "messages", "rate": "1/1h", "burst": 1}
        path = self.good(certificates=certificate_settings(main=certificates().good),
                         policies={"main": {"filters": ["limits"]}},
                         filters={"limits": {"plugin": "ratelimit", "store": store, "limits": {"x": limit}}})
        done = run("-T", "-c", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(secret, done.stdout + done.stderr)
        for word in ("workers: 1", "gate.example.org", "recipients: 1000", "command_line:", "drain:", "on_error:",
                     "***", "keep:"):
            self.assertIn(word, done.stdout)
        again = run("-T", "-c", self.write(done.stdout))
        self.assertEqual((again.returncode, again.stdout), (0, done.stdout), again.stderr)

    def test_json_schema(self):
        done = run("-S")
        self.assertEqual(done.returncode, 0, done.stderr)
        schema = json.loads(done.stdout)
        self.assertIn("$schema", schema)
        self.assertTrue({"workers", "listeners", "upstreams", "policies", "filters"} <= set(schema["properties"]))

    def test_port_in_use(self):
        sink = self.sink()
        done = run("-c", self.write(config(net.free_port(), port=sink.port)))
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(str(sink.port), done.stderr)

    def test_what_comes_later_is_said(self):
        done = run("-t", "-c", self.good(admin={"socket": "postern.sock"}))
        self.assertEqual(done.returncode, 0)
        self.assertIn("'admin' is not available in this version; ignored", done.stderr)


if __name__ == "__main__":
    unittest.main()
