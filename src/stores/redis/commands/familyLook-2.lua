-- KEYS[1] family   KEYS[2] user
-- Returns the lines that familyAdvance returns, with nothing applied.

local time = redis.call('TIME')
local user = redis.call('HMGET', KEYS[2], 'sub', 'epoch', 'claims')
return table.concat({
  0, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), redis.call('PTTL', KEYS[1]),
  user[1] or '', user[2] or '', user[3] or '',
  redis.call('GET', KEYS[1]) or '',
}, '\n')
