"""Lua scripts for Redis: one charges all limits or none, the other gives a charge back.

The laws of this module:

- **The arithmetic is exactly that of `rules.ratelimit`**, for every size that a policy may have.
- **A charge that is given back never leaves more than if it had not been made.**

**Numbers.** Lua in Redis has only floating-point numbers, which are exact up to 2^53. So a time is
three integers: seconds, microseconds, and parts of a microsecond. A microsecond has as many parts
as the refill of the bucket. Times are never multiplied: the cost of a token and the bucket's size
are passed in as times.

**Stored values.** A bucket is stored as ten numbers:

- the form;
- when the bucket is full again: seconds, microseconds, part;
- the latest charged instant since the last reset: seconds, microseconds;
- the sum of everything given back since the last reset: seconds, microseconds, part;
- the number of resets.

**Resets.** A bucket that does not believe when it is full again admits the charge and is empty
afterwards, as in `rules.ratelimit`. Its latest charged instant is then the instant of that charge.

An exact log is stored as its form and its instants, each in sixteen hexadecimal digits. The scripts
treat a value of another form as a conflict. Loading it raises an error that names the form.

**Giving back.** A bucket that was full refills by itself after a charge, even if others charge it
meanwhile. So part of the token may have refilled by the latest charge, and only the rest is given
back. To find that part, take the instant at which the bucket would have been full without this
charge and without charges that were given back since. The refilled part is the time from that
instant to the latest charge. So the whole token is given back if no other charge came in between,
or if the bucket was in use all the time. A charge from before a reset gives nothing back, because
the reset has already forgotten the charge.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

from curae_lifecycle.rules.values import CLOCK_TOLERANCE, SECOND


@attrs.frozen
class Script:
    """A Lua script and its digest.

    Attributes:
        text: The source of the script.
        digest: The SHA-1 of the text, in hex. Once Redis has run the text, `EVALSHA` runs the
            script by this digest.
    """

    text: str
    digest: str = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest(),
            takes_self=True,
        ),
    )


_TIME_FUNCTIONS: Final = """
local MILLION = 1000000
local FORM = 1

local function time_at(place)
  return {tonumber(ARGV[place]), tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])}
end

local function sum(a, b, parts)
  local s, u, p = a[1] + b[1], a[2] + b[2], a[3] + b[3]
  if p >= parts then p = p - parts; u = u + 1 end
  if u >= MILLION then u = u - MILLION; s = s + 1 end
  return {s, u, p}
end

local function difference(a, b, parts)
  local s, u, p = a[1] - b[1], a[2] - b[2], a[3] - b[3]
  if p < 0 then p = p + parts; u = u - 1 end
  if u < 0 then u = u + MILLION; s = s - 1 end
  return {s, u, p}
end

local function exceeds(a, b)
  if a[1] ~= b[1] then return a[1] > b[1] end
  if a[2] ~= b[2] then return a[2] > b[2] end
  return a[3] > b[3]
end

local function parsed(text)
  local numbers = {}
  for number in string.gmatch(text, '%S+') do table.insert(numbers, tonumber(number)) end
  if numbers[1] ~= FORM then return nil end
  return {
    full_at = {numbers[2], numbers[3], numbers[4]}, last = {numbers[5], numbers[6], 0},
    given = {numbers[7], numbers[8], numbers[9]}, resets = numbers[10],
  }
end

local function written(state)
  local full_at, last, given = state.full_at, state.last, state.given
  return string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f',
    FORM, full_at[1], full_at[2], full_at[3], last[1], last[2],
    given[1], given[2], given[3], state.resets)
end
"""

CHARGE: Final = Script(
    f"{_TIME_FUNCTIONS}\nlocal TOLERANCE = {{{CLOCK_TOLERANCE // SECOND}, 0, 0}}\n"
    """
-- Returns how many milliseconds Redis keeps the value, within the range that Redis accepts.
local function kept_for(left, margin)
  if left[1] > 4000000000000 then return 4000000000000000 end
  local u = left[2]
  if left[3] > 0 then u = u + 1 end
  return left[1] * 1000 + math.ceil(u / 1000) + margin
end

