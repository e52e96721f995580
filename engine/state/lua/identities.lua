-- Remembered identities: small hashes (chunks) addressed by linear hashing with an identity's last three bytes.
--
-- A chunk's number has at least 8 bits, so that the identity's last byte is implied by it; from 16 bits on the last two
-- are. What is implied is not stored. The value is one integer for the arrival day and the partition of the event that
-- counted (both as text where the partition has no room in it); several entries of an identity are joined by commas.

local LEVEL_MIN, LEVEL_MAX = 8, 23
local CHUNK_LOAD = 24 -- mean entries a chunk above which one is split
local SPLIT_EVERY = 8 -- at most one split for so many events of a write
local FLOOR_EVERY = 16 -- writes of a bucket between two looks for what may be forgotten
local BITS_MAX = 12
local BEGINNING = -2147483648
local META, META_BYTES = '>BBIdiiiII', 34
local TEXTS = {} -- number -> its text: a pure cache

local function text_of(number)
  local text = TEXTS[number]
  if not text then
    text = text_format('%d', number)
    if number < 65536 then TEXTS[number] = text end
  end
  return text
end

-- The bucket's book-keeping; nil if it is damaged.
local function open_identities(tag, partitions, day)
  local stored = try('HGET', tag .. 'm', 'i')
  local meta = { tag = tag, prefix = tag .. 'x:', new = not stored }
  if not stored then
    local bits = 0
    while 2 ^ bits < partitions and bits < BITS_MAX do bits = bits + 1 end
    meta.level, meta.bits, meta.split, meta.entries = LEVEL_MIN, bits, 0, 0
    meta.base, meta.floor, meta.target, meta.pointer, meta.writes = day, day, BEGINNING, 0, 0
  else
    if type(stored) ~= 'string' or #stored ~= META_BYTES then return nil end
    meta.level, meta.bits, meta.split, meta.entries, meta.base, meta.floor, meta.target, meta.pointer, meta.writes =
      unpack_struct(META, stored)
    local sound = meta.level >= LEVEL_MIN and meta.level <= LEVEL_MAX and meta.bits <= BITS_MAX
    if not (sound and meta.split < 2 ^ meta.level and meta.entries >= 0 and meta.entries < 2 ^ 53) then return nil end
  end
  meta.size, meta.width = 2 ^ meta.level, 2 ^ meta.bits
  return meta
end

local function close_identities(meta)
  call('HSET', meta.tag .. 'm', 'i', pack(META, meta.level, meta.bits, meta.split, meta.entries, meta.base,
    meta.floor, meta.target, meta.pointer, meta.writes % 4294967296))
end

-- A function from where an identity's 16 bytes begin in `text` to its chunk's key and its field there.
local function placer(meta, text)
  local prefix, size, split = meta.prefix, meta.size, meta.split
  local double = size + size
  local last, last_split = size < 65536 and 14 or 13, double < 65536 and 14 or 13
  return function(at)
    local third, second, first = byte(text, at + 13, at + 15)
    local number = third * 65536 + second * 256 + first
    local chunk = number % size
    if chunk < split then
      chunk = number % double
      return prefix .. (TEXTS[chunk] or text_of(chunk)), sub(text, at, at + last_split)
    end
    return prefix .. (TEXTS[chunk] or text_of(chunk)), sub(text, at, at + last)
  end
end

local function entry_text(meta, day, partition)
  if partition < meta.width then return text_format('%.0f', (day - meta.base) * meta.width + partition) end
  return text_format('%.0f/%.0f', day - meta.base, partition)
end

local function entry_day(meta, text)
  local number = tonumber(text)
  if number then return meta.base + floor(number / meta.width) end
  return meta.base + tonumber(match(text, '^(-?%d+)/%d+$'))
end

-- Whether `entries`, the text of all that is remembered of an identity, holds one within the horizon of `day`.
local function remembers(meta, entries, day, horizon)
  if not find(entries, ',', 1, true) then return abs(entry_day(meta, entries) - day) <= horizon end
  for text in each_match(entries, '[^,]+') do
    if abs(entry_day(meta, text) - day) <= horizon then return true end
  end
  return false
