# SPDX-License-Identifier: MIT
"""A real redis-server of the test's own, which can be stopped, started, frozen and flushed."""
import pathlib
import signal
import socket
import subprocess

from tests.support import net


class RedisServer:
    def __init__(self, folder, *options, port=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or net.free_port()
        self.options = options
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()

    def start(self):
        with open(self.folder / "redis.log", "ab") as out:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", str(self.folder), *self.options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        net.wait_port(self.port)

    def stop(self, first=signal.SIGTERM):
        if self.process:
            self.thaw()
            net.end_process(self.process, first=first)
            self.process = None

    def freeze(self):
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def call(self, *words):
        """One command; the raw reply, for simple replies and integers."""
        data = b"*%d\r\n" % len(words)
        for w in words:
            w = w.encode()
            data += b"$%d\r\n%s\r\n" % (len(w), w)
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.sendall(data)
            return s.recv(65536)

    def flush(self):
        """Keys and scripts."""
        return self.call("FLUSHALL") + self.call("SCRIPT", "FLUSH")

    def keys(self):
        return int(self.call("DBSIZE")[1:].strip())