local now, margin, buckets = time_at(1), tonumber(ARGV[4]), tonumber(ARGV[5])
local charged, result = {}, {}
for number = 1, buckets do
  local place = 7 * number - 1
  local refill, token, most = tonumber(ARGV[place]), time_at(place + 1), time_at(place + 4)
  local text = redis.call('GET', KEYS[number])
  local state = {full_at = now, last = now, given = {0, 0, 0}, resets = 0}
  if text then
    state = parsed(text)
    if not state then return false end
  end
  if exceeds(difference(state.full_at, now, refill), sum(most, TOLERANCE, refill)) then
    state = {full_at = sum(now, most, refill), last = now, given = {0, 0, 0}, resets = state.resets + 1}
  else
    if exceeds(now, {state.full_at[1], state.full_at[2], 0}) then state.full_at = now end
    if exceeds(now, state.last) then state.last = now end
    state.full_at = sum(state.full_at, token, refill)
    if exceeds(difference(state.full_at, now, refill), most) then return false end
  end
  result[number] = written(state)
  charged[number] = {result[number], kept_for(difference(state.full_at, now, refill), margin)}
end
local place = 7 * buckets + 6
if ARGV[place] then
  if (redis.call('GET', KEYS[buckets + 1]) or '') ~= ARGV[place] then return false end
  -- A server with a longer window may have charged the log before.
  local kept = math.max(tonumber(ARGV[place + 2]), redis.call('PTTL', KEYS[buckets + 1]))
  charged[buckets + 1] = {ARGV[place + 1], kept}
end
for number, state in ipairs(charged) do
  redis.call('SET', KEYS[number], state[1], 'PX', string.format('%.0f', state[2]))
end
return result
"""
)
"""The Lua script that charges all rate limits of a request in Redis, or none of them.

A bucket is a rate limit of an API key. An exact log is the rate limit of an app user. A time is
three integers: seconds, microseconds, and parts of a microsecond. A microsecond has as many parts
as the refill of the bucket.

Keys: those of the buckets, then that of the exact log if one is charged. Arguments:

- the instant (a time);
- how many milliseconds a value is kept after it expires;
- the number of buckets;
- for each bucket: its refill, then the cost of a token and the bucket's size, both as times;
- for the log: its value as loaded, its new value, and the least time to keep it, in milliseconds.

The script returns the new value of each bucket. It returns nil and changes nothing in three cases:
a bucket has too few tokens, the log has changed since it was loaded, or a bucket is stored in a
form that this release does not know.
"""

GIVE_BACK: Final = Script(
    _TIME_FUNCTIONS
    + """
local now, buckets = time_at(1), tonumber(ARGV[4])
for number = 1, buckets do
  local place = 5 * number
  local refill, token = tonumber(ARGV[place]), time_at(place + 1)
  local became = parsed(ARGV[place + 4])
  local text = redis.call('GET', KEYS[number])
  local held = text and parsed(text)
  -- Leave a bucket alone if it was reset or created anew since.
  if held and held.resets == became.resets and not exceeds(became.given, held.given) then
    local since = difference(held.given, became.given, refill)
    local without = difference(difference(became.full_at, token, refill), since, refill)
    if exceeds(now, without) then without = now end
    local back = token
    if exceeds(held.last, without) then
      back = difference(token, difference(held.last, without, refill), refill)
    end
    if back[1] >= 0 then
      held.full_at = difference(held.full_at, back, refill)
      held.given = sum(held.given, back, refill)
      redis.call('SET', KEYS[number], written(held), 'KEEPTTL')
    end
  end
end
local place = 5 * buckets + 5
local key = KEYS[buckets + 1]
local held = key and redis.call('GET', key)
if held then
  local before, after, instant = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  local left = held
  if held == after then
    left = before
  elseif string.sub(held, 1, 2) == FORM .. ' ' then
    local from, to = string.find(held, ' ' .. instant, 1, true)
    if from then left = string.sub(held, 1, from - 1) .. string.sub(held, to + 1) end
  end
  if left == '' or left == tostring(FORM) then
    redis.call('DEL', key)
  elseif left ~= held then
    redis.call('SET', key, left, 'KEEPTTL')
  end
end
"""
)
"""The Lua script that gives back what the script `CHARGE` charged, if the commit then failed.

If a part of the charge has refilled meanwhile, only the rest is given back. A time is three
integers: seconds, microseconds, and parts of a microsecond. A microsecond has as many parts as the
refill of the bucket. The script returns nothing.

Keys: the same as for `CHARGE`. Arguments:

- the instant (a time);
- the number of buckets;
- for each bucket, a rate limit of an API key: its refill, the cost of a token (a time), and the
  value that `CHARGE` returned;
- for the exact log, an app user's rate limit, if it was charged: its value before the charge, its
  value after the charge, and the charged instant.
"""
