-- Ends a family for good; the record stays, as a tombstone, until its end.
--
-- KEYS[1] family
-- ARGV[1] reason
-- Returns 'revoked', 'already_revoked' or 'gone'.

local record = redis.call('GET', KEYS[1])
if not record then
  return 'gone'
end
-- The line after the sixth. A record with fewer is damaged, and no token is good for it whatever is added.
if string.match(record, '^[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n') then
  -- Written again, or the WAIT that follows has nothing to wait for: from Redis 7.2 on it goes by what its connection
  -- wrote, and no replica need have the revocation that is there.
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
  return 'already_revoked'
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], record .. '\n' .. ARGV[1] .. ' ' .. now, 'KEEPTTL')
return 'revoked'
