/* SPDX-License-Identifier: MIT */
/* The two scripts that Redis runs. Both mirror gcra.c; a key's value is its tat as "µs ticks", two whole
 * numbers, because one number of both would need more than the 53 bits that Lua counts exactly. Time is the
 * server's own, so that proxies need not agree on it. Every write sets an expiry: by then the tat has passed,
 * and a key that is gone means the same. (The second more is for a replica whose clock is a little behind.)
 *
 * replicate_commands lets Redis 5 and 6 write after TIME; later ones do so anyway. */
#ifndef RATELIMIT_SCRIPT_H
#define RATELIMIT_SCRIPT_H

#define SCRIPT_BEGIN                                                                                         \
    "if redis.replicate_commands then redis.replicate_commands() end\n"                                      \
    "local clock = redis.call('TIME')\n"                                                                     \
    "local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])\n"                                        \
    "local function ahead_of(key, burst)\n"                                                                  \
    "  local us, part = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')\n"                       \
    "  if not us then return 0 end\n"                                                                        \
    "  return math.min(math.max((tonumber(us) - now) * 1024 + tonumber(part), 0), burst)\n"                  \
    "end\n"                                                                                                  \
    "local function store(key, ahead)\n"                                                                     \
    "  redis.call('SET', key, string.format('%.0f %.0f', now + math.floor(ahead / 1024), ahead % 1024),\n"   \
    "    'PX', string.format('%.0f', math.ceil(ahead / 1024000) + 1000))\n"                                  \
    "end\n"

/* KEYS: one for each limit. ARGV, three for each: the burst and the cost in ticks, and 0.
 * -> {1, for each key: when its charge ends (µs), ticks left}: charged; or
 *    {0, which key must wait longest (from 1), for how many µs, its ticks left}: nothing charged */
#define SCRIPT_CHARGE                                                                                        \
    SCRIPT_BEGIN                                                                                             \
    "local after, refused, longest, left = {}, 0, 0, 0\n"                                                    \
    "for i, key in ipairs(KEYS) do\n"                                                                        \
    "  local burst, cost = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1])\n"                           \
    "  local ahead = ahead_of(key, burst)\n"                                                                 \
    "  local wait = math.ceil((ahead + cost - burst) / 1024)\n"                                              \
    "  after[i] = ahead + cost\n"                                                                            \
    "  if wait > longest then refused, longest, left = i, wait, burst - ahead end\n"                         \
    "end\n"                                                                                                  \
    "if refused > 0 then return {0, refused, longest, left} end\n"                                           \
    "local reply = {1}\n"                                                                                    \
    "for i, key in ipairs(KEYS) do\n"                                                                        \
    "  store(key, after[i])\n"                                                                               \
    "  reply[i * 2] = math.ceil(now + after[i] / 1024)\n"                                                    \
    "  reply[i * 2 + 1] = tonumber(ARGV[i * 3 - 2]) - after[i]\n"                                            \
    "end\n"                                                                                                  \
    "return reply\n"

/* ARGV, three for each key: the burst and the cost in ticks, and when the charge ends (µs).
 * -> {how many keys got something back} */
#define SCRIPT_GIVE_BACK                                                                                     \
    SCRIPT_BEGIN                                                                                             \
    "local given = 0\n"                                                                                      \
    "for i, key in ipairs(KEYS) do\n"                                                                        \
    "  local ahead = ahead_of(key, tonumber(ARGV[i * 3 - 2]))\n"                                             \
    "  local back = math.min(tonumber(ARGV[i * 3 - 1]), (tonumber(ARGV[i * 3]) - now) * 1024)\n"             \
    "  if ahead > 0 and back > 0 then\n"                                                                     \
    "    given = given + 1\n"                                                                                \
    "    if ahead > back then store(key, ahead - back) else redis.call('DEL', key) end\n"                    \
    "  end\n"                                                                                                \
    "end\n"                                                                                                  \
    "return {given}\n"

#endif
