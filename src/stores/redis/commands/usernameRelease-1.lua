-- KEYS[1] the user names
-- ARGV[1] name   ARGV[2] the sub that gives it up
-- Returns 1, or 0 when the name is another's by now.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
