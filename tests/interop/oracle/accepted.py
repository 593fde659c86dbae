# SPDX-License-Identifier: MIT
"""The differences between talking to a server and talking to it through postern that are as they should be.

Everything else is a fault. `own` names postern's reply in proxy/session/replies.def (HELLO: greeting and EHLO), so that
a reply of the server's that went wrong on its way can never pass for one of these; rules without it are for replies
of the server's that it would not have given to the client itself. The first rule that fits is the one.
"""
import dataclasses
import functools
import pathlib
import re

REPLIES = pathlib.Path(__file__).resolve().parents[3] / "proxy" / "session" / "replies.def"
REPLY = re.compile(r'^REPLY\((\w+), (\d+), "([\d.]*)", "([^"]*)"', re.M)
SESSION_ID = re.compile(r" \([0-9a-f]+\)$")


@dataclasses.dataclass(frozen=True)
class Rule:
    name: str
    reason: str
    own: str = ""          # postern's reply: a regular expression for its whole name; "": none of its own
    direct: str = ""       # the server's reply, from its start; default: the same code. "0 closed": it had none
    label: str = ""        # what is answered, from its start, any case
    through: str = ""      # what came through postern, from its start
    parts: bool = False    # the sessions are in different states from here on
    forgives: tuple = ()   # parameters of MAIL in which the messages of this session may differ
    streams: bool = False  # only where bodies are streamed

    def fits(self, own, direct, through):
        return bool(re.fullmatch(self.own, own) and re.match(self.direct or str(through.code), str(direct))
                    and re.match(self.label, direct.label, re.I) and re.match(self.through, str(through)))


SYNTAX = ("BAD_COMMAND|UNKNOWN|NEEDS_ARGUMENT|TAKES_NO_ARGUMENT|BAD_HELO|BAD_SENDER|BAD_RCPT|BAD_PARAMETER|"
          "UNKNOWN_PARAMETER")
ORDER = "NEED_HELO|NESTED_MAIL|NEED_MAIL|NEED_RCPT|NOT_IN_MAIL|AUTH_TWICE|AUTH_NOT_OFFERED|TLS_UNAVAILABLE"
TROUBLE = r"\w*(UPSTREAM|LOST|SPACE|MEMORY|IDLE|SHUTDOWN|TOO_MANY)"  # never an answer that a server gave as well
SLOPPY = r"(MAIL|RCPT)(  | (FROM|TO): |.*>  )|.* $|mail from:.*(size|body|ret)="

