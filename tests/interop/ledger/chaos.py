# SPDX-License-Identifier: MIT
"""A bad network between postern and its upstream: a TCP proxy that splits, stalls, cuts and swallows.

    postern --> Chaos --> upstream

Each connection has one trouble or none, chosen when it begins; it strikes when a number of bytes has passed. While
`calm` is set nothing more happens. Split keeps every byte; the others lose what a real network can lose: the rest of
the connection, or only the replies (mute), which is what leaves a sender in doubt.
"""
import asyncio
import contextlib
import random
import threading

TROUBLES = {"none": 10, "split": 4, "stall": 2, "cut": 2, "reset": 2, "mute": 2}
LARGEST = 200000  # bytes before the trouble strikes, at most
READ_SIZE = 65536


class Link:
    """One connection through the proxy, in both directions."""

    def __init__(self, chaos, client, server):
        self.chaos = chaos
        self.ends = (client, server)
        words = list(TROUBLES)
        self.trouble = chaos.chance.choices(words, [TROUBLES[w] for w in words])[0]
        self.after = int(LARGEST ** chaos.chance.random())
        self.passed = 0
        self.muted = False

    async def run(self):
        (c_reader, c_writer), (s_reader, s_writer) = self.ends
        pumps = [asyncio.ensure_future(self.pump(c_reader, s_writer, False)),
                 asyncio.ensure_future(self.pump(s_reader, c_writer, True))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def pump(self, reader, writer, to_client):
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_SIZE):
                self.passed += len(data)
                if self.passed >= self.after and not self.chaos.calm:
                    await self.strike(data)
                if self.muted and to_client:
                    continue
                await self.write(writer, data)

    async def write(self, writer, data):
        if self.trouble != "split" or self.chaos.calm:
            writer.write(data)
            return await writer.drain()
        while data:
            n = self.chaos.chance.choice((1, 2, 3, 50, 5000))
            writer.write(data[:n])
            await writer.drain()
            data = data[n:]
            await asyncio.sleep(0)

    async def strike(self, data):
        """What this connection suffers, when it is due; cut and reset end both sides in the midst of `data`."""
        trouble, (client, server) = self.trouble, self.ends
        if trouble == "split":
            return
        self.trouble = "none"
        if trouble == "stall":
            await asyncio.sleep(self.chaos.chance.uniform(0.2, 3.5))
        elif trouble == "mute":
            self.muted = True
            asyncio.get_running_loop().call_later(1.0, server[1].close)
        elif trouble == "reset":
            client[1].transport.abort()
            server[1].transport.abort()
        elif trouble == "cut":
            server[1].write(data[:len(data) // 2])
            await server[1].drain()
            client[1].close()
            server[1].close()
        self.chaos.struck[trouble] = self.chaos.struck.get(trouble, 0) + (trouble != "none")


class Chaos:
    """The proxy, in a thread of its own. Use as a context manager."""

    def __init__(self, target, seed):
        self.target = target
        self.chance = random.Random(seed)
        self.calm = False
        self.struck = {}  # trouble -> how often
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_exc):
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join()

    def _run(self):
        try:
            self.loop.run_until_complete(self.serve())
        finally:
            self.loop.close()

    async def serve(self):
        self.done = asyncio.Event()
        server = await asyncio.start_server(self._link, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.done.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _link(self, *client):
        writers = [client[1]]
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(server[1])
            await Link(self, client, server).run()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for writer in writers:
                writer.close()
