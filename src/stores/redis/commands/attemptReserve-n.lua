-- Takes one out of every budget, or out of none.
--
-- KEYS the subjects, each with its counters: fields n:COUNTER failed, p:COUNTER for each of three batches how many are
--   pending and when these are forgotten (ms)
-- ARGV[1] window ms   ARGV[2] ms for which an attempt may be pending, 0 for a failure that has happened   ARGV[3] batch,
--   from 1 on
-- ARGV[4..] five for each charge: place of its subject in KEYS, counter, limit, limit for newcomers, and the place of the
--   charge whose counter is empty for a newcomer, or 0
-- Returns the place of the charge that refuses, or 0; 1 where that is pending, else 0; ms to the end of its window.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function numbers(text)
  local read = {}
  for number in string.gmatch(text or '', '%d+') do
    read[#read + 1] = tonumber(number)
  end
  for at = #read + 1, 6 do
    read[at] = 0
  end
  return read
end

local batch = tonumber(ARGV[3])
local charges = {}
for i = 4, #ARGV, 5 do
  local key = KEYS[tonumber(ARGV[i])]
  -- What cannot be counted in, or has no end, would refuse for good. A key that is not there is not deleted: that is a
  -- write, after which Redis lets a script write on although it has no memory for it.
  local ttl = redis.call('PTTL', key)
  if ttl == -1 or (ttl >= 0 and redis.call('TYPE', key).ok ~= 'hash') then
    redis.call('DEL', key)
  elseif ttl > tonumber(ARGV[1]) then
    -- The clock was set back. With the window ends what is pending, too.
    redis.call('PEXPIRE', key, ARGV[1])
  end
  local read = redis.call('HMGET', key, 'n:' .. ARGV[i + 1], 'p:' .. ARGV[i + 1])
  local charge = { key = key, counter = ARGV[i + 1], n = tonumber(read[1] or 0) }
  charge.held = charge.n
  charge.pending = numbers(read[2])
  for at = 1, 5, 2 do
    if now >= charge.pending[at + 1] then
      charge.pending[at] = 0
    end
    charge.held = charge.held + charge.pending[at]
  end
  charge.limit, charge.newcomers, charge.emptyAt = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  charges[#charges + 1] = charge
end

-- By failures alone first: a newcomer whose first attempt is under way may yet be one, and waits for that.
for turn, counted in ipairs({ 'n', 'held' }) do
  for i, charge in ipairs(charges) do
    local isNewcomer = charge.emptyAt > 0 and charges[charge.emptyAt][counted] == 0
    if charge[counted] >= (isNewcomer and charge.newcomers or charge.limit) then
      return { i, turn - 1, math.max(0, redis.call('PTTL', charge.key)) }
    end
  end
end

for _, charge in ipairs(charges) do
  if ARGV[2] == '0' then
    redis.call('HINCRBY', charge.key, 'n:' .. charge.counter, 1)
  else
    charge.pending[2 * batch - 1] = charge.pending[2 * batch - 1] + 1
    charge.pending[2 * batch] = now + tonumber(ARGV[2])
    local pending = string.format('%.0f %.0f %.0f %.0f %.0f %.0f', unpack(charge.pending))
    redis.call('HSET', charge.key, 'p:' .. charge.counter, pending)
  end
  if redis.call('PTTL', charge.key) < 0 then
    redis.call('PEXPIRE', charge.key, ARGV[1])
  end
end
return { 0, 0, 0 }