RULES = (
    # smuggling, and talking out of turn
    Rule("bare newline",
         "bare CR, bare LF and NUL in content are refused, whatever the server would do (Postfix 3.7 and Exim 4.96 end "
         "messages at some of them)",
         own="BARE_NEWLINE|NUL_BYTE", direct="[245]", parts=True),
    Rule("synchronisation",
         "who talks before his turn, after a command that ends a pipelined group, is refused (RFC 2920 3.1); Exim and "
         "OpenSMTPD do that too. What came in time to be seen depends on the network",
         own="OUT_OF_TURN|OK|VRFY|BYE|HELLO", direct="[02354]", label="after: (commands behind|content before|early)",
         parts=True),
    Rule("early talker", "is seen where the bytes were there before the greeting went out, which is luck",
         own="OUT_OF_TURN", direct="220", label="greeting", parts=True),
    Rule("early talker to Exim", "the same, the other way round",
         own="HELLO", direct="554", label="greeting", parts=True),
    # what closes, or leaves the state in doubt
    Rule("pipelining", "Exim refuses pipelined commands of who said HELO, or nothing, and closes; postern takes them",
         own=r"\w*", direct="554 SMTP synchronization error", parts=True),
    Rule("closed at once", "the reply, and the end: a line that nobody can delimit, chunks that were not offered",
         own="BAD_LINE_END|LINE_FLOOD|BDAT_NOT_OFFERED", direct="[25]", label="after|BDAT", parts=True),
    Rule("long lines", "a command line has a limit (limits.command_line); Postfix cuts it, others have a larger one",
         own="LINE_TOO_LONG|LINE_FLOOD", direct="[25]", parts=True),
    Rule("failed BDAT",
         "what follows it is undefined until RSET (RFC 3030 2): Postfix has then forgotten the transaction, postern "
         "and Exim have not",
         own="NEED_MAIL|NEED_RCPT|NO_VALID_RCPT", direct="[45]", label="BDAT", parts=True),
    Rule("8-bit commands", "what is not UTF-8 is no command",
         own="BAD_COMMAND", direct="[25]", label="after: 8-bit", parts=True),
    Rule("nested MAIL", "Postfix 3.7 refuses it, and forgets parameters of the first",
         own="NESTED_MAIL", direct="503 5.5.1 Error: nested MAIL", forgives=("BODY", "RET", "ENVID", "SMTPUTF8")),
    Rule("written anew",
         "a command is parsed and written again, so blanks and letters in a parameter's name reach the server as the "
         "grammar has them; some servers refuse what was sloppy",
         own="|OK|START_CONTENT", direct="50|555", label=SLOPPY, through="[2345]", parts=True),
    Rule("own words", "postern answers this itself, with the server's code",
         own=rf"(?!{TROUBLE})\w+"),
    # both refuse
    Rule("refused at once",
         "postern refuses what is no command, or out of order, before it asks the server; the servers themselves have "
         "different codes for it (500, 501, 503, 550, 553, 554, 555)",
         own=f"{SYNTAX}|{ORDER}", direct="5"),
    Rule("mechanism", "504 is RFC 4954's code for an unknown mechanism; Postfix with Dovecot says 535",
         own="AUTH_MECHANISM", direct="5"),
    Rule("not served", "EXPN, ETRN and TURN are for the server's own administrator; 502 whatever the server says",
         own="NOT_SERVED|NEED_HELO", direct="[245]", label="EXPN|ETRN|TURN"),
    Rule("size", "a size of twenty digits is refused at once; the others refuse it as a number, or take it",
         own="TOO_BIG", direct="[25]", parts=True),
    # postern is stricter
    Rule("strict paths",
         "an address that the grammar of RFC 5321 does not have, or longer than limits.local_part, is not passed on: "
         "what postern cannot parse, its filters could not judge",
         own="BAD_SENDER|BAD_RCPT", direct="250", parts=True),
    Rule("strict parameters", "the same, for parameters: given twice, without a value or with a wrong one",
         own="BAD_PARAMETER", direct="250|4|55[024]", parts=True),
    Rule("SMTPUTF8 must be said", "an address beyond ASCII without the parameter (RFC 6531 3.4)",
         own="NEED_SMTPUTF8", direct="[245]", parts=True),
    Rule("HELO first", "postern wants it, as RFC 5321 4.1.4 does; Postfix does not, unless told",
         own="NEED_HELO", direct="[234]|552", parts=True),
    Rule("HELO names", "a name of an EHLO that is none, or has an argument too many",
         own="BAD_HELO", direct="250", parts=True),
    Rule("arguments", "an argument too many, or missing; some servers do not look",
         own="TAKES_NO_ARGUMENT|NEEDS_ARGUMENT", direct="[23]", parts=True),
    Rule("leading white space", "is not part of any command; Postfix skips it",
         own="BAD_COMMAND", direct="250", label=r"\s", parts=True),
    Rule("AUTH in a transaction", "503 (RFC 4954 4); the sink and aiosmtpd do not look",
         own="NOT_IN_MAIL", direct="[23]", parts=True),
    # what postern answers in the server's place
    Rule("HELP", "postern's own; Postfix has none",
         own="HELP", direct="[25]"),
    Rule("VRFY", "postern's own; OpenSMTPD does not know it, Postfix asks its access rules",
         own="VRFY", direct="[45]"),
    Rule("NOOP, RSET", "postern's own; OpenSMTPD takes no argument, and nothing before EHLO",
         own="OK", direct="50[03]", label="NOOP|RSET", parts=True),
    Rule("EHLO", "postern's own: OpenSMTPD refuses a second one, Exim and OpenSMTPD refuse names that others take",
         own="HELLO", direct="50[013]", label="EHLO|HELO", parts=True),
    Rule("MAILFROM:", "no command; Postfix takes it for a header line and hangs up",
         own="UNKNOWN", direct="221", label="MAILFROM", parts=True),
    Rule("too big, later",
         "chunks are held, and refused as a whole at the last one; Postfix says so at the one that is too much",
         own="CHUNK_OK", direct="552", label="BDAT", parts=True),
    Rule("empty chunk", "BDAT 0 is a chunk like any other; Exim and Postfix want none",
         own="CHUNK_OK", direct="504 zero size|551 5.7.1 Null BDAT", label="BDAT", parts=True),
    Rule("hang-up",
         "a server that hangs up on its client (Postfix after a chunk over its limit) hangs up on postern, which goes "
         "on with another connection",
         own=r"\w*", direct="0 closed", parts=True),
    # replies of the server's that it would not have given the client
    Rule("streamed", "a body that streams goes by BDAT where the server has it, so that RSET can end it",
         direct="250 (2.0.0 Ok: queued as|OK id=)|552 5.3.4 Error: message file too big", label="content",
         through="250 .*(bytes queued as|byte chunk)|552 5.3.4 Chunk exceeds", streams=True),
    Rule("chunks together", "held chunks go on as one; Exim tells the size of the last",
         direct="250 .* byte chunk", label="BDAT LAST", through="250 .* byte chunk"),
    Rule("size remembered", "Postfix 3.7 remembers the SIZE of a MAIL that it refused, until the next RSET",
         direct="552 5.3.4 Message size exceeds fixed limit", label="MAIL", through="[245]", parts=True),
    Rule("EHLO upstream",
         "the server is greeted with EHLO although this client said HELO or nothing yet, so it takes parameters and "
         "AUTH",
         direct="501|50[03] .*(AUTH|All RCPT commands were rejected)", through="[2-5]", parts=True),
)


@functools.cache
def own_replies():
    """{(code, text): name}, from the table that the daemon is made from."""
    found = REPLY.findall(REPLIES.read_text())
    return {(int(code), f"{enhanced} {text}".strip()): name for name, code, enhanced, text in found}


def own_name(label, said):
    """The name in replies.def of a reply that is postern's own, HELLO for the greeting and EHLO; "" for all others."""
    if said.code == 220 or (said.code == 250 and re.match("(EHLO|HELO)|after.*(early|EHLO)", label, re.I)):
        return "HELLO"
    name = own_replies().get((said.code, SESSION_ID.sub("", said.lines[0])), "") if len(said.lines) == 1 else ""
    return "" if name == "OK" and not re.match("NOOP|RSET|after", label, re.I) else name


def rule_for(direct, through, streams=False):
    own = own_name(through.label, through)
    return next((r for r in RULES if r.streams <= streams and r.fits(own, direct, through)), None)
