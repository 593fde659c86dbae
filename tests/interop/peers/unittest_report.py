# SPDX-License-Identifier: MIT
"""Runs a module of unittest cases and says how each one ended, a line of JSON each: ["name", true or false].

Run by the system's Python on suites of others, so it needs nothing of this tree: unittest_report.py MODULE
"""
import json
import sys
import unittest


class Result(unittest.TestResult):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.good = {}

    def note(self, test, good):
        self.good[test.id()] = self.good.get(test.id(), True) and good

    def addSuccess(self, test):
        self.note(test, True)

    def addError(self, test, err):
        self.note(test, False)

    def addFailure(self, test, err):
        self.note(test, False)

    def addSubTest(self, test, subtest, err):
        self.note(test, err is None)

    def stopTest(self, test):
        if test.id() in self.good:
            print(json.dumps([test.id(), self.good[test.id()]]), file=sys.__stdout__, flush=True)
        super().stopTest(test)


if __name__ == "__main__":
    unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:]).run(Result())
