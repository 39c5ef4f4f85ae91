-- The compare-and-set of the ratchet. Policy stays outside: this only compares what it was told to compare.
--
-- KEYS[1] family   KEYS[2] user
-- ARGV[1] from   ARGV[2] to   ARGV[3] client id and client epoch as in the record   ARGV[4] idle ms   ARGV[5] network and
-- agent as in the record
-- Returns lines, because one string is read faster than a list: applied 1 or 0, now in ms, ms to live, then sub, epoch
-- and claims of the user, then the family's record, all as before. No line of the user has a line break in it.

local call = redis.call
local time = call('TIME')
-- Lua writes whole numbers of up to 14 digits as they are.
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local user = call('HMGET', KEYS[2], 'sub', 'epoch', 'claims')
local record = call('GET', KEYS[1])
local ttl = call('PTTL', KEYS[1])

local applied = 0
if record and user[2] then
  -- A line more is a revocation; what is not in this form stays as it is.
  local from, replays, fixed, client, userEpoch, begun, lasts = string.match(record,
    '^(%d+) %d+([ %d]*)\n[ -~]*\n[ -~]*\n((%S+ %w+) (%w+) (%w+) (%w+) ?b?\n[ -~]*\n[ -~]*)$')
  if from == ARGV[1] and client == ARGV[3] and tonumber(userEpoch, 36) == tonumber(user[2]) then
    begun = tonumber(begun, 36)
    local ends = begun + tonumber(lasts, 36)
    -- Redis lets a key live through the very millisecond of its end; nobody else does.
    if ttl > 0 and now < ends then
      applied = 1
      -- Also where the clock was set back: no time is before the sign-in.
      call('SET', KEYS[1],
        ARGV[2] .. ' ' .. math.max(0, now - begun) .. replays .. '\n' .. ARGV[5] .. '\n' .. fixed,
        'PXAT', math.min(now + tonumber(ARGV[4]), ends))
    end
  end
end

return applied .. '\n' .. now .. '\n' .. ttl .. '\n' ..
  (user[1] or '') .. '\n' .. (user[2] or '') .. '\n' .. (user[3] or '') .. '\n' .. (record or '')
