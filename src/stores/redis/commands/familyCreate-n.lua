-- Begins a family, provided that the user's epoch is still the one that the password was checked under. Where the user
-- has as many sessions as there may be, those that were not used for longest are ended.
--
-- KEYS[1] family   KEYS[2] user   KEYS[3] the user's session index   KEYS[4..] other families of the user
-- ARGV[1] user epoch   ARGV[2] idle ms   ARGV[3] max ms   ARGV[4] member in the index   ARGV[5] most sessions, 0 for any
-- number   ARGV[6] 1 for a family that does not count   ARGV[7] the record up to when it begins   ARGV[8] the record from
-- there on   ARGV[9..] the members of the other families in the index
-- Returns the time in ms and the members of the families that it ended; or 0 and the members of families to be named,
-- because they may have to be ended or may be gone, and nothing has begun; or false when the epoch has moved.

-- How many of those that end soonest are looked at where nothing has to be ended: some of them may be gone.
local TIDIED = 10

local function base36(number)
  local digits = ''
  repeat
    local digit = number % 36
    digits = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. digits
    number = (number - digit) / 36
  until number == 0
  return digits
end

-- The client that signs in, and its epoch. Those of other clients are not known here.
local ownClient, ownEpoch = string.match(ARGV[7], '\n(%S+) (%w+) %w+ $')

-- When it was last used, of a family that is neither revoked nor of an epoch before.
local function usedAt(record)
  local rotated, client, clientEpoch, epoch, begun = string.match(record,
    '^%d+ (%d+)[^\n]*\n[^\n]*\n[^\n]*\n(%S+) (%w+) (%w+) (%w+) [^\n]*\n[^\n]*\n[^\n]*$')
  local isOver = client == ownClient and clientEpoch ~= ownEpoch
  if rotated and not isOver and tonumber(epoch, 36) == tonumber(ARGV[1]) then
    return tonumber(begun, 36) + tonumber(rotated)
  end
end

local user = redis.call('HMGET', KEYS[2], 'epoch', 'family')
if user[1] ~= ARGV[1] then
  return false
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[5])
local counts = ARGV[6] ~= '1'
local answer = { now }

-- One session of a user is in the user's own record, where it costs less than the first in an index; the others are there.
local first, till = string.match(user[2] or '', '^(%S+) (%w+)$')
if first and (not counts or tonumber(till, 36) <= now) then
  first = nil
end
if type(redis.pcall('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)) == 'table' then
  -- What is of another type is no index, and would keep the user from signing in for good.
  redis.call('DEL', KEYS[3])
end
local others = redis.call('ZCARD', KEYS[3])

-- What has ended is not in the index any more: it would be counted by those to whom it has not been named.
local function unlist(member)
  if member == first then
    first = nil
  else
    others = others - redis.call('ZREM', KEYS[3], member)
  end
end

if counts and (first or others > 0) then
  local isFull = most > 0 and others + (first and 1 or 0) >= most
  local living = {}
  local isNamed = {}
  for i = 4, #KEYS do
    local key, member = KEYS[i], ARGV[5 + i]
    isNamed[member] = true
    -- What is no string is as little a session of ours as a string of another form.
    local record = redis.pcall('GET', key)
    local used = type(record) == 'string' and usedAt(record)
    if used then
      living[#living + 1] = { key = key, member = member, used = used, record = record }
    elseif not record or isFull then
      unlist(member)
    end
  end
  local tooMany = most > 0 and others + (first and 1 or 0) + 1 - most or 0
  if #KEYS == 3 or tooMany > #living then
    -- Bounded: where there are more than these, those that end soonest.
    local members = redis.call('ZRANGE', KEYS[3], 0, isFull and most + 99 or TIDIED - 1)
    members[#members + 1] = first
    for _, member in ipairs(members) do
      if not isNamed[member] then
        return { 0, unpack(members) }
      end
    end
  end
  table.sort(living, function(a, b)
    return a.used < b.used
  end)
  -- What began since they were named is not among them, and was used later than they.
  for i = 1, math.min(#living, tooMany) do
    local ended = living[i]
    redis.call('SET', ended.key, ended.record .. '\ncap ' .. string.format('%.0f', now), 'KEEPTTL')
    unlist(ended.member)
    answer[#answer + 1] = ended.member
  end
end

local ends = now + tonumber(ARGV[3])
redis.call('SET', KEYS[1], ARGV[7] .. base36(now) .. ARGV[8], 'PXAT', math.min(now + tonumber(ARGV[2]), ends))

-- Neither has an end of its own, which would cost as much as the entry: they go with the user.
if counts and not first then
  redis.call('HSET', KEYS[2], 'family', ARGV[4] .. ' ' .. base36(ends))
else
  redis.call('ZADD', KEYS[3], ends, ARGV[4])
end
return answer
