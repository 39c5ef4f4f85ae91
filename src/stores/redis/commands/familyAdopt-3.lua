-- Takes a family over from another store, unless the one that is here is revoked or further on.
--
-- KEYS[1] family   KEYS[2] user   KEYS[3] the user's session index
-- ARGV[1] generation   ARGV[2] when it expires, in ms   ARGV[3] member in the index   ARGV[4] 1 where it is revoked
-- ARGV[5] absolute end, in ms   ARGV[6] the same in base 36, or empty for what is not to be the user's session
-- ARGV[7] the record
-- Returns 1 when it was taken, else 0; an error where the one that is here is damaged, and nothing is overwritten.

local here = redis.call('GET', KEYS[1])
if here then
  local generation, tombstone = string.match(here,
    '^(%d+) %d+[ %d]*\n[ -~]*\n[ -~]*\n%S+ %w+ %w+ %w+ %w+ ?b?\n[ -~]*\n[ -~]*(.*)$')
  local isRevoked = tombstone and string.match(tombstone, '^\n%l+ %d+$')
  if not generation or (tombstone ~= '' and not isRevoked) or redis.call('PTTL', KEYS[1]) == -1 then
    return redis.error_reply('DAMAGED cannot be read')
  end
  local ahead = tonumber(generation) - tonumber(ARGV[1])
  if isRevoked or ahead > 0 or (ahead == 0 and ARGV[4] ~= '1') then
    return 0
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now >= tonumber(ARGV[2]) then
  return 0
end

redis.call('SET', KEYS[1], ARGV[7], 'PXAT', ARGV[2])
local kind = redis.call('TYPE', KEYS[3]).ok
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('DEL', KEYS[3])
end
local user = redis.call('HMGET', KEYS[2], 'sub', 'family')
local member, till = string.match(user[2] or '', '^(%S+) (%w+)$')
local isFree = not member or tonumber(till, 36) <= now
if member == ARGV[3] or (ARGV[6] ~= '' and user[1] and isFree and not redis.call('ZSCORE', KEYS[3], ARGV[3])) then
  redis.call('HSET', KEYS[2], 'family', ARGV[3] .. ' ' .. ARGV[6])
else
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[3])
end
return 1
