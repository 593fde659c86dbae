/* SPDX-License-Identifier: MIT */
/* A hash table without locks. Buckets of seven keys; a cell is a tag (64 bits of the key's hash; the rest of
 * the hash chose the bucket) beside a tat, and only ever changes by one compare-and-swap of both words:
 *
 *   bucket   | claim | cell 0 | cell 1 | … | cell 6 |          128 bytes, two cache lines
 *   cell     | tag : tat |      tag 0: never used
 *   claim    | tag : turn, victim, busy |
 *
 * Charging a known key is one swap (tag, tat) -> (tag, tat'). If the key has been evicted meanwhile, the swap
 * fails and the search begins again: no charge can land on another key.
 *
 * A new key comes in by the claim, so that two processes never bring the same key into two cells:
 *   1. read the claim, then search the bucket: the key is not there;
 *   2. swap the claim to (tag, next turn, victim, busy): it fails if anybody brought a key in since 1;
 *   3. swap the victim's cell to (tag, now); 4. swap the claim to not busy.
 * Who finds a busy claim does steps 3 and 4 for its owner, who may be dead, before going on.
 *
 * The victim is the cell with the oldest tat: never used, then idle, then nearest to idle.
 *
 * The host owns the memory; it lives as long as any generation uses it. */
#include "memstore.h"

#include <sys/random.h>

enum { CELLS = 7 };

typedef unsigned __int128 two_words;

union cell {
    struct {
        uint64_t tag;
        uint64_t value; /* tat in ticks, or the claim's turn, victim and busy */
    } half;
    two_words both;
};

struct memory_bucket {
    union cell claim;
    union cell cells[CELLS];
};

struct memory_header {
    uint64_t hash_key[2]; /* 0: not chosen yet */
    uint64_t unused[14];
};

_Static_assert(sizeof(struct memory_bucket) == 128, "a bucket is two cache lines");
_Static_assert(sizeof(struct memory_header) == 128, "buckets begin at a multiple of their size");

/* ---- words ---- */

/* In assembly where the compilers do not agree on how to ask for the instruction; x86-64 has had it since
 * 2005. */
static bool cell_swap(union cell *c, union cell from, union cell to)
{
#if defined(__x86_64__)
    bool swapped;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(swapped), "+m"(c->both), "+a"(from.half.tag), "+d"(from.half.value)
                     : "b"(to.half.tag), "c"(to.half.value)
                     : "memory");
    return swapped;
#else
    return __sync_bool_compare_and_swap(&c->both, from.both, to.both);
#endif
}

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static union cell cell_of(uint64_t tag, uint64_t value)
{
    union cell c;
    c.half.tag = tag;
    c.half.value = value;
    return c;
}

/* The two words may belong to different moments. That does no harm: nothing is concluded from a cell but by
 * a swap, which fails then. */
static union cell cell_read(const union cell *c)
{
    return cell_of(load(&c->half.tag), load(&c->half.value));
}

/* ---- the claim: turn << 4 | victim << 1 | busy ---- */

static union cell claim_read(const struct memory_bucket *b)
{
    for (;;) { /* the turn changes with each claim: seen twice, the tag between belongs to it */
        uint64_t before = load(&b->claim.half.value);
        uint64_t tag = load(&b->claim.half.tag);
        if (load(&b->claim.half.value) == before)
            return cell_of(tag, before);
    }
}

static bool claim_busy(union cell claim)
{
    return claim.half.value & 1;
}
static size_t claim_victim(union cell claim)
{
    return claim.half.value >> 1 & 7;
}

static union cell claim_next(union cell claim, uint64_t tag, size_t victim)
{
    return cell_of(tag, ((claim.half.value >> 4) + 1) << 4 | (uint64_t)victim << 1 | 1);
}

/* Steps 3 and 4, for whoever made the claim. */
static void claim_finish(struct memory_bucket *b, union cell claim, uint64_t now)
{
    union cell *victim = &b->cells[claim_victim(claim)];

    for (;;) {
        union cell seen = cell_read(victim);
        if (seen.half.tag == claim.half.tag || load(&b->claim.half.value) != claim.half.value)
            break;
        if (cell_swap(victim, seen, cell_of(claim.half.tag, now)))
            break;
    }
    (void)cell_swap(&b->claim, claim, cell_of(0, claim.half.value & ~UINT64_C(1)));
}

/* ---- the table ---- */

static uint64_t bucket_count(uint64_t keys)
{
    uint64_t n = 1;
    while (n * CELLS < keys + keys / 2)
        n *= 2;
    return n;
}

uint64_t memory_capacity(uint64_t keys)
{
    return bucket_count(keys) * CELLS;
}

size_t memory_bytes(uint64_t keys)
{
    return sizeof(struct memory_header) + (size_t)bucket_count(keys) * sizeof(struct memory_bucket);
}

/* Each word of the hash key is set once, by whoever comes first. */
static int choose_hash_key(struct memory_header *h)
{
    for (size_t i = 0; i < 2; i++) {
        uint64_t word = 0, unset = 0;
        if (load(&h->hash_key[i]) != 0)
            continue;
        if (getrandom(&word, sizeof(word), 0) != (ssize_t)sizeof(word))
            return -1;
        (void)__atomic_compare_exchange_n(&h->hash_key[i], &unset, word | 1, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST);
    }
    return 0;
}

