/* SPDX-License-Identifier: MIT
 *
 * postern/filter.h: all that a filter plugin sees of postern.
 *
 * A plugin is one shared object that exports one symbol, `postern_filter`, a const descriptor. It links to
 * nothing of postern: every service comes through `struct postern_host`. plugins/hello/hello.c is the
 * smallest complete one; copy from it.
 *
 * ABI. POSTERN_ABI_MAJOR changes when a plugin built before would misbehave; the host refuses another major.
 * POSTERN_ABI_MINOR grows when something is added at the end of a struct or an enum; the host takes any minor
 * up to its own. Every struct that may grow starts with its size, and nobody reads past the size that it was
 * given. Nothing is ever removed or reordered within a major.
 *   1.0  the first.
 *   1.1  the phases from PART_HEADER on, what struct postern_part has behind filename, edits, tags and trace
 * in struct postern_host, `wants` in struct postern_filter.
 *
 * Threads. There are none: every call comes from the one loop of a worker, and none may block. What takes
 * long is asked of the host (streams, timers) and answered with POSTERN_PENDING.
 *
 * Text is never NUL-terminated unless it says so: lengths count. Spans given to a hook are borrowed for the
 * call; copy what you keep.
 */
#ifndef POSTERN_FILTER_H
#define POSTERN_FILTER_H

#include <stddef.h>
#include <stdint.h>

#define POSTERN_FILTER_MAGIC 0x706f7374u /* "post" */
#define POSTERN_ABI_MAJOR    1
#define POSTERN_ABI_MINOR    1

struct postern_span {
    const char *p;
    size_t n; /* bytes; p may be NULL when 0 */
};

/* ---- configuration: the plugin's block, checked against its option table before configure() ---- */

enum postern_type {
    POSTERN_BOOL,     /* yes no true false on off -> number 0 or 1 */
    POSTERN_COUNT,    /* a whole number -> number */
    POSTERN_SIZE,     /* bytes: 4096, 256KiB, 50MiB -> number */
    POSTERN_DURATION, /* 50ms, 5s, 10m, 1h, 1d -> number, microseconds */
    POSTERN_REAL,     /* 2.5 -> real */
    POSTERN_STRING,   /* any text */
    POSTERN_SECRET,   /* text that no log, dump or message may show */
    POSTERN_ENUM,     /* one of `values` -> number, its place in the list from 0 */
    POSTERN_RATE,     /* 100/1h -> number (count) and real (window, in microseconds) */
    POSTERN_BLOCK,    /* a map of the options in `children` */
    POSTERN_MAP       /* a map from names that the user chooses to blocks of `children` */
};

enum postern_option_flags {
    POSTERN_REQUIRED = 1, /* its absence is an error */
    POSTERN_LIST = 2,     /* a list of `type`; one scalar stands for a list of one */
};

struct postern_option {
    const char *name; /* NULL ends a table. C strings: these are the plugin's own constants */
    enum postern_type type;
    unsigned flags;
    const char *fallback; /* the default as a user would write it; NULL: none, the node is absent */
    double min, max;      /* in the unit of `number` (or `real`); both 0: no range */
    const char *values;   /* ENUM: "local|allow|tempfail" */
    const struct postern_option *children; /* BLOCK, MAP */
    const char *help;                      /* one sentence */
};

enum postern_node_kind { POSTERN_NODE_SCALAR, POSTERN_NODE_LIST, POSTERN_NODE_MAP };

/* One place of the configuration, read-only, living as long as the filter instance. Defaults are filled in:
 * an option with a fallback always has its node. */
struct postern_node {
    enum postern_node_kind kind;
    struct postern_span name; /* the key that it stands under; empty in a list */
    struct postern_span text; /* SCALAR: as written, without quotes */
    int64_t number;           /* by type, see enum postern_type */
    double real;
    const struct postern_node *first, *next; /* LIST, MAP: the members in the order of the file */
    const char *file;                        /* C string */
    uint32_t line, column;                   /* from 1; 0: a default, written nowhere */
};

/* ---- the way of a message ---- */

