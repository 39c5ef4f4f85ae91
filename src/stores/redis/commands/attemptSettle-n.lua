-- Says what became of an attempt that was reserved.
--
-- KEYS the subjects
-- ARGV[1] window ms for one that failed, 0 to give it back   ARGV[2] batch, from 1 on
-- ARGV[3..] two for each charge: place of its subject in KEYS, counter

for i = 3, #ARGV, 2 do
  local key = KEYS[tonumber(ARGV[i])]
  -- Before it is taken off what is pending: without a field the key would be gone, and the window's end with it.
  if ARGV[1] ~= '0' and redis.call('HINCRBY', key, 'n:' .. ARGV[i + 1], 1) == 1 and redis.call('PTTL', key) < 0 then
    redis.call('PEXPIRE', key, ARGV[1])
  end
  local pending = 'p:' .. ARGV[i + 1]
  local batches, waiting = {}, 0
  for count, till in string.gmatch(redis.call('HGET', key, pending) or '', '(%d+) (%d+)') do
    local isOwn = #batches + 1 == tonumber(ARGV[2])
    local rest = math.max(0, tonumber(count) - (isOwn and 1 or 0))
    batches[#batches + 1] = string.format('%.0f %s', rest, till)
    waiting = waiting + rest
  end
  -- What went well leaves nothing behind.
  if waiting > 0 then
    redis.call('HSET', key, pending, table.concat(batches, ' '))
  elseif #batches > 0 then
    redis.call('HDEL', key, pending)
  end
end
