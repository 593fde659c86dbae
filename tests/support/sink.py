# SPDX-License-Identifier: MIT
"""The sink: a small, strict SMTP server that keeps what it takes in a folder.

Tests and the quickstart put it where the real mail server would stand. It does three things that a real
server does not: it says exactly what it was sent (envelope, parameters, content byte by byte), it notes
every breach of protocol by its client, and it misbehaves on request (see Rule).

  client --lines--> Conversation --message--> Store: ID.json, then ID.eml, both complete before the 250

A line ends with CRLF and nothing else; content ends with CRLF . CRLF and nothing else, or with BDAT LAST where
CHUNKING is among its extensions. With lmtp it says LHLO, and each recipient has a reply of its own to the end.
An address can ask for a refusal: refuse550@, defer451@ at MAIL or RCPT, data554@ (a recipient) at the end.

Use it as a class in a thread (with Sink(folder) as sink: … sink.port …) or as a program (--help).
"""
import argparse
import asyncio
import base64
import collections
import dataclasses
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import re
import signal
import ssl
import sys
import threading
import time

EXTENSIONS = ("SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN")
CHUNKING = (*EXTENSIONS, "CHUNKING", "BINARYMIME")
MECHANISMS = ("PLAIN", "LOGIN")
MAX_LINE = 16384
READ_SIZE = 65536
MAX_REMEMBERED = 5000
PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^">])*)>(.*)', re.S)
ASKED_REFUSAL = re.compile(r"^(?:refuse|defer)([45]\d\d)", re.I)
ASKED_AT_END = re.compile(r"^data([45]\d\d)", re.I)
PARAMETERS = {
    "MAIL": {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN", "ENVID": "DSN",
             "AUTH": "AUTH",
             "REQUIRETLS": "REQUIRETLS", "BY": "DELIVERBY", "MT-PRIORITY": "MT-PRIORITY",
             "HOLDFOR": "FUTURERELEASE", "HOLDUNTIL": "FUTURERELEASE"},
    "RCPT": {"NOTIFY": "DSN", "ORCPT": "DSN"},
}


class Hangup(Exception):
    """The conversation is over."""


@dataclasses.dataclass
class Rule:
    """One misbehaviour. `at` is a verb, CONNECT (the greeting), BODY (while content comes) or DOT.

    The first rule that fits is used: `match` is searched in the argument, `skip` passes that many fits by,
    `times` limits how often it works (0: always).
    """
    at: str                  # BDAT: a chunk that is not the last
    match: str = ""
    skip: int = 0
    times: int = 0
    reply: str = ""          # instead of the normal reply; lines separated by \n
    raw: str = ""            # exact bytes (latin-1) instead of the normal reply
    extra: str = ""          # exact bytes after the reply
    silent: bool = False     # no reply at all
    delay: float = 0.0       # seconds before the reply
    stall: bool = False      # no reply, and nothing more is read, until the client leaves
    trickle: float = 0.0     # seconds between the bytes of the reply
    close: bool = False      # close after the reply
    reset: bool = False      # close with RST after the reply
    store: bool = False      # DOT: keep the message whatever the reply is
    after: int = 0           # BODY: when that many bytes have come
    used: int = 0

    def fits(self, at, argument):
        if self.at.upper() != at or not re.search(self.match, argument, re.I):
            return False
        self.used += 1
        taken = self.used - self.skip
        return taken > 0 and (self.times == 0 or taken <= self.times)

    def planned(self, normal):
        """The reply text that a client will read as the answer."""
        if self.silent or self.stall:
            return ""
        return self.raw or self.reply or normal


@dataclasses.dataclass
class Options:
    folder: pathlib.Path
    hostname: str = "sink.example.org"
    context: ssl.SSLContext | None = None
    starttls: bool = True
    users: dict = dataclasses.field(default_factory=dict)
    require_auth: bool = False
    lmtp: bool = False
    mechanisms: tuple = MECHANISMS
    extensions: tuple = EXTENSIONS
    extra_lines: tuple = ()          # further EHLO lines, as they are
    size: int = 100 * 1024 * 1024
    delay: float = 0.0               # before the reply to the end of data
    read_pause: float = 0.0          # between reads of content: a slow server
    announce: bool = False           # print where each connection comes from


