-- Remembers a network, and forgets what is beyond the bounds. The key goes with the user and has no end of its own: keys
-- that have one are counted as sessions.
--
-- KEYS[1] the networks of a user name, scored by when they were noted (ms)
-- ARGV[1] digest   ARGV[2] how many to remember   ARGV[3] for how many ms

-- Of what is of another type no network is known, and nothing is lost with it.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('DEL', KEYS[1])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[2]))