int memory_attach(struct memory *m, void *mapping, uint64_t keys)
{
    m->header = mapping;
    m->buckets = (struct memory_bucket *)(void *)((char *)mapping + sizeof(*m->header));
    m->mask = bucket_count(keys) - 1;
    return choose_hash_key(m->header);
}

struct hash128 memory_hash(const struct memory *m, const void *key, size_t n)
{
    return siphash128(m->header->hash_key, key, n);
}

static struct memory_bucket *bucket_of(const struct memory *m, struct hash128 id)
{
    return &m->buckets[id.hi & m->mask];
}

static uint64_t tag_of(struct hash128 id)
{
    return id.lo ? id.lo : 1;
}

static union cell *find(struct memory_bucket *b, uint64_t tag)
{
    for (size_t i = 0; i < CELLS; i++)
        if (load(&b->cells[i].half.tag) == tag)
            return &b->cells[i];
    return NULL;
}

static size_t oldest(const struct memory_bucket *b, uint64_t *tat_r)
{
    size_t victim = 0;
    *tat_r = UINT64_MAX;
    for (size_t i = 0; i < CELLS; i++) {
        union cell seen = cell_read(&b->cells[i]);
        uint64_t tat = seen.half.tag ? seen.half.value : 0;
        if (tat < *tat_r) {
            *tat_r = tat;
            victim = i;
        }
    }
    return victim;
}

/* Brings a key in, if nobody has since the claim was read. */
static void add(struct memory_bucket *b, union cell claim, uint64_t tag, uint64_t now, unsigned *evicted)
{
    uint64_t tat;

    if (find(b, tag)) /* it came before the claim was read */
        return;
    union cell mine = claim_next(claim, tag, oldest(b, &tat));
    if (cell_swap(&b->claim, claim, mine)) {
        claim_finish(b, mine, now);
        *evicted += tat > now;
    }
}

/* The cell of a key that may have to be brought in. */
static union cell *find_or_add(struct memory_bucket *b, uint64_t tag, uint64_t now, unsigned *evicted)
{
    for (;;) {
        union cell *c = find(b, tag);
        if (c)
            return c;
        union cell claim = claim_read(b);
        if (claim_busy(claim))
            claim_finish(b, claim, now);
        else
            add(b, claim, tag, now, evicted);
    }
}

/* ---- charging ---- */

/* What a charge would do now. A refusal is confirmed: the cell still was the key's when its tat was read. */
static struct gcra_result peek(const struct memory *m, const struct memory_charge *c, uint64_t now_us)
{
    struct memory_bucket *b = bucket_of(m, c->id);

    for (;;) {
        union cell *found = find(b, tag_of(c->id));
        if (!found)
            return gcra_charge(c->rate, 0, now_us, c->units);
        union cell seen = cell_of(tag_of(c->id), load(&found->half.value));
        struct gcra_result r = gcra_charge(c->rate, seen.half.value, now_us, c->units);
        if (r.allowed || cell_swap(found, seen, seen))
            return r;
    }
}

static bool charge(struct memory *m, struct memory_charge *c, uint64_t now_us, unsigned *evicted)
{
    struct memory_bucket *b = bucket_of(m, c->id);

    for (;;) {
        union cell *found = find_or_add(b, tag_of(c->id), now_us * GCRA_TICKS, evicted);
        union cell seen = cell_of(tag_of(c->id), load(&found->half.value));
        c->result = gcra_charge(c->rate, seen.half.value, now_us, c->units);
        if (cell_swap(found, seen, cell_of(seen.half.tag, c->result.tat)))
            return c->result.allowed;
    }
}

static int longest_wait(const struct memory *m, struct memory_charge *charges, size_t n, uint64_t now_us)
{
    int refused = MEMORY_ALLOWED;
    uint64_t longest = 0;

    for (size_t i = 0; i < n; i++) {
        charges[i].result = peek(m, &charges[i], now_us);
        if (!charges[i].result.allowed && charges[i].result.wait_us > longest) {
            longest = charges[i].result.wait_us;
            refused = (int)i;
        }
    }
    return refused;
}

static int reserve_all(struct memory *m, struct memory_charge *charges, size_t n, uint64_t now_us,
                       unsigned *evicted)
{
    for (size_t i = 0; i < n; i++) {
        if (charge(m, &charges[i], now_us, evicted))
            continue;
        for (size_t j = i; j-- > 0;)
            memory_give_back(m, charges[j].id, charges[j].rate, charges[j].units,
                             gcra_end_us(charges[j].result.tat), now_us);
        return (int)i;
    }
    return MEMORY_ALLOWED;
}

/* Looks first, so that a refusal seldom shows others a charge that is taken back at once. */
int memory_decide(struct memory *m, struct memory_charge *charges, size_t n, uint64_t now_us,
                  unsigned *evicted_r)
{
    *evicted_r = 0;
    int refused = longest_wait(m, charges, n, now_us);
    return refused != MEMORY_ALLOWED ? refused : reserve_all(m, charges, n, now_us, evicted_r);
}

void memory_give_back(struct memory *m, struct hash128 id, const struct gcra *rate, uint64_t units,
                      uint64_t end_us, uint64_t now_us)
{
    for (;;) {
        union cell *found = find(bucket_of(m, id), tag_of(id));
        if (!found) /* evicted: its charges are forgotten already */
            return;
        union cell seen = cell_of(tag_of(id), load(&found->half.value));
        uint64_t tat = gcra_give_back(rate, seen.half.value, now_us, units, end_us);
        if (cell_swap(found, seen, cell_of(seen.half.tag, tat)))
            return;
    }
}