class Store:
    """Messages on disk. ID.eml appears last and only complete, so who sees it may read both files."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.numbers = itertools.count(1)
        self.prefix = f"{int(time.time() * 1000):X}{os.getpid():X}"

    def new_id(self):
        return f"{self.prefix}{next(self.numbers):06X}"

    def keep(self, ident, envelope, content):
        self._write(f"{ident}.json", json.dumps(envelope, indent=1).encode())
        self._write(f"{ident}.eml", content)

    def _write(self, name, data):
        temporary = self.folder / f".{name}.tmp"
        temporary.write_bytes(data)
        temporary.rename(self.folder / name)


class Message:
    """A kept message, read back."""

    def __init__(self, path):
        self.id = path.stem
        self.content = path.read_bytes()
        self.envelope = json.loads(path.with_suffix(".json").read_text())

    @property
    def sender(self):
        return self.envelope["sender"]

    @property
    def recipients(self):
        return [r["address"] for r in self.envelope["recipients"]]


def read_messages(folder):
    """All messages of a folder, oldest first."""
    return [Message(p) for p in sorted(pathlib.Path(folder).glob("*.eml"))]


class Conversation:
    """One connection: its state, and all that was said. Lives as long as the sink remembers it."""

    def __init__(self, sink, reader, writer):
        self.sink, self.reader, self.writer = sink, reader, writer
        self.options = sink.options
        self.buffer = bytearray()
        self.commands = collections.deque(maxlen=MAX_REMEMBERED)  # command lines, as text without CRLF
        self.replies = collections.deque(maxlen=MAX_REMEMBERED)   # replies, as sent
        self.violations = []     # what the client did wrong
        self.messages = []       # ids of messages taken
        self.content_seen = 0    # bytes of content of the last message, complete or not
        self.aborted = False     # the connection ended inside content
        self.open = True
        self.tls = self.sni = self.user = None
        self.resumed = False
        self.helo = ""
        self.forget()
        self.note_tls()

    def forget(self):
        self.sender = None
        self.sender_parameters = []
        self.recipients = []
        self.chunks = None       # content so far, once BDAT has begun

    def note_tls(self):
        over = self.writer.get_extra_info("ssl_object")
        if over is not None:
            self.tls, self.resumed = over.version(), over.session_reused
            self.sni = getattr(over, "sni", None)

    # ---- bytes ----

    async def fill(self):
        data = await self.reader.read(READ_SIZE)
        if not data:
            raise Hangup
        self.buffer += data

    async def line(self):
        """The next line without its CRLF."""
        start = 0
        while (end := self.buffer.find(b"\r\n", start)) < 0:
            if len(self.buffer) > MAX_LINE:
                self.violations.append("line too long")
                raise Hangup
            start = max(0, len(self.buffer) - 1)
            await self.fill()
        line = bytes(self.buffer[:end])
        del self.buffer[:end + 2]
        return line

    async def content(self):
        """Everything up to CRLF . CRLF, dots unstuffed."""
        raw, start = bytearray(b"\r\n") + self.buffer, 0
        self.buffer.clear()
        while (end := raw.find(b"\r\n.\r\n", start)) < 0:
            start = max(0, len(raw) - 4)
            self.content_seen = len(raw) - 2
            await self.misbehave_in_content()
            if self.options.read_pause:
                await asyncio.sleep(self.options.read_pause)
            await self.fill()
            raw += self.buffer
            self.buffer.clear()
        self.content_seen = end
        self.buffer += raw[end + 5:]
        return re.sub(rb"\r\n\.", b"\r\n", bytes(raw[:end + 2]))[2:]

    async def misbehave_in_content(self):
        for rule in self.sink.rules:
            if rule.at.upper() == "BODY" and self.content_seen >= rule.after and rule.fits("BODY", ""):
                await self.obey(rule, "")

    async def send(self, text, trickle=0.0):
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        self.replies.append(data.decode("latin-1"))
        if not trickle:
            self.writer.write(data)
            return await self.writer.drain()
        for i in range(len(data)):
            self.writer.write(data[i:i + 1])
            await self.writer.drain()
            await asyncio.sleep(trickle)

    async def obey(self, rule, normal):
        await asyncio.sleep(rule.delay)
        if rule.stall:
            while await self.reader.read(READ_SIZE):
                pass
            raise Hangup
        if rule.raw:
            await self.send(rule.raw.encode("latin-1"), rule.trickle)
        elif not rule.silent and (rule.reply or normal):
            await self.send(as_reply(rule.reply or normal), rule.trickle)
        if rule.extra:
            await self.send(rule.extra.encode("latin-1"))
        if rule.reset:
            self.writer.transport.abort()
        if rule.reset or rule.close:
            raise Hangup

    async def answer(self, at, argument, normal):
        """Sends the reply, or what a rule makes of it. Returns its first digit."""
        rule = self.sink.rule_for(at, argument)
        if rule is None:
            await self.send(as_reply(normal))
            return normal[:1]
        await self.obey(rule, normal)
        return rule.planned(normal)[:1]

    # ---- the dialogue ----

    async def run(self):
        try:
            await self.answer("CONNECT", "", f"220 {self.options.hostname} ESMTP sink")
            while True:
                await self.command(await self.line())
        except (Hangup, OSError, asyncio.CancelledError):  # OSError: lost, or a failed handshake
            pass
        finally:
            self.open = False
            self.writer.close()

    async def command(self, line):
        text = line.decode("utf-8", "surrogateescape")
        self.commands.append(text)
        if any(c in line for c in (b"\r", b"\n", b"\0")):
            self.violations.append(f"control character in command {line!r}")
            return await self.send("500 5.5.2 Bare CR, LF or NUL\r\n")
        verb, _, argument = text.partition(" ")
        handler = getattr(self, f"do_{verb.lower()}", None) if verb.isalpha() else None
        if handler is None:
            return await self.answer(verb.upper(), argument, f"502 5.5.2 {verb[:20]}: unknown command")
        await handler(argument)

    async def do_lhlo(self, argument):
        if not self.options.lmtp:
            return await self.answer("LHLO", argument, "502 5.5.2 This is SMTP")
        await self.hello(argument)

    def extensions(self):
        """Keywords that are offered: of "DELIVERBY 240" the first word."""
        return {e.partition(" ")[0] for e in self.options.extensions}

    async def do_ehlo(self, argument):
        if self.options.lmtp:
            return await self.answer("EHLO", argument, "500 5.5.1 This is LMTP")
        await self.hello(argument)

    async def hello(self, argument):
        self.helo = argument
        self.forget()
        await self.answer("EHLO", argument, "250 " + "\n".join([f"{self.options.hostname} at your service"]
                                                               + self.offers()))

    def offers(self):
        o = self.options
        lines = [f"SIZE {o.size}" if e == "SIZE" else e for e in o.extensions]
        if o.context and o.starttls and not self.tls:
            lines.append("STARTTLS")
        if o.users:
            lines.append("AUTH " + " ".join(o.mechanisms))
        return lines + list(o.extra_lines)

    async def do_helo(self, argument):
        self.helo = argument
        self.forget()
        await self.answer("HELO", argument, f"250 {self.options.hostname}")

    async def do_noop(self, argument):
        await self.answer("NOOP", argument, "250 2.0.0 Ok")

    async def do_rset(self, argument):
        self.forget()
        await self.answer("RSET", argument, "250 2.0.0 Flushed")

    async def do_vrfy(self, argument):
        await self.answer("VRFY", argument, "252 2.1.5 Send some mail, I'll try my best")

    async def do_help(self, argument):
        await self.answer("HELP", argument, "214 2.0.0 It is a sink\n2.0.0 It takes mail")

    async def do_quit(self, argument):
        await self.answer("QUIT", argument, "221 2.0.0 Bye")
        raise Hangup

    async def do_starttls(self, argument):
        o = self.options
        if not o.context or not o.starttls or self.tls:
            return await self.answer("STARTTLS", argument, "503 5.5.1 TLS is not offered here")
        if self.buffer:
            self.violations.append("bytes sent before the reply to STARTTLS")
            self.buffer.clear()
        if await self.answer("STARTTLS", argument, "220 2.0.0 Go ahead") != "2":
            return
        await self.writer.start_tls(o.context)
        self.reader._transport = self.writer.transport  # 3.11 leaves the old one: flow control would stop
        self.note_tls()
        self.helo = ""
        self.forget()

    async def do_mail(self, argument):
        if self.sender is not None:
            return await self.answer("MAIL", argument, "503 5.5.1 Nested MAIL")
        if self.options.require_auth and not self.user:
            return await self.answer("MAIL", argument, "530 5.7.0 Authentication required")
        address, parameters, error = self.parse_path("MAIL", "FROM:", argument)
        if await self.answer("MAIL", argument, error or asked(address) or "250 2.1.0 Ok") == "2":
            self.sender, self.sender_parameters = address, parameters

    async def do_rcpt(self, argument):
        if self.sender is None:
            return await self.answer("RCPT", argument, "503 5.5.1 MAIL first")
        address, parameters, error = self.parse_path("RCPT", "TO:", argument)
        if await self.answer("RCPT", argument, error or asked(address) or "250 2.1.5 Ok") == "2":
            self.recipients.append({"address": address, "parameters": parameters})

    def parse_path(self, verb, keyword, argument):
        found = PATH.match(argument[len(keyword):])
        if argument[:len(keyword)].upper() != keyword or not found:
            return "", [], f"501 5.5.4 Syntax: {verb} {keyword}<address>"
        address, parameters = found[1], found[2].split(" ")[1:]
        for p in parameters:
            extension = PARAMETERS[verb].get(p.partition("=")[0].upper())
            offered = extension in self.extensions() or (extension == "AUTH" and self.options.users)
            if not offered:
                self.violations.append(f"parameter {p} was not offered")
                return address, [], f"555 5.5.4 Unsupported parameter {p}"
        return address, parameters, self.size_error(parameters)

    def size_error(self, parameters):
        sizes = [int(p[5:]) for p in parameters if re.fullmatch(r"SIZE=\d+", p, re.I)]
        return "552 5.3.4 Message too big" if sizes and sizes[0] > self.options.size else ""

    async def do_data(self, argument):
        binary = "BODY=BINARYMIME" in (p.upper() for p in self.sender_parameters)
        if self.sender is None or not self.recipients or self.chunks is not None or binary:
            return await self.answer("DATA", argument, "503 5.5.1 No valid recipients, or BDAT is due")
        if self.buffer:
            self.violations.append("content sent before 354")
        if await self.answer("DATA", argument, "354 End data with <CR><LF>.<CR><LF>") != "3":
            return
        self.aborted = True
        content = await self.content()
        self.aborted = False
        await self.finish(content)
        self.forget()

    async def do_bdat(self, argument):
        size, _, last = argument.partition(" ")
        if "CHUNKING" not in self.options.extensions or not size.isdigit() or last.upper() not in ("", "LAST"):
            self.violations.append(f"BDAT {argument}")
            await self.send("521 5.5.4 Bad BDAT\r\n")
            raise Hangup
        self.aborted = True
        chunk = await self.octets(int(size))
        if self.sender is None or not self.recipients:
            self.aborted = False
            return await self.answer("BDAT", argument, "503 5.5.1 No valid recipients")
        self.chunks = (self.chunks or b"") + chunk
        if not last:
            if await self.answer("BDAT", argument, f"250 2.0.0 {size} octets") != "2":
                self.forget()
            return
        self.aborted = False
        await self.finish(self.chunks)
        self.forget()

    async def octets(self, count):
        while len(self.buffer) < count:
            self.content_seen = len(self.buffer)
            await self.misbehave_in_content()
            if self.options.read_pause:
                await asyncio.sleep(self.options.read_pause)
            await self.fill()
        self.content_seen = count
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        return octets

    async def finish_each(self, content):
        """LMTP: one reply for each recipient, as asked by its address; kept with those that took it."""
        ident = self.sink.store.new_id()
        replies = []
        for r in self.recipients:
            found = ASKED_AT_END.match(r["address"])
            replies.append(f"{found[1]} {found[1][0]}.7.0 As asked by <{r['address']}>" if found
                           else f"250 2.1.5 <{r['address']}> delivered as {ident}")
        self.recipients = [r for r, reply in zip(self.recipients, replies) if reply[0] == "2"]
        if self.recipients:
            self.sink.store.keep(ident, self.envelope(content), content)
            self.messages.append(ident)
        for reply in replies:
            await self.answer("DOT", self.sender, reply)

    async def finish(self, content):
        if self.options.lmtp:
            return await self.finish_each(content)
        ident = self.sink.store.new_id()
        normal = self.asked_at_end() or f"250 2.0.0 Ok: queued as {ident}"
        if len(content) > self.options.size:
            normal = "552 5.3.4 Message too big"
        await asyncio.sleep(self.options.delay)
        rule = self.sink.rule_for("DOT", self.sender)
        if rule is None or rule.store:
            keep = normal.startswith("2") or rule is not None
        else:
            keep = rule.planned(normal).startswith("2")
        if keep:
            self.sink.store.keep(ident, self.envelope(content), content)
            self.messages.append(ident)
        if rule is None:
            return await self.send(as_reply(normal))
        await self.obey(rule, normal)

    def asked_at_end(self):
        for r in self.recipients:
            if found := ASKED_AT_END.match(r["address"]):
                return f"{found[1]} {found[1][0]}.7.0 As asked by <{r['address']}>"
        return ""

    def envelope(self, content):
        return {
            "helo": self.helo, "tls": self.tls, "sni": self.sni, "user": self.user, "sender": self.sender,
            "sender_parameters": self.sender_parameters, "recipients": self.recipients,
            "bytes": len(content), "bare_lf": len(re.findall(rb"(?<!\r)\n", content)),
            "bare_cr": len(re.findall(rb"\r(?!\n)", content)), "nul": content.count(0),
        }

    # ---- AUTH ----

    async def do_auth(self, argument):
        if not self.options.users:
            return await self.answer("AUTH", argument, "502 5.5.1 AUTH is not offered")
        if self.user:
            return await self.answer("AUTH", argument, "503 5.5.1 Already authenticated")
        mechanism, _, initial = argument.partition(" ")
        step = {"PLAIN": self.auth_plain, "LOGIN": self.auth_login, "CRAM-MD5": self.auth_cram}
        if mechanism.upper() not in self.options.mechanisms or mechanism.upper() not in step:
            return await self.answer("AUTH", argument, "504 5.5.4 Unknown mechanism")
        try:
            user = await step[mechanism.upper()](initial)
        except ValueError:
            return await self.answer("AUTH", mechanism, "501 5.5.2 Not base64, or cancelled")
        normal = "235 2.7.0 Welcome" if user else "535 5.7.8 Wrong user or password"
        if await self.answer("AUTH", mechanism, normal) == "2":
            self.user = user

    async def challenge(self, text):
        await self.send(f"334 {base64.b64encode(text.encode()).decode()}\r\n")
        line = await self.line()
        if line == b"*":
            raise ValueError
        return base64.b64decode(line, validate=True).decode()

    async def auth_plain(self, initial):
        given = base64.b64decode(initial, validate=True).decode() if initial else await self.challenge("")
        parts = given.split("\0")
        return parts[1] if len(parts) == 3 and self.options.users.get(parts[1]) == parts[2] else None

    async def auth_login(self, initial):
        user = (base64.b64decode(initial, validate=True).decode() if initial
                else await self.challenge("Username:"))
        password = await self.challenge("Password:")
        return user if self.options.users.get(user) == password else None

    async def auth_cram(self, _initial):
        nonce = f"<{time.time_ns()}@{self.options.hostname}>"
        user, _, digest = (await self.challenge(nonce)).rpartition(" ")
        right = hmac.new(self.options.users.get(user, "").encode(), nonce.encode(), hashlib.md5).hexdigest()
        return user if user in self.options.users and hmac.compare_digest(digest, right) else None


def as_reply(text):
    """'250 a\\nb' -> '250-a CRLF 250 b CRLF'."""
    code, first = text[:4].strip(), text[4:]
    lines = first.split("\n")
    return "".join(f"{code}{' ' if i == len(lines) - 1 else '-'}{line}\r\n" for i, line in enumerate(lines))


def asked(address):
    found = ASKED_REFUSAL.match(address)
    return f"{found[1]} {found[1][0]}.1.1 <{address}>: as asked" if found else ""


def server_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda connection, name, _context: setattr(connection, "sni", name)
    return context


class Sink:
    """The server in a thread of its own. Use as a context manager.

    certificate, key: both STARTTLS on `port` and implicit TLS on `tls_port` are then offered.
    rules: Rule objects or dicts; assign to .rules to change them between sessions.
    """

    def __init__(self, folder, host="127.0.0.1", port=0, tls_port=None, certificate=None, key=None, rules=(),
                 **options):
        context = server_context(certificate, key) if certificate else None
        self.options = Options(pathlib.Path(folder), context=context, **options)
        self.store = Store(folder)
        self.host, self.port, self.tls_port = host, port, tls_port
        self.set_rules(rules)
        self.conversations = collections.deque(maxlen=MAX_REMEMBERED)
        self.connections = 0
        self.peers = []          # the address of each connection
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def set_rules(self, rules):
        self.rules = [r if isinstance(r, Rule) else Rule(**r) for r in rules]

    def rule_for(self, at, argument):
        return next((r for r in self.rules if r.fits(at, argument or "")), None)

    # ---- life ----

    def __enter__(self):
        self.thread.start()
        self.ready.wait()
        if self.error:
            raise self.error
        return self

    def __exit__(self, *_exc):
        self.stop()

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.done.set)
            self.thread.join()

    def _run(self):
        try:
            self.loop.run_until_complete(self.serve())
        except OSError as error:
            self.error = error
        finally:
            self.ready.set()
            self.loop.close()

    async def serve(self):
        self.done = asyncio.Event()
        servers = [await asyncio.start_server(self._talk, self.host, self.port, limit=1 << 20, backlog=1024)]
        self.port = servers[0].sockets[0].getsockname()[1]
        if self.options.context and self.tls_port is not None:
            servers.append(await asyncio.start_server(self._talk, self.host, self.tls_port, limit=1 << 20,
                                                      backlog=1024, ssl=self.options.context))
            self.tls_port = servers[1].sockets[0].getsockname()[1]
        self.ready.set()
        await self.done.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    async def _talk(self, reader, writer):
        conversation = Conversation(self, reader, writer)
        self.conversations.append(conversation)
        self.connections += 1
        self.peers.append((writer.get_extra_info("peername") or ("",))[0])
        if self.options.announce:
            print(f"connect from [{self.peers[-1]}]", flush=True)
        await conversation.run()

    # ---- what tests ask ----

    def messages(self):
        return read_messages(self.options.folder)

    def violations(self):
        return [v for c in list(self.conversations) for v in c.violations]

    def commands(self):
        """Every command of every conversation, in order of connection."""
        return [line for c in list(self.conversations) for line in list(c.commands)]


def arguments():
    p = argparse.ArgumentParser(description="A small SMTP server that keeps what it takes in a folder.")
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0, help="0: a free one, printed")
    p.add_argument("--tls-port", type=int, help="implicit TLS; needs --certificate")
    p.add_argument("--folder", required=True)
    p.add_argument("--certificate")
    p.add_argument("--key")
    p.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD")
    p.add_argument("--require-auth", action="store_true")
    p.add_argument("--omit", action="append", default=[], metavar="EXTENSION")
    p.add_argument("--chunking", action="store_true", help="offer CHUNKING and BINARYMIME as well")
    p.add_argument("--size", type=int, default=100 * 1024 * 1024)
    p.add_argument("--delay", type=float, default=0.0, help="seconds before the reply to the end of data")
    p.add_argument("--read-pause", type=float, default=0.0, help="seconds between reads of content")
    p.add_argument("--announce", action="store_true", help="print where each connection comes from")
    p.add_argument("--script", help="JSON file: a list of rules, see class Rule")
    return p.parse_args()


def main():
    a = arguments()
    rules = json.loads(pathlib.Path(a.script).read_text()) if a.script else ()
    sink = Sink(a.folder, a.host, a.port, a.tls_port, a.certificate, a.key, rules,
                users=dict(u.split(":", 1) for u in a.user), require_auth=a.require_auth, size=a.size,
                delay=a.delay, read_pause=a.read_pause, announce=a.announce,
                extensions=tuple(e for e in (CHUNKING if a.chunking else EXTENSIONS)
                                 if e not in {o.upper() for o in a.omit}))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with sink:
            print(f"sink: {sink.host}:{sink.port}", flush=True)
            stop.wait()
    except OSError as error:
        sys.exit(f"sink: cannot listen on {a.host}:{a.port}: {error.strerror or error}")


if __name__ == "__main__":
    main()
