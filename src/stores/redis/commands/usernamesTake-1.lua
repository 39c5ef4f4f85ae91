-- KEYS[1] the user names
-- ARGV names and subs in turn
-- Returns for each 1, or 0 when the name is taken.

local taken = {}
for i = 1, #ARGV, 2 do
  taken[#taken + 1] = redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
end
return taken
