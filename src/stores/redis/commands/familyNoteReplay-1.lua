-- KEYS[1] family
-- ARGV[1] last generation repeated by another sender   ARGV[2] how many generations in a row

-- A count must not bring back, without an end, a family that has just gone.
local record = redis.call('GET', KEYS[1])
if not record then
  return
end
local rotation, counts, rest = string.match(record, '^(%d+ %d+)([ %d]*)(\n.*)$')
if not rotation then
  return redis.error_reply('DAMAGED cannot be read')
end
local replays, generation, run = string.match(counts, '^ (%d+) (%d+) (%d+)$')
-- Never an older one: of two repeats at once the later may have been decided before.
if tonumber(ARGV[1]) > tonumber(generation or 0) then
  generation, run = ARGV[1], ARGV[2]
end
redis.call('SET', KEYS[1], string.format('%s %.0f %s %s', rotation, (replays or 0) + 1, generation or 0, run or 0) .. rest,
  'KEEPTTL')
