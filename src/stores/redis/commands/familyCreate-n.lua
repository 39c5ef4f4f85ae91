-- Begins a family, provided that the user's epoch is still the one that the password was checked under. Where the user
-- has as many sessions as there may be, those that were not used for longest are ended.
--
-- KEYS[1] family   KEYS[2] user   KEYS[3] the user's session index   KEYS[4..] other families of the user
-- ARGV[1] user epoch   ARGV[2] idle ms   ARGV[3] max ms   ARGV[4] member in the index   ARGV[5] most sessions, 0 for any
-- number   ARGV[6] how many other families   ARGV[7..] their members in the index, then fields and values
-- Returns the time in ms and the members of the families that it ended; or 0 and the members of families to be named,
-- because they may have to be ended, and nothing has begun; or false when the epoch has moved.

if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then
  return false
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[5])
local named = tonumber(ARGV[6])
local answer = { now }

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if most > 0 and redis.call('ZCARD', KEYS[3]) >= most then
  local living = {}
  local isNamed = {}
  for i = 1, named do
    local key, member = KEYS[3 + i], ARGV[6 + i]
    isNamed[member] = true
    local f = redis.call('HMGET', key, 'x', 'u', 't', 'r')
    if f[3] and not f[1] and f[2] == ARGV[1] then
      living[#living + 1] = { key = key, member = member, used = f[3] + f[4] }
    else
      redis.call('ZREM', KEYS[3], member)
    end
  end
  local tooMany = redis.call('ZCARD', KEYS[3]) + 1 - most
  if tooMany > #living then
    -- Bounded: where there are more than these, those that end soonest.
    local members = redis.call('ZRANGE', KEYS[3], 0, most + 99)
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
    redis.call('HSET', living[i].key, 'x', 'cap', 'z', now)
    answer[#answer + 1] = living[i].member
  end
end

local ends = now + tonumber(ARGV[3])
local expires = math.min(now + tonumber(ARGV[2]), ends)
redis.call('HSET', KEYS[1], 'g', 0, 'r', 0, 't', now, 'e', ends, unpack(ARGV, 7 + named))
redis.call('PEXPIREAT', KEYS[1], expires)

-- The index has no end of its own, which would cost as much as the entry: it goes with the user.
redis.call('ZADD', KEYS[3], expires, ARGV[4])
return answer
