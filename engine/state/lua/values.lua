-- Packed values: how two of a series come together. Numbers are doubles that hold integers exactly.
--
-- A quantity is three limbs (high, middle, low) of 10^15 in floor form: only the high one is signed. Nothing here
-- writes; nil instead of a value means that one cannot be updated (wrong length, not a number, no room).

local pack, unpack_struct, byte, sub, text_format, find, match, each_match, concat, floor, abs, unpack_list, call, try
-- While a library is loaded there is nothing but `redis.register_function`: every function begins with this.
local function bind()
  if pack then return end
  pack, unpack_struct = struct.pack, struct.unpack
  byte, sub, text_format = string.byte, string.sub, string.format
  find, match, each_match = string.find, string.match, string.gmatch
  concat, unpack_list, floor, abs = table.concat, unpack, math.floor, math.abs
  call, try = redis.call, redis.pcall
end

local LIMB, MOST = 1e15, 9007199254740992
local COUNT, SUM, MIN, MAX, LATEST, UNIQUE = 1, 2, 3, 4, 5, 6
local SIZES = { 8, 32, 24, 24, 52, 8 }

local function sound(high, middle, low)
  return low >= 0 and low < LIMB and middle >= 0 and middle < LIMB and high > -MOST and high < MOST
end

local function countable(count)
  return count >= 0 and count < MOST
end

-- Ranks are compared in numbers: the order of Lua's strings depends on the locale.
local function later(left, right)
  for at = 1, 25, 4 do
    local a, b = unpack_struct('>I', left, at), unpack_struct('>I', right, at)
    if a ~= b then return a > b end
  end
  return false
end

local function below(left, right, at)
  local high, middle, low = unpack_struct('>ddd', left, at)
  local high2, middle2, low2 = unpack_struct('>ddd', right, at)
  if not (sound(high, middle, low) and sound(high2, middle2, low2)) then return nil end
  if high ~= high2 then return high < high2 end
  if middle ~= middle2 then return middle < middle2 end
  return low < low2
end

local MERGE = {
  [COUNT] = function(old, new)
    local sum = unpack_struct('>d', old) + unpack_struct('>d', new)
    return countable(sum) and pack('>d', sum) or nil
  end,
  [SUM] = function(old, new)
    local count, high, middle, low = unpack_struct('>dddd', old)
    if not (sound(high, middle, low) and countable(count)) then return nil end
    local count2, high2, middle2, low2 = unpack_struct('>dddd', new)
    count, high, middle, low = count + count2, high + high2, middle + middle2, low + low2
    if low >= LIMB then low, middle = low - LIMB, middle + 1 end
    if middle >= LIMB then middle, high = middle - LIMB, high + 1 end
    if not (sound(high, middle, low) and countable(count)) then return nil end
    return pack('>dddd', count, high, middle, low)
  end,
  [MIN] = function(old, new)
    local less = below(new, old, 1)
    if less == nil then return nil end
    return less and new or old
  end,
  [MAX] = function(old, new)
    local less = below(old, new, 1)
    if less == nil then return nil end
    return less and new or old
  end,
  [LATEST] = function(old, new)
    if below(old, old, 29) == nil then return nil end
    return later(new, old) and new or old
  end,
  [UNIQUE] = function(old, new)
    return countable(unpack_struct('>d', old)) and new or nil -- counted again when the sets are written
  end,
}

-- `old` is what Redis answered: false for none.
local function merge(aggregate, old, new)
  if not old then return new end
  if #old ~= SIZES[aggregate] then return nil end
  return MERGE[aggregate](old, new)
end

-- Redis takes at most some thousand arguments from Lua at once.
local ARGUMENTS_MAX = 4000

local function call_cut(command, key, arguments)
  local count = #arguments
  if count <= ARGUMENTS_MAX then return call(command, key, unpack_list(arguments)) end
  for at = 1, count, ARGUMENTS_MAX do
    call(command, key, unpack_list(arguments, at, math.min(at + ARGUMENTS_MAX - 1, count)))
  end
end

-- The values of `fields`, or nil and what is wrong.
local function get_cut(key, fields)
  local count = #fields
  if count <= ARGUMENTS_MAX then
    local values = try('HMGET', key, unpack_list(fields))
    if values.err then return nil, values.err end
    return values
  end
  local values = {}
  for at = 1, count, ARGUMENTS_MAX do
    local some = try('HMGET', key, unpack_list(fields, at, math.min(at + ARGUMENTS_MAX - 1, count)))
    if some.err then return nil, some.err end
    for index = 1, #some do values[at + index - 1] = some[index] end
  end
  return values
end