/* Where a hook is called. The columns: what `struct postern_event` carries; whether the verdict counts. */
/* clang-format off */
enum postern_phase {
    POSTERN_ON_CONNECT,       /* -                 verdict  a client is there; before the greeting */
    POSTERN_ON_HELO,          /* text: the name    verdict  HELO or EHLO */
    POSTERN_ON_AUTH,          /* text: the user    verdict  the upstream said 235 */
    POSTERN_ON_MAIL,          /* text: the sender  verdict  a transaction begins */
    POSTERN_ON_RCPT,          /* text: recipient   verdict  before the upstream is asked */
    POSTERN_ON_DATA,          /* -                 verdict  at least one recipient is accepted */
    POSTERN_ON_HEADER,        /* name, text, raw   -        one header field, decoded and unfolded */
    POSTERN_ON_HEADERS,       /* -                 verdict  the header section is over */
    POSTERN_ON_BODY,          /* text: raw bytes   -        a piece of the content as it was sent, dots
                                                            unstuffed, header section included */
    POSTERN_ON_PART,          /* part              -        a MIME part begins: its type and file name */
    POSTERN_ON_TEXT,          /* text, part        -        a piece of a text part, decoded to UTF-8; of an
                                                            HTML part what a reader sees */
    POSTERN_ON_END,           /* -                 verdict  the whole content was seen */
    POSTERN_ON_RCPT_REPLY,    /* text, reply       -        what became of a recipient */
    POSTERN_ON_MESSAGE_REPLY, /* reply             -        what became of the message */
    POSTERN_ON_ABORT,         /* -                 -        the transaction ended without an END */
    POSTERN_ON_DISCONNECT,    /* -                 -        the session is over */
    POSTERN_ON_PART_HEADER,   /* name, text, raw, part -    one field of a part's or nested message's header
                                                            section, decoded and unfolded; before its PART */
    POSTERN_ON_HTML,          /* text, part        -        a piece of an HTML part, UTF-8, markup and all */
    POSTERN_ON_URL,           /* text, part        -        an address in text or HTML, as a browser has it */
    POSTERN_ON_MEMBER,        /* text, part        -        the name of a file inside an archive */
    POSTERN_ON_FLAG,          /* text, part        -        something is not as it should be, by name
                                                            ("bad-base64"): once per name and part; part is
                                                            NULL where it is about the whole message */
    POSTERN_PHASES
};
#define POSTERN_HOOKS 32 /* places for hooks in the descriptor; later minors fill them */
/* clang-format on */
/* For every MAIL hook that was called, exactly one of END and ABORT follows; an END may be followed by one
 * MESSAGE_REPLY (code 0 when the outcome is unknown). RCPT_REPLY follows each RCPT hook: its code is the
 * reply that the client gets, be it the upstream's, this filter's or another filter's (code 0: none came
 * before the transaction ended). PART comes once more, with the same index, for each further file name that
 * a part gives itself, and for each further reading of what it is: programs differ in which they take. The
 * TEXT of such a reading follows its PART.
 *
 * A message may have more than is shown: a header section, nesting, parts or names past the limits, or fields
 * that contradict each other about its encoding. Where a filter has a HEADER, PART or TEXT hook and lets such
 * a message go on at END, the host refuses it with 552, unless the filter's on_error is accept. */

enum postern_action {
    POSTERN_CONTINUE, /* go on with the next filter */
    POSTERN_ACCEPT,   /* this phase: skip the filters after this one. At MAIL or END: the whole transaction */
    POSTERN_REJECT,   /* 5yz */
    POSTERN_TEMPFAIL, /* 4yz */
    POSTERN_DISCARD,  /* answer 250 and deliver nothing: the administrator's explicit wish, logged as such */
    POSTERN_DISCONNECT, /* reply, then close (code 421 unless set) */
    POSTERN_DELAY,      /* continue after delay_us */
    POSTERN_PENDING     /* resume() will bring the verdict */
};

enum postern_timeout {
    POSTERN_TIMEOUT_ON_ERROR, /* the filter's on_error from the configuration */
    POSTERN_TIMEOUT_OPEN,
    POSTERN_TIMEOUT_TEMPFAIL,
    POSTERN_TIMEOUT_REJECT
};

