# SPDX-License-Identifier: MIT
"""The manual says what the tables say: every reply of postern's own, every timer, every limit with its default, every option."""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "deploy" / "man" / "postern-smtp.7"
INTERCEPT_PAGE = ROOT / "deploy" / "man" / "postern-intercept.7"
PROGRAM_PAGE = ROOT / "deploy" / "man" / "postern.1"
OPTION = re.compile(r"^    \{'(.|\\0)', \"([a-z]+)\",", re.M)
REPLY = re.compile(r'^REPLY\(\w+, (\d+), "([^"]*)", "([^"]*)",', re.M)
SETTING = re.compile(r'^(?:LIMIT\((\w+), \w+, \w+|TIMEOUT\((\w+)), "([^"]*)"', re.M)
LITERAL = re.compile(r'"((?:421|554) [45]\.\d\.\d [^"]*?)(?:\\r\\n)?"(?:\s*"([^"]*?)\\r\\n")?')


def table(path, pattern):
    return pattern.findall((ROOT / path).read_text())


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shown = subprocess.run(["man", "-E", "ascii", "-l", str(PAGE)], capture_output=True, text=True, check=True,
                               env={"PATH": "/usr/bin:/bin", "MANWIDTH": "1000", "MANOPT": "--nj --nh", "LC_ALL": "C.UTF-8"})
        cls.text = re.sub(r"\s+", " ", re.sub(r".\x08", "", shown.stdout))
        cls.source = PAGE.read_text().replace("\\&", "")

    def has(self, text):
        self.assertTrue(text in self.text, f"the manual lacks: {text}")

    def test_every_reply(self):
        for code, enhanced, text in table("proxy/session/replies.def", REPLY):
            with self.subTest(text):
                self.has(" ".join(filter(None, (code, enhanced, text))))

    def test_every_reply_before_a_session(self):
        said = [" ".join(filter(None, words)) for path in ("proxy/admission.c", "proxy/intercept.c")
                for words in table(path, LITERAL)]
        self.assertGreaterEqual(len(said), 8)
        for text in said:
            with self.subTest(text):
                self.has(re.sub(r"\s+", " ", text))

    def test_nothing_is_said_that_the_tables_do_not_have(self):
        sources = "".join((ROOT / p).read_text() for p in ("proxy/session/replies.def", "proxy/admission.c", "proxy/intercept.c"))
        sources = re.sub(r'"\s*\n\s*"', "", sources)
        for code, enhanced, text in re.findall(r"^\.It Li (\d{3}) (?:(\d\.\d\.\d+) )?(.*)$", self.source, re.M):
            with self.subTest(text):
                self.assertTrue(text in sources, f"{code} {enhanced} {text} is no reply of postern's")

    def test_every_limit_and_timer_with_its_default(self):
        rows = table("conf/limits.def", SETTING)
        self.assertGreater(len(rows), 30)
        for limit, timer, default in rows:
            with self.subTest(limit or timer):
                self.assertTrue(f".It Cm {limit or timer} Pq {default}\n" in self.source, f"not there with default {default}")

    def test_every_option_of_the_program(self):
        options = table("proxy/main.c", OPTION)
        page = re.sub(r"(?ms)^\.Ss explain$.*?(?=^\.S[hs] )", "", PROGRAM_PAGE.read_text())
        self.assertGreaterEqual(len(options), 9)
        for letter, word in options:
            with self.subTest(word):
                self.assertRegex(page, rf"(?m)^\.It Fl {letter} , -{word}\b" if len(letter) == 1 else rf"(?m)^\.It Fl -{word}\b")
        self.assertEqual(len(re.findall(r"^\.It Fl ", page, re.M)), len(options))

    def test_every_option_of_explain(self):
        words = re.findall(r'{"(\w+)", (?:"\w+"|NULL), keep_\w+}', (ROOT / "proxy/explain/request.c").read_text())
        section = re.search(r"(?ms)^\.Ss explain$.*?(?=^\.S[hs] )", PROGRAM_PAGE.read_text())[0]
        described = re.findall(r"-(\w+)", "".join(re.findall(r"(?m)^\.It Fl .*$", section)))
        self.assertGreaterEqual(len(words), 9)
        self.assertEqual(sorted(described), sorted(set(words) - {"config"}))

    def test_the_pages_are_well_formed(self):
        for page in (PAGE, PROGRAM_PAGE):
            done = subprocess.run(["man", "--warnings", "-E", "ascii", "-l", str(page)], capture_output=True, text=True, check=True)
            self.assertEqual(done.stderr, "", page)


class Intercept(unittest.TestCase):
    def test_every_option_of_the_script(self):
        script = (ROOT / "deploy" / "intercept").read_text()
        usage = script[:script.index("set -u")]
        page = INTERCEPT_PAGE.read_text()
        options = set(re.findall(r"--([a-z-]+)", usage))
        self.assertGreater(len(options), 10)
        for option in options:
            with self.subTest(option):
                self.assertIn(f"\n.It Fl -{option}", page)
                self.assertIn(f"\n.Op Fl -{option}", page)

    def test_it_is_well_formed(self):
        done = subprocess.run(["man", "--warnings", "-E", "ascii", "-l", str(INTERCEPT_PAGE)], capture_output=True, text=True,
                              check=True)
        self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    unittest.main()
