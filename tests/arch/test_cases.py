# SPDX-License-Identifier: MIT
"""The table of cases tells the truth: every case has its row, and every test that a row names exists."""
import ast
import functools
import pathlib
import re
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
TABLE = TESTS / "cases.md"
CASES = {  # the numbers of the catalogue, which skips some
    "SM": "2-20 24 26 28-30 32-37 39 40", "BD": "1-3 6 7 9 10 12-14 16-25", "TL": "5-10 12-18 20-30",
    "CP": "1-4 6-9 11-13 15-18 20-28 30-36", "UR": "3 6 8-26", "RE": "2-5 7-22", "FT": "5-21",
    "TN": "1-14",
}
ROW = re.compile(r"^\| ([A-Z]{2}-\d\d) \| ([^|]+) \| ([^|]+) \|$")
NAME = re.compile(r"`((?:e2e|interop|unit|transcripts|fuzz)/[^`\s]+)`")
SAME = re.compile(r"as ([A-Z]{2}-\d\d)\b")


def numbers(text):
    for word in text.split():
        first, _, last = word.partition("-")
        yield from range(int(first), int(last or first) + 1)


def wanted():
    return [f"{area}-{n:02}" for area, text in CASES.items() for n in numbers(text)]


def rows():
    """Case: what its last column says."""
    return [(m[1], m[3]) for m in map(ROW.match, TABLE.read_text().splitlines()) if m]


@functools.cache
def methods(path):
    """Class: its test methods, those of its bases in the same file among them."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            own = {f.name for f in node.body if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")}
            bases = [found.get(b.id, set()) for b in node.bases if isinstance(b, ast.Name)]
            found[node.name] = own.union(*bases)
    return found


def python_test(name):
    module, _, rest = name.partition(".")
    path = TESTS / f"{module}.py"
    found = methods(path) if path.is_file() else {}
    class_name, _, method = rest.partition(".")
    return class_name in found and (method in found[class_name] if method else bool(found[class_name]))


def unit_test(name):
    module, _, function = name.rpartition(".")
    path = TESTS / f"{module}.c"
    return path.is_file() and re.search(rf"cmocka_unit_test\w*\(\s*{function}\b", path.read_text()) is not None


EXISTS = {
    "e2e": python_test, "interop": python_test, "unit": unit_test,
    "transcripts": lambda name: (TESTS / f"{name}.txt").is_file(),
    "fuzz": lambda name: (TESTS / "fuzz" / f"fuzz_{name.partition('/')[2]}.c").is_file(),
}


class Cases(unittest.TestCase):
    def test_every_case_has_one_row(self):
        self.assertEqual([case for case, _ in rows()], wanted())

    def test_every_row_names_tests_or_says_why_not(self):
        names = dict(rows())
        for case, text in names.items():
            with self.subTest(case):
                same = SAME.match(text)
                self.assertTrue(NAME.search(names[same[1]] if same else text) or len(text) > 40)

    def test_every_test_that_is_named_exists(self):
        named = NAME.findall(TABLE.read_text().partition("\n## ")[2])  # behind the examples of names
        self.assertGreater(len(named), 200)
        self.assertEqual([name for name in named if not EXISTS[name.partition("/")[0]](name)], [])

    def test_tests_that_carry_a_case_in_their_name_stand_in_the_table(self):
        text = TABLE.read_text()
        for path in sorted((TESTS / "e2e").glob("test_case_*.py")):
            for name, found in methods(path).items():
                whole = f"{path.stem}.{name}`" in text
                wrong = [m for m in sorted(found) if re.match(r"test_[a-z]{2}\d\d", m) and m not in text]
                self.assertTrue(whole or not wrong, (path.name, name, wrong))


if __name__ == "__main__":
    unittest.main()
