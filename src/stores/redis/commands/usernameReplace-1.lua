-- KEYS[1] the user names
-- ARGV[1] name   ARGV[2] the sub it is expected to have   ARGV[3] the sub it is to have
-- Returns 1, or 0 when it has another.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
