# SPDX-License-Identifier: MIT
"""The tests' own sink as one of the servers: it is its own collector, and refuses as an address asks."""
from tests.support.servers import common


class SinkServer(common.Server):
    name = "sink"

    def __init__(self, folder):
        super().__init__(folder, size=common.SIZE_LIMIT, users={common.USER: common.PASSWORD})

    def start(self):
        self.port = self.collector.port

    def log(self):
        return "\n".join(self.collector.violations())


def make(folder):
    return SinkServer(folder)
