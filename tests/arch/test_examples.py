# SPDX-License-Identifier: MIT
"""Every policy of conf/examples loads, and every rule file there is used by one of them."""
import re
import shutil
import unittest

from tests.support import net
from tests.support.case import certificates
from tests.support.daemon import BUILD, ROOT, run

EXAMPLES = ROOT / "conf" / "examples"


class Examples(unittest.TestCase):
    def copy(self, folder):
        """The examples with certificates where they expect them, and the plugins of this build."""
        target = shutil.copytree(EXAMPLES, f"{folder}/examples")
        pair = certificates()
        wanted = {"cert.pem": pair.good.certificate, "key.pem": pair.good.key, "ca.pem": pair.ca.certificate}
        for name, source in wanted.items():
            shutil.copy(source, f"{target}/{name}")
        return EXAMPLES.__class__(target)

    def test_each_loads(self):
        names = sorted(p.name for p in EXAMPLES.glob("*.yaml"))
        self.assertGreaterEqual(len(names), 4)
        with net.folder() as folder:
            copy = self.copy(folder)
            for name in names:
                with self.subTest(name):
                    path = copy / name
                    plugins = f'plugins: {{ path: "{BUILD}/plugins" }}'
                    path.write_text(re.sub(r"(?m)^plugins: .*$", plugins, path.read_text()))
                    done = run("-t", "-c", str(path))
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_each_rule_file_is_used(self):
        users = [*EXAMPLES.glob("*.yaml"), ROOT / "deploy/quickstart.d/settings.sh"]
        text = "".join(p.read_text() for p in users)
        for path in EXAMPLES.glob("rules/*.rules"):
            self.assertIn(f"rules/{path.name}", text)

    def test_each_says_what_it_is_for(self):
        for path in EXAMPLES.glob("*.yaml"):
            self.assertTrue(path.read_text().startswith("# "), path)


if __name__ == "__main__":
    unittest.main()