/* A verdict comes zeroed (CONTINUE). Texts are copied before the hook returns. */
struct postern_verdict {
    size_t size;
    enum postern_action action;
    unsigned code;                   /* 0: 550, 451 or 421 by action. Others than 4yz/5yz are replaced */
    struct postern_span enhanced;    /* "5.7.1"; empty: by code */
    struct postern_span text;        /* for the client; control characters are replaced, long texts folded */
    struct postern_span rule;        /* for the log: "rules/a.rules:12" or the limit's name */
    uint64_t delay_us;               /* DELAY: how long. PENDING: the deadline; 0: the filter's own */
    enum postern_timeout on_timeout; /* PENDING: what stands when the deadline passes */
};

struct postern_tx; /* one session and its transaction, if there is one: the handle for the getters below */

struct postern_part {
    uint32_t index, depth;        /* in the order of the message, from 0; nesting from 0 */
    struct postern_span type;     /* "text/plain", lower case: as which it is read */
    struct postern_span filename; /* decoded, UTF-8; empty: none */
    /* 1.1. A plugin is never loaded by a host of a smaller minor, so it finds what its own header shows. */
    struct postern_span declared; /* the type that Content-Type gives, lower case; empty: none */
    struct postern_span detected; /* what its first bytes say: "application/zip"; empty: nothing, or PART */
    struct postern_span charset;  /* lower case; empty: none */
    struct postern_span disposition; /* "attachment", "inline", lower case; empty: none */
};

struct postern_event {
    size_t size;
    enum postern_phase phase;
    struct postern_span name;        /* HEADER, PART_HEADER: the field's name as written */
    struct postern_span text;        /* see enum postern_phase */
    struct postern_span raw;         /* HEADER, PART_HEADER: the field as sent, folded, with its CRLF */
    const struct postern_part *part; /* PART, TEXT and the phases since 1.1 */
    unsigned code;                   /* RCPT_REPLY, MESSAGE_REPLY: the reply code; 0: none came */
    int from_upstream;               /* RCPT_REPLY, MESSAGE_REPLY: 1 if the upstream gave it */
};

enum postern_field {
    POSTERN_F_SESSION_ID,
    POSTERN_F_LISTENER,
    POSTERN_F_CLIENT_ADDRESS, /* text form, canonical: no zone, IPv4-mapped shown as IPv4 */
    POSTERN_F_HELO,
    POSTERN_F_USER,          /* empty: not authenticated */
    POSTERN_F_SENDER,        /* mailbox without brackets; empty: the null sender, or no transaction */
    POSTERN_F_SENDER_DOMAIN, /* lower case */
    POSTERN_F_RCPT,          /* RCPT and RCPT_REPLY phases: this recipient */
    POSTERN_F_RCPT_DOMAIN,   /* the same, lower case */
    POSTERN_F_TLS            /* protocol version on the client's side; empty: none */
};

/* ---- what the host does for a filter ---- */

struct postern_host;
struct postern_timer;
struct postern_stream;

enum postern_log_level { POSTERN_LOG_ERROR, POSTERN_LOG_WARN, POSTERN_LOG_INFO, POSTERN_LOG_DEBUG };

/* Where a stream goes. Names are resolved by the host (c-ares), without blocking. */
struct postern_stream_target {
    size_t size;
    struct postern_span
        server; /* "127.0.0.1:6379", "[::1]:6379", "redis.example:6379" or "/run/redis.sock" */
    int tls;
    struct postern_span tls_name; /* the name the certificate must carry; empty: not verified */
    struct postern_span tls_ca;   /* file with trusted certificates; empty: the system's */
    uint64_t connect_us;          /* deadline for resolving, connecting and the handshake together */
};

/* A stream's events. After `closed` the stream is gone and no other call comes. stream_close() makes no
 * call. Bytes given to `data` are borrowed for the call. */
