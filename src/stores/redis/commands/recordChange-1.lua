-- KEYS[1] a client or a user
-- ARGV fields and values to replace
-- Returns 1, or 0 when there is none.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if #ARGV > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
end
return 1
