"""What Redis runs: limits charged together or not at all, and a charge given back.

The laws of this module: **the arithmetic is that of `rules.ratelimit`, exactly**, for every size
that a rule may have; **a charge that is given back never leaves more than if it had not been
made**.

Redis has no numbers but floating-point ones, exact up to 2^53. So a time is three whole numbers,
seconds, microseconds, and parts of a microsecond, and is never multiplied: what a token costs and
what a bucket holds come in as times. Only where another refill left the parts is there a product,
and it is added up bit by bit.

A bucket is kept as ten numbers: the form, when it is full again (seconds, microseconds, part, into
how many parts a microsecond is divided), the latest instant that was charged (seconds,
microseconds), and all that was ever given back (seconds, microseconds, part). A log is its form and
its instants, each in sixteen hexadecimal digits. A value of another form counts as one that is not
as it was read: whoever reads it says so by name.

**Giving back.** Where a bucket was full, what was charged comes back by itself as time goes by,
whether or not others charge meanwhile. What may have come back of a token by the latest charge is
not given back once more: that is as much as the latest charge is past the instant at which the
bucket would have been full without this one, and without any that was given back since. So a token
is given back whole where nobody came in between, and where the bucket was in use all the time.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs


@attrs.frozen
class Script:
    """A script, and the digest that Redis knows it by once it was run.

    Attributes:
        text: The script.
        digest: What Redis knows it by.
    """

    text: str
    digest: str = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest(),
            takes_self=True,
        ),
    )


_TIMES: Final = """
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
    full_at = {numbers[2], numbers[3], numbers[4]}, parts = numbers[5],
    last = {numbers[6], numbers[7], 0}, given = {numbers[8], numbers[9], numbers[10]},
  }
end

local function written(state)
  local full_at, last, given = state.full_at, state.last, state.given
  return string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f',
    FORM, full_at[1], full_at[2], full_at[3], state.parts, last[1], last[2],
    given[1], given[2], given[3])
end
"""

CHARGE: Final = Script(
    _TIMES
    + """
-- The part of another refill in parts of this one, rounded up.
local function rescaled(part, parts, refill)
  if parts == refill then return part end
  local bits, whole, rest = {}, 0, 0
  while refill > 0 do
    table.insert(bits, 1, refill % 2)
    refill = math.floor(refill / 2)
  end
  for _, bit in ipairs(bits) do
    whole, rest = whole * 2, rest * 2
    if rest >= parts then rest = rest - parts; whole = whole + 1 end
    if bit == 1 then
      rest = rest + part
      if rest >= parts then rest = rest - parts; whole = whole + 1 end
    end
  end
  if rest > 0 then whole = whole + 1 end
  return whole
end

-- When Redis may drop it, in milliseconds: no less and no more than it takes for an instant.
local function dropped_at(full_at, margin)
  if full_at[1] > 4000000000000 then return 4000000000000000 end
  local u = full_at[2]
  if full_at[3] > 0 then u = u + 1 end
  return math.max(1, full_at[1] * 1000 + math.ceil(u / 1000) + margin)
end

local now, margin, buckets = time_at(1), tonumber(ARGV[4]), tonumber(ARGV[5])
local charged, answer = {}, {}
for number = 1, buckets do
  local place = 7 * number - 1
  local refill, token, most = tonumber(ARGV[place]), time_at(place + 1), time_at(place + 4)
  local text = redis.call('GET', KEYS[number])
  local state = {full_at = now, parts = refill, last = now, given = {0, 0, 0}}
  if text then
    local held = parsed(text)
    if not held then return false end
    local whole = {held.full_at[1], held.full_at[2], 0}
    if not exceeds(now, whole) then
      whole[3] = rescaled(held.full_at[3], held.parts, refill)
      state.full_at = whole
    end
    if exceeds(held.last, now) then state.last = held.last end
    state.given = held.given
    if held.parts ~= refill then state.given = {held.given[1], held.given[2] + 1, 0} end
  end
  state.full_at = sum(state.full_at, token, refill)
  if exceeds(difference(state.full_at, now, refill), most) then return false end
  answer[number] = written(state)
  charged[number] = {answer[number], dropped_at(state.full_at, margin)}
end
local place = 7 * buckets + 6
if ARGV[place] then
  if (redis.call('GET', KEYS[buckets + 1]) or '') ~= ARGV[place] then return false end
  charged[buckets + 1] = {ARGV[place + 1], ARGV[place + 2]}
end
for number, state in ipairs(charged) do
  redis.call('SET', KEYS[number], state[1], 'PXAT', string.format('%.0f', state[2]))
end
return answer
"""
)
"""Charges every limit, or none.

Its keys are the buckets', then the log's where one is charged. Its arguments: the instant; for how
many milliseconds a value is kept after it is over; how many buckets; for each its refill, what a
token costs, and how much may be missing; of the log what it was, what it becomes and when it may be
dropped. It answers nothing where a bucket has too little, or the log is not as it was read; else
what each bucket became.
"""

GIVE_BACK: Final = Script(
    _TIMES
    + """
local now, buckets = time_at(1), tonumber(ARGV[4])
for number = 1, buckets do
  local place = 5 * number
  local refill, token = tonumber(ARGV[place]), time_at(place + 1)
  local became = parsed(ARGV[place + 4])
  local text = redis.call('GET', KEYS[number])
  local held = text and parsed(text)
  -- What another refill counts, or a bucket that was made anew since, is left alone.
  if held and held.parts == refill and not exceeds(became.given, held.given) then
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
"""Gives back what a charge took.

Its keys are those of the charge. Its arguments: the instant; how many buckets; for each its refill,
what a token costs, and what the charge answered; of the log what it was, what it became, and the
instant that was charged.
"""
