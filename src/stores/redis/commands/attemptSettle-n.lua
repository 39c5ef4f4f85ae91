-- Says what became of an attempt that was reserved.
--
-- KEYS the subjects
-- ARGV[1] what to take from each counter: 1 to give the attempt back, 0 for one that failed
-- ARGV[2..] two for each charge: place of its subject in KEYS, counter

for i = 2, #ARGV, 2 do
  local key = KEYS[tonumber(ARGV[i])]
  -- Where the window is over there is nothing to settle, and nothing without an end may come of it.
  if redis.call('EXISTS', key) == 1 then
    for prefix, by in pairs({ ['p:'] = 1, ['n:'] = tonumber(ARGV[1]) }) do
      local field = prefix .. ARGV[i + 1]
      local left = tonumber(redis.call('HGET', key, field) or 0) - by
      if left > 0 then
        redis.call('HSET', key, field, left)
      else
        redis.call('HDEL', key, field)
      end
    end
    -- What went well leaves nothing behind: the field that is left is u.
    if redis.call('HLEN', key) == 1 then
      redis.call('DEL', key)
    end
  end
end
