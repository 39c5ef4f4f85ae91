-- Ends a family for good; the record stays, as a tombstone, until its end.
--
-- KEYS[1] family
-- ARGV[1] reason
-- Returns 'revoked', 'already_revoked' or 'gone'.

local LIVING = '^%d+ %d+[ %d]*\n[ -~]*\n[ -~]*\n%S+ %w+ %w+ %w+ %w+ ?b?\n[ -~]*\n[ -~]*'

-- A session of another version may be of another type.
local reply = redis.pcall('GET', KEYS[1])
local record = type(reply) == 'table' and '' or reply
if not record then
  return 'gone'
end
if string.match(record, LIVING .. '\n%l+ %d+$') then
  -- Written again, or the WAIT that follows has nothing to wait for: from Redis 7.2 on it goes by what its connection
  -- wrote, and no replica need have the revocation that is there.
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
  return 'already_revoked'
end
-- One that is damaged has no place for a tombstone: cut off in its fifth line, it would be a living one with a line more.
if not string.match(record, LIVING .. '$') then
  redis.call('DEL', KEYS[1])
  return 'revoked'
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], record .. '\n' .. ARGV[1] .. ' ' .. now, 'KEEPTTL')
return 'revoked'
