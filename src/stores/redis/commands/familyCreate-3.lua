-- Begins a family, provided that the user's epoch is still the one that the password was checked under.
--
-- KEYS[1] family   KEYS[2] user   KEYS[3] the user's session index
-- ARGV[1] user epoch   ARGV[2] idle ms   ARGV[3] max ms   ARGV[4] member in the index   ARGV[5..] fields and values
-- Returns the time in ms, or false when the epoch has moved.

if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then
  return false
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + tonumber(ARGV[3])
local expires = math.min(now + tonumber(ARGV[2]), ends)

redis.call('HSET', KEYS[1], 'g', 0, 'r', 0, 't', now, 'e', ends, unpack(ARGV, 5))
redis.call('PEXPIREAT', KEYS[1], expires)

-- The index has no end of its own, which would cost as much as the entry: it goes with the user.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], expires, ARGV[4])
return now