end

-- Moves the entries of the next chunk that belong to its new sibling. Returns false where one of them is damaged.
local function split_chunk(meta)
  local size, chunk = meta.size, meta.split
  local from, to = meta.prefix .. text_of(chunk), meta.prefix .. text_of(chunk + size)
  local found = try('HGETALL', from)
  if found.err or type(try('HLEN', to)) ~= 'number' then return false end
  local low = chunk % 256
  local high = floor(chunk / 256) % 256
  local trimmed = size < 65536 and size * 2 >= 65536
  local stay, move, moved = {}, {}, {}
  for at = 1, #found, 2 do
    local field, entries = found[at], found[at + 1]
    local number
    if size >= 65536 then number = byte(field, 14) * 65536 + high * 256 + low
    else number = byte(field, 14) * 65536 + byte(field, 15) * 256 + low end
    local short = trimmed and sub(field, 1, 14) or field
    if number % (size * 2) == chunk then
      stay[#stay + 1] = short
      stay[#stay + 1] = entries
    else
      move[#move + 1] = short
      move[#move + 1] = entries
      moved[#moved + 1] = field
    end
  end
  if trimmed then
    call('DEL', from)
    if #stay > 0 then call_cut('HSET', from, stay) end
  elseif #moved > 0 then
    call_cut('HDEL', from, moved)
  end
  if #move > 0 then call_cut('HSET', to, move) end
  meta.split = chunk + 1
  if meta.split >= size then meta.level, meta.size, meta.split = meta.level + 1, size * 2, 0 end
  return true
end

local function grow(meta, judged)
  local left = 1 + floor(judged / SPLIT_EVERY)
  while left > 0 and meta.level < LEVEL_MAX and meta.entries > CHUNK_LOAD * (meta.size + meta.split) do
    if not split_chunk(meta) then return end
    left = left - 1
  end
end

-- The lowest day at `low` over all slices of the bucket; a slice without a record is at the beginning of time.
local function oldest_day(tag, partitions)
  local oldest = 2147483647
  for partition = 0, partitions - 1 do
    local record = try('HGET', tag .. 's:' .. text_of(partition), 'r')
    if type(record) ~= 'string' or #record < 12 then return BEGINNING end
    local day = unpack_struct('>I', record, 9) + BEGINNING
    if day < oldest then oldest = day end
  end
  return oldest
end

-- Drops what no event still to come can ask for: one chunk a write, round after round, each round up to a fixed day.
local function sweep(meta, partitions, day, horizon)
  meta.writes = meta.writes + 1
  if meta.target <= meta.floor then
    if meta.writes % FLOOR_EVERY ~= 0 or day - horizon - 1 <= meta.floor then return end
    local target = oldest_day(meta.tag, partitions) - horizon - 1
    if target <= meta.floor then return end
    meta.target, meta.pointer = target, 0
  end
  local name = meta.prefix .. text_of(meta.pointer)
  local found = try('HGETALL', name)
  if found.err then found = {} end
  local gone = {}
  for at = 1, #found, 2 do
    local entries, kept = found[at + 1], {}
    for text in each_match(entries, '[^,]+') do
      if entry_day(meta, text) >= meta.target then kept[#kept + 1] = text end
    end
    if #kept == 0 then
      gone[#gone + 1] = found[at]
    elseif #kept[1] < #entries and concat(kept, ',') ~= entries then
      call('HSET', name, found[at], concat(kept, ','))
    end
  end
  if #gone > 0 then
    call_cut('HDEL', name, gone)
    meta.entries = meta.entries - #gone
  end
  meta.pointer = meta.pointer + 1
  -- A split behind the pointer moves only swept entries; one ahead of it moves them further ahead.
  if meta.pointer >= meta.size + meta.split then meta.floor, meta.pointer = meta.target, 0 end
end
