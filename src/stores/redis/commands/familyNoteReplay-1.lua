-- KEYS[1] family
-- ARGV[1] last generation repeated by another sender   ARGV[2] how many generations in a row

-- A count must not bring back, without an end, a family that has just gone.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'y', 1)
  if ARGV[2] ~= '0' then
    redis.call('HSET', KEYS[1], 'l', ARGV[1], 'm', ARGV[2])
  end
end
