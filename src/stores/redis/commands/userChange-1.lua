-- KEYS[1] a user
-- ARGV[1] the epoch that it is expected to have, or empty   ARGV[2..] fields and values to replace
-- Returns 1, or 0 when there is no such user.

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or (ARGV[1] ~= '' and ARGV[1] ~= epoch) then
  return 0
end
if #ARGV > 1 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
end
return 1
