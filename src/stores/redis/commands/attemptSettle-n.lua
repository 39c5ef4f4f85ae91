-- Says what became of an attempt that was reserved.
--
-- KEYS the subjects
-- ARGV[1] what to take from each counter: 1 to give the attempt back, 0 for one that failed   ARGV[2] batch, from 1 on
-- ARGV[3..] two for each charge: place of its subject in KEYS, counter

for i = 3, #ARGV, 2 do
  local key = KEYS[tonumber(ARGV[i])]
  -- Where the window is over there is nothing to settle, and nothing without an end may come of it. What went well leaves
  -- nothing behind.
  if redis.call('EXISTS', key) == 1 then
    local charged, pending = 'n:' .. ARGV[i + 1], 'p:' .. ARGV[i + 1]
    local left = tonumber(redis.call('HGET', key, charged) or 0) - tonumber(ARGV[1])
    if left > 0 then
      redis.call('HSET', key, charged, left)
    else
      redis.call('HDEL', key, charged)
    end
    local batches, waiting = {}, 0
    for count, till in string.gmatch(redis.call('HGET', key, pending) or '', '(%d+) (%d+)') do
      local isOwn = #batches + 1 == tonumber(ARGV[2])
      local rest = math.max(0, tonumber(count) - (isOwn and 1 or 0))
      batches[#batches + 1] = string.format('%.0f %s', rest, till)
      waiting = waiting + rest
    end
    if waiting > 0 then
      redis.call('HSET', key, pending, table.concat(batches, ' '))
    else
      redis.call('HDEL', key, pending)
    end
  end
end
