-- KEYS[1] family   KEYS[2] user
-- Returns {now in ms, ms to live, family fields and values, {sub, epoch of the user}}.

local time = redis.call('TIME')
return {
  time[1] * 1000 + math.floor(time[2] / 1000),
  redis.call('PTTL', KEYS[1]),
  redis.call('HGETALL', KEYS[1]),
  redis.call('HMGET', KEYS[2], 'sub', 'epoch'),
}
