/* SPDX-License-Identifier: MIT */
/* The table itself; nothing but constants. A row:
 *
 *   name, type, flags, default, min, max, values, children, help
 *
 * Where an ENUM's order matters, it is that of the enum in conf.h or log.h. */
#include "conf/schema.h"

#define KIB    1024.0
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)
#define MS     1000.0
#define SECOND (1000 * MS)
#define HOUR   (3600 * SECOND)

#define END                                                                                                  \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }
#define NO_RANGE 0, 0

static const struct postern_option log_options[] = {
    {"format", POSTERN_ENUM, 0, "logfmt", NO_RANGE, "logfmt|json", NULL, "The form of a log line."},
    {"to", POSTERN_STRING, CONF_NOT_EMPTY, "stderr", NO_RANGE, NULL, NULL,
     "stderr, syslog, journal, or the path of a file."},
    {"level", POSTERN_ENUM, 0, "info", NO_RANGE, "error|warn|info|debug", NULL,
     "The least important level logged."},
    END,
};

static const struct postern_option admin_options[] = {
    {"socket", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "The socket that posternctl talks to."},
    {"http", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Where health and metrics are served."},
    END,
};

static const struct postern_option plugins_options[] = {
    {"path", POSTERN_STRING, CONF_NOT_EMPTY, "/usr/lib/postern/plugins", NO_RANGE, NULL, NULL,
     "The folder with the plugins' shared objects."},
    END,
};

static const struct postern_option limits_options[] = {
#define LIMIT(name, field, type, fallback, min, max, help)                                                   \
    {#name, type, 0, fallback, min, max, NULL, NULL, help},
#define TIMEOUT(name, fallback, help)
#include "conf/limits.def"
    {"unlimited_clients", POSTERN_STRING, POSTERN_LIST, "[127.0.0.0/8, '::1']", NO_RANGE, NULL, NULL,
     "Networks whose clients the limits per client do not hold for."},
    END,
};

static const struct postern_option timeouts_options[] = {
#define LIMIT(name, field, type, fallback, min, max, help)
#define TIMEOUT(name, fallback, help)                                                                        \
    {#name, POSTERN_DURATION, 0, fallback, 10 * MS, 24 * HOUR, NULL, NULL, help},
#include "conf/limits.def"
    END,
};

static const struct postern_option certificate_options[] = {
    {"certificate", POSTERN_STRING, POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "PEM file with the certificate and its chain."},
    {"key", POSTERN_STRING, POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "PEM file with the private key."},
    END,
};

static const struct postern_option listener_options[] = {
    {"bind", POSTERN_STRING, POSTERN_LIST | POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Addresses with ports to listen on, such as 127.0.0.1:25 or [::1]:25."},
    {"tls", POSTERN_ENUM, 0, "none", NO_RANGE,
     "none|starttls|required|implicit|mirror|pass|terminate|mint|forbid", NULL,
     "TLS with clients: none, offered (starttls), a must before MAIL (required), from the first byte "
     "(implicit), or offered exactly when the upstream offers it, and then on both sides or not at all "
     "(mirror). With intercept also: forbid (as none), terminate (as mirror), mint (as mirror, and clients "
     "are "
     "shown a copy of the server's certificate that mint_ca signs), or pass: STARTTLS is between client and "
     "server, and what follows it is counted, not filtered."},
    {"tls_min", POSTERN_ENUM, 0, "1.2", NO_RANGE, "1.2|1.3", NULL,
     "The oldest version of TLS that is spoken."},
    {"certificate", POSTERN_STRING, POSTERN_LIST | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Names of certificates; the first is the default, the others are chosen by the name a client asks for."},
    {"mint_ca", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "With tls: mint, or intercepted tls: implicit: name of the certificate of the authority that signs "
     "copies of "
     "servers' certificates; clients must trust it."},
    {"client_certificate", POSTERN_ENUM, 0, "none", NO_RANGE, "none|request|require", NULL,
     "Whether clients are asked for a certificate in the TLS handshake. One that is shown must verify "
     "against client_ca, else the handshake fails."},
    {"client_ca", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "PEM file with the authorities that clients' certificates are signed by."},
    {"upstream", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Name of the upstream that mail goes to. With intercept it may be left out; else all of its settings "
     "but 'servers' hold for intercepted servers too, and its servers are for clients that were not "
     "redirected."},
    {"policy", POSTERN_STRING, POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Name of the policy that mail is filtered by."},
    {"bare_newline", POSTERN_ENUM, 0, "reject", NO_RANGE, "reject|normalize", NULL,
     "What happens to content with CR or LF on its own."},
    {"auth_needs_tls", POSTERN_BOOL, 0, "yes", NO_RANGE, NULL, NULL,
     "AUTH is neither offered nor taken in the clear."},
    {"chunking", POSTERN_BOOL, 0, "yes", NO_RANGE, NULL, NULL,
     "Offer CHUNKING (BDAT) to clients, whether or not the upstream has it."},
    {"enforce_sync", POSTERN_BOOL, 0, "yes", NO_RANGE, NULL, NULL,
     "A client that talks before its turn gets 554."},
    {"lenient_sync", POSTERN_STRING, POSTERN_LIST, "[]", NO_RANGE, NULL, NULL,
     "Networks of clients that may talk before their turn all the same: what they say waits for it. "
     "Plaintext "
     "behind STARTTLS is an error even for them."},
    {"normalize_newlines", POSTERN_STRING, POSTERN_LIST, "[]", NO_RANGE, NULL, NULL,
     "Networks of clients whose CR or LF on its own becomes a line end or a blank, whatever bare_newline "
     "says."},
    {"vrfy", POSTERN_ENUM, 0, "answer", NO_RANGE, "refuse|relay|answer", NULL,
     "VRFY: 502 (refuse), the upstream's answer (relay), or 252 without asking anybody (answer)."},
    {"expn", POSTERN_ENUM, 0, "refuse", NO_RANGE, "refuse|relay", NULL,
     "EXPN: 502 (refuse), or the upstream's answer (relay)."},
    {"etrn", POSTERN_ENUM, 0, "refuse", NO_RANGE, "refuse|relay", NULL,
     "ETRN: 502 (refuse), or the upstream's answer (relay)."},
    {"trust_proxy", POSTERN_STRING, POSTERN_LIST, "[]", NO_RANGE, NULL, NULL,
     "Networks of proxies in front, which may, and must, name the client in a PROXY header (version 1 or 2) "
     "before "
     "anything else."},
    {"trust_xclient", POSTERN_STRING, POSTERN_LIST, "[]", NO_RANGE, NULL, NULL,
     "Networks of proxies in front, to which XCLIENT is offered: what they say of the client counts, and the "
     "session begins anew. From anybody else it is an error."},
    {"intercept", POSTERN_ENUM, 0, "none", NO_RANGE, "none|redirect|tproxy", NULL,
     "The client was brought here on its way to a server, by a NAT rule (redirect) or a TPROXY rule "
     "(tproxy), "
     "and its mail goes to the address that it meant to reach, whose greeting and EHLO it sees; by STARTTLS "
     "where that is offered, without verification, unless 'upstream' says otherwise."},
    {"source", POSTERN_ENUM, 0, "own", NO_RANGE, "own|client", NULL,
     "With intercept: the address that intercepted servers see, this host's (own) or the client's (client). "
     "For the latter the servers' answers must be routed back to this host; see postern-intercept(7)."},
    {"allow", POSTERN_STRING, POSTERN_LIST, "[]", NO_RANGE, NULL, NULL,
     "With intercept: the networks that mail may go to; empty: all of them."},
    {"deny", POSTERN_STRING, POSTERN_LIST,
     "[0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255, '::', '::1', 'fe80::/10', "
     "'ff00::/8']",
     NO_RANGE, NULL, NULL,
     "With intercept: networks that mail never goes to, even if 'allow' has them. What is written replaces "
     "the default, which has all that only this host itself can reach: write [] where programs of this host "
     "are intercepted on their way to this host."},
    END,
};

static const struct postern_option verify_options[] = {
    {"name", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "The name that the certificate must carry; without it the server's own name."},
    {"ca", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "PEM file with trusted certificates; without it the system's."},
    {"pin", POSTERN_STRING, POSTERN_LIST | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "The server's key must be one of these: SHA-256 of the SubjectPublicKeyInfo of its certificate, in "
     "hexadecimal or base64. Alone it suffices, whoever signed the certificate and whatever name and dates "
     "it "
     "carries; beside name or ca both must be good."},
    END,
};

static const struct postern_option upstream_options[] = {
    {"servers", POSTERN_STRING, POSTERN_LIST | POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Servers with ports, such as mail.example.org:25, 192.0.2.1:25 or [2001:db8::1]:25."},
    {"tls", POSTERN_ENUM, 0, "none", NO_RANGE, "none|opportunistic|required|implicit", NULL,
     "TLS with the servers: none, where offered (opportunistic), by STARTTLS (required), or from the first "
     "byte "
     "(implicit)."},
    {"tls_min", POSTERN_ENUM, 0, "1.2", NO_RANGE, "1.2|1.3", NULL,
     "The oldest version of TLS that is spoken."},
    {"verify", POSTERN_BLOCK, CONF_OR_BOOL, NULL, NO_RANGE, NULL, verify_options,
     "What the server's certificate is checked against; no: it is not checked."},
    {"dane", POSTERN_ENUM, 0, "none", NO_RANGE, "none|opportunistic|required", NULL,
     "The TLSA records of the servers in DNS, where the resolver has authenticated them: where there are "
     "some "
     "the server must be in TLS and match one, whatever 'verify' says, and where there are none 'tls' and "
     "'verify' hold (opportunistic); or there must be some (required). A server that cannot be looked up is "
     "not "
     "used. They are sought under the name in 'verify', or the server's own. The resolver in "
     "/etc/resolv.conf must validate, and be on this host."},
    {"certificate", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Name of a certificate that is shown to a server that asks for one."},
    {"identity", POSTERN_ENUM, 0, "auto", NO_RANGE, "auto|none|xclient|xforward|proxy-v1|proxy-v2|tproxy",
     NULL,
     "How the servers hear who the client is: XCLIENT or XFORWARD, whichever they offer (auto), one of them "
     "for certain, "
     "a PROXY header before the first byte, which they must expect and auto never guesses, or connections "
     "that come from the "
     "client's own address (tproxy: their answers must be routed back to this host). After XCLIENT, PROXY "
     "and with tproxy a connection is for one client's session."},
    {"connect", POSTERN_ENUM, 0, "late", NO_RANGE, "late|eager", NULL,
     "Connect when a transaction has passed the first filters (late), or with the client (eager)."},
    {"protocol", POSTERN_ENUM, 0, "smtp", NO_RANGE, "smtp|lmtp", NULL,
     "What the servers speak. With lmtp each recipient has a reply of its own; see 'Replies' in the manual."},
    {"chunking", POSTERN_ENUM, 0, "yes", NO_RANGE, "no|yes|always", NULL,
     "Use of BDAT where the server offers CHUNKING: for messages that came by BDAT or that stream (yes), so "
     "that "
     "clients of DATA read what the server says to DATA; for all of them (always), which is cheaper; or none "
     "(no)."},
    {"keep", POSTERN_COUNT, 0, "8", 0, 10000, NULL, NULL,
     "Idle connections kept per worker; 0: none is reused."},
    {"keep_time", POSTERN_DURATION, 0, "30s", 10 * MS, HOUR, NULL, NULL,
     "How long an idle connection is kept."},
    {"probe", POSTERN_DURATION, 0, "60s", 100 * MS, 24 * HOUR, NULL, NULL,
     "How often the servers are asked what they offer."},
    END,
};

static const struct postern_option policy_options[] = {
    {"filters", POSTERN_STRING, POSTERN_LIST | POSTERN_REQUIRED, NULL, NO_RANGE, NULL, NULL,
     "Names of filters, in the order in which they are asked."},
    END,
};

const struct postern_option conf_filter_options[] = {
    {"plugin", POSTERN_STRING, POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "Name of the plugin; the other options of the block are its own."},
    {"mode", POSTERN_ENUM, 0, "enforce", NO_RANGE, "enforce|shadow", NULL,
     "enforce: verdicts count; shadow: they are only logged and counted."},
    {"on_error", POSTERN_ENUM, 0, "tempfail", NO_RANGE, "tempfail|accept|reject", NULL,
     "What it means for the mail when the filter fails or its time is over."},
    {"deadline", POSTERN_DURATION, 0, "5s", MS, 10 * 60 * SECOND, NULL, NULL, "How long a verdict may take."},
    END,
};

const struct postern_option conf_schema[] = {
    {"workers", POSTERN_COUNT, 0, "2", 1, 256, NULL, NULL, "How many worker processes there are."},
    {"hostname", POSTERN_STRING, CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, NULL,
     "This host's name in greetings; without it the machine's own."},
    {"user", POSTERN_STRING, CONF_NOT_EMPTY, "nobody", NO_RANGE, NULL, NULL,
     "The user that workers run as when postern is started by root."},
    {"state_dir", POSTERN_STRING, CONF_NOT_EMPTY, "/var/tmp", NO_RANGE, NULL, NULL,
     "The folder for the unlinked files of large bodies."},
    {"log", POSTERN_BLOCK, 0, "{}", NO_RANGE, NULL, log_options, "The log."},
    {"admin", POSTERN_BLOCK, CONF_LATER, NULL, NO_RANGE, NULL, admin_options, "Administration at run time."},
    {"plugins", POSTERN_BLOCK, 0, "{}", NO_RANGE, NULL, plugins_options, "Where plugins are."},
    {"limits", POSTERN_BLOCK, 0, "{}", NO_RANGE, NULL, limits_options, "Limits of sessions and messages."},
    {"timeouts", POSTERN_BLOCK, 0, "{}", NO_RANGE, NULL, timeouts_options,
     "How long postern waits for what."},
    {"certificates", POSTERN_MAP, 0, "{}", NO_RANGE, NULL, certificate_options,
     "Certificates for listeners, by name."},
    {"listeners", POSTERN_MAP, POSTERN_REQUIRED | CONF_NOT_EMPTY, NULL, NO_RANGE, NULL, listener_options,
     "Where clients connect, by name."},
    {"upstreams", POSTERN_MAP, 0, "{}", NO_RANGE, NULL, upstream_options,
     "The mail servers behind, by name."},
    {"policies", POSTERN_MAP, 0, "{}", NO_RANGE, NULL, policy_options, "Which filters mail passes, by name."},
    {"filters", POSTERN_MAP, CONF_OPEN, "{}", NO_RANGE, NULL, conf_filter_options,
     "Plugins with their options, by name."},
    END,
};
