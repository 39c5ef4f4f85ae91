-- The compare-and-set of the ratchet. Policy stays outside: this only compares what it was told to compare.
--
-- KEYS[1] family   KEYS[2] user   KEYS[3] the user's session index
-- ARGV[1] from   ARGV[2] to   ARGV[3] client id   ARGV[4] client epoch   ARGV[5] idle ms   ARGV[6] member in the index
-- ARGV[7] network   ARGV[8] agent
-- Returns lines, because one string is read faster than a list: applied 1 or 0, now in ms, ms to live, then sub, epoch
-- and claims of the user, then the family's fields and values, all as before. No value has a line break in it.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local user = redis.call('HMGET', KEYS[2], 'sub', 'epoch', 'claims')
local before = redis.call('HGETALL', KEYS[1])
local ttl = redis.call('PTTL', KEYS[1])

local f = {}
for i = 1, #before, 2 do
  f[before[i]] = before[i + 1]
end

-- Redis lets a key live through the very millisecond of its end; nobody else does.
local lives = ttl > 0 and now < tonumber(f.e)

local applied = 0
if lives and f.g == ARGV[1] and not f.x and f.c == ARGV[3] and f.k == ARGV[4] and f.u == user[2] then
  applied = 1
  local expires = math.min(now + tonumber(ARGV[5]), tonumber(f.e))
  redis.call('HSET', KEYS[1], 'g', ARGV[2], 'r', now - f.t, 'n', ARGV[7], 'd', ARGV[8])
  redis.call('PEXPIREAT', KEYS[1], expires)
  redis.call('ZADD', KEYS[3], 'XX', expires, ARGV[6])
end

return table.concat({
  applied, string.format('%.0f', now), ttl,
  user[1] or '', user[2] or '', user[3] or '',
  table.concat(before, '\n'),
}, '\n')
