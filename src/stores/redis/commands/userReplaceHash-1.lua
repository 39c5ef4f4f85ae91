-- KEYS[1] a user
-- ARGV[1] the hash and ARGV[2] the epoch it is expected to have   ARGV[3] the hash it is to have
-- Returns 1, or 0 when it has another of either, or is gone.

if redis.call('HGET', KEYS[1], 'passwordHash') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'passwordHash', ARGV[3])
return 1
