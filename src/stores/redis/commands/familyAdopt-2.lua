-- Takes a family over from another store, unless the one that is here is revoked or further on.
--
-- KEYS[1] family   KEYS[2] the user's session index
-- ARGV[1] generation   ARGV[2] when it expires, in ms   ARGV[3] member in the index   ARGV[4] 1 where it is revoked
-- ARGV[5..] the other fields and values
-- Returns 1 when it was taken, else 0.

local here = redis.call('HMGET', KEYS[1], 'g', 'x')
local ahead = here[1] and tonumber(here[1]) - tonumber(ARGV[1])
if here[2] or (ahead and (ahead > 0 or (ahead == 0 and ARGV[4] ~= '1'))) then
  return 0
end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(ARGV[2]) then
  return 0
end

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'g', ARGV[1], unpack(ARGV, 5))
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
return 1
