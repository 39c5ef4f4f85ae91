-- Ends a family for good; the record stays, as a tombstone, until its end.
--
-- KEYS[1] family
-- ARGV[1] reason
-- Returns 'revoked', 'already_revoked' or 'gone'.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'gone'
end
if redis.call('HSETNX', KEYS[1], 'x', ARGV[1]) == 0 then
  return 'already_revoked'
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'z', time[1] * 1000 + math.floor(time[2] / 1000))
return 'revoked'
