-- The compare-and-set of the ratchet. Policy stays outside: this only compares what it was told to compare.
--
-- KEYS[1] family   KEYS[2] user   KEYS[3] the user's session index
-- ARGV[1] from   ARGV[2] to   ARGV[3] client id   ARGV[4] client epoch   ARGV[5] idle ms   ARGV[6] member in the index
-- ARGV[7] network   ARGV[8] agent
-- Returns {applied 1 or 0, now in ms, ms to live, family fields and values, {sub, epoch of the user}}, as before.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local user = redis.call('HMGET', KEYS[2], 'sub', 'epoch')
local before = redis.call('HGETALL', KEYS[1])
local ttl = redis.call('PTTL', KEYS[1])

local f = {}
for i = 1, #before, 2 do
  f[before[i]] = before[i + 1]
end

if f.g ~= ARGV[1] or f.x or f.c ~= ARGV[3] or f.k ~= ARGV[4] or f.u ~= user[2] then
  return { 0, now, ttl, before, user }
end

local expires = math.min(now + tonumber(ARGV[5]), tonumber(f.e))
redis.call('HSET', KEYS[1], 'g', ARGV[2], 'r', now, 'n', ARGV[7], 'd', ARGV[8])
redis.call('PEXPIREAT', KEYS[1], expires)
redis.call('ZADD', KEYS[3], 'XX', expires, ARGV[6])
return { 1, now, ttl, before, user }