struct postern_stream_events {
    size_t size;
    void (*connected)(void *arg, struct postern_stream *s);
    void (*data)(void *arg, struct postern_stream *s, struct postern_span bytes);
    void (*closed)(void *arg, struct postern_stream *s, const char *why); /* why: C string */
};

struct postern_host {
    size_t size;

    /* Log and time. `filter` is what configure() was given as self. printf-like, one line, no secrets. */
    void (*log)(void *self, enum postern_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    uint64_t (*now_us)(void *self);  /* monotonic */
    uint64_t (*wall_us)(void *self); /* since 1970 */

    /* Configuration; valid inside configure() only. config_error may be called many times; configure() then
     * returns -1. `column_add` is added to the node's column (PCRE2's offset into a pattern). */
    void (*config_error)(void *self, const struct postern_node *at, size_t column_add, const char *format,
                         ...) __attribute__((format(printf, 4, 5)));
    /* An error in a file that the plugin read: the same list, with this place. */
    void (*file_error)(void *self, const char *file, uint32_t line, uint32_t column, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
    /* Reads a file, relative to the configuration file. 0, or -1 with the reason in *error (C string). The
     * bytes live until configure() returns; *name_r (C string, as long as the instance) is the name to show.
     */
    int (*read_file)(void *self, struct postern_span name, struct postern_span *bytes_r, const char **name_r,
                     const char **error_r);
    /* The files that a pattern ("rules" "/" "*.rules") names, sorted; one name without wildcards stands for
     * itself. Returns how many there are; the i-th name by glob_name, valid inside configure(). */
    size_t (*glob)(void *self, struct postern_span pattern);
    struct postern_span (*glob_name)(void *self, size_t i);
    /* Memory that all workers share, zeroed when new, page-aligned. The same name and size in the next
     * generation is the same memory with its contents. NULL: could not be had. Inside configure() only. */
    void *(*shared)(void *self, const char *name, size_t bytes);

    /* Timers: one shot. The handle is dead when the call begins or after timer_stop. */
    struct postern_timer *(*timer_start)(void *self, uint64_t after_us, void (*fire)(void *arg), void *arg);
    void (*timer_stop)(void *self, struct postern_timer *t);

    /* Streams. NULL from stream_open: no memory. write copies; -1: too much is waiting or no memory. */
    struct postern_stream *(*stream_open)(void *self, const struct postern_stream_target *to,
                                          const struct postern_stream_events *events, void *arg);
    int (*stream_write)(struct postern_stream *s, struct postern_span bytes);
    void (*stream_close)(struct postern_stream *s);

    /* The transaction. Getters return text valid for the call. */
    struct postern_span (*get)(const struct postern_tx *tx, enum postern_field field);
    /* The client's address in network order, 4 or 16 bytes. */
    struct postern_span (*client_ip)(const struct postern_tx *tx);
    size_t (*rcpt_count)(const struct postern_tx *tx); /* accepted so far */
    struct postern_span (*rcpt)(const struct postern_tx *tx, size_t i);
    uint64_t (*message_bytes)(
        const struct postern_tx *tx); /* seen so far; at MAIL: what SIZE= declared, or 0 */
    /* Adds to the transaction's score under a name (for the log). All filters share the sum. */
    void (*add_score)(struct postern_tx *tx, struct postern_span name, double points);
    double (*score)(const struct postern_tx *tx);

    /* The late verdict of a hook that returned PENDING. `ticket` is what postern_ticket gave in that hook. A
     * ticket that has timed out or whose transaction is gone is ignored: late answers find nobody. */
    uint64_t (*ticket)(const struct postern_tx *tx);
    void (*resume)(void *self, uint64_t ticket, const struct postern_verdict *v);

    /* Adds to a counter of this filter; made on first use. */
    void (*count)(void *self, const char *name, uint64_t add);

    /* ---- 1.1 ---- */

    /* Edits: what the filter wants changed of this message, asked for between the MAIL hook and END's
     * verdict, and done when the message has passed all filters. 0, or -1 when it cannot be done or is too
     * late: then nothing has changed, and the log says why. Texts are checked at once and copied.
     * Only a filter that declares POSTERN_WANTS_EDITS may edit. Its messages are held until END, in a file
     * where they are large, and clients get 452 where there is no room for that; no message passes without
     * the edits that were asked for. In shadow mode a wish is checked, logged and not done.
     * A wish is about the message as the wishes before it left it, so one filter can remove what another
     * added; but hooks are shown the message, and rcpt() the recipients, as the client sent them.
     * A value may be folded (CRLF and a blank), has no other control characters but TAB, and is folded by the
     * host where it is long. It is ASCII unless the client said SMTPUTF8. Parts are not changed. */
    int (*header_add)(struct postern_tx *tx, struct postern_span name,
                      struct postern_span value); /* at the top, behind what was added before */
    /* All fields of that name by one, in the place of the first; at the end when there is none. */
    int (*header_replace)(struct postern_tx *tx, struct postern_span name, struct postern_span value);
    int (*header_remove)(struct postern_tx *tx, struct postern_span name); /* all of them, if any */
    /* UTF-8 and a blank in front of the Subject; encoded (RFC 2047) where it is not ASCII. */
    int (*subject_prefix)(struct postern_tx *tx, struct postern_span text);
    /* One more recipient, "local@domain". Its refusal is logged and never shown to the client. */
    int (*rcpt_add)(struct postern_tx *tx, struct postern_span mailbox);
    /* One for all that the client named, not for copies. Refused by the server: nobody has it, and 451. */
    int (*rcpt_replace)(struct postern_tx *tx, struct postern_span mailbox);

    /* A note for the log and for the filters that follow; any filter may set one, from MAIL to END's verdict.
     * The same name again replaces it. At most 64 and 256 octets. In shadow mode: for the log only. */
    int (*tag)(struct postern_tx *tx, struct postern_span name, struct postern_span value);
    struct postern_span (*tag_get)(const struct postern_tx *tx, struct postern_span name); /* empty: none */
    /* A rule has hit, for who looks on (`postern explain`): its place, and the text that it was about, where
     * that is known. NULL where nobody looks on, as where mail flows: ask before doing any work for it. */
    void (*trace)(void *self, struct postern_span rule, struct postern_span matched);
    /* Inside configure(): of what the descriptor wants, this instance needs only so much. */
    void (*wants)(void *self, unsigned wants);
};

/* ---- what the plugin exports ---- */

/* One hook. `filter` is the instance, `session` what session_begin made. Fill *v where the phase has a
 * verdict; elsewhere it is ignored. */
typedef void (*postern_hook)(void *filter, void *session, struct postern_tx *tx,
                             const struct postern_event *ev, struct postern_verdict *v);

/* What a filter needs of a message. */
#define POSTERN_WANTS_EDITS 1u /* to change it: the message is held until END, however large */

struct postern_filter {
    uint32_t magic; /* POSTERN_FILTER_MAGIC */
    uint16_t abi_major, abi_minor;
    size_t size; /* sizeof(struct postern_filter) */
    const char *name;
    const char *help;
    const struct postern_option *options; /* may be NULL */

    /* Once per generation and instance. 0 and *filter_r, or -1 after config_error. `self` and `host` live
     * until release() returns. Called in the supervisor as a check and in every worker. start() is called
     * only where mail will flow: open streams there, not in configure(). */
    int (*configure)(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r);
    void (*start)(void *filter);   /* may be NULL */
    void (*release)(void *filter); /* no session uses it any more; may be NULL */

    /* Per session, at the first phase; may be NULL. *session_r may stay NULL. Return 0, or -1: no memory. */
    int (*session_begin)(void *filter, struct postern_tx *tx, void **session_r);
    void (*session_end)(void *filter, void *session);
    /* A pending verdict is not wanted any more (disconnect, timeout). May be NULL. */
    void (*cancel)(void *filter, void *session, uint64_t ticket);

    postern_hook hooks[POSTERN_HOOKS]; /* by enum postern_phase; NULL: not wanted. 1.0 had 16 */
    unsigned wants;                    /* 1.1: POSTERN_WANTS_… */
};

/* Every plugin defines: const struct postern_filter postern_filter = { … }; */
extern const struct postern_filter postern_filter;

#endif
