-- What a slice owes: the watched totals that its writes moved, each as the slice's own last write to it left it.
--
-- Stored in the slice's field `o`: stamp (16 bytes), then entries: length u32 of what follows, key (u16 length), period
-- (9 bytes), number of values u16, and for each field and value with u16 lengths. A reply adds which effects stand.

local EFFECT = 101 -- 'e', the first byte of the field of an effect

local function total_key(tag, key, period)
  local first, last = unpack_struct('>II', period)
  return text_format('%st:%.0f:%.0f:default:', tag, first, last) .. key
end

-- The entries of an owing text in order: { text, key, period }.
local function owing_entries(owing)
  local entries, at = {}, 17
  while at <= #owing do
    local size, key, after = unpack_struct('>IHc0', owing, at)
    entries[#entries + 1] = { text = sub(owing, at, at + size + 3), key = key, period = sub(owing, after, after + 8) }
    at = at + size + 4
  end
  return entries
end

local function owing_entry(key, period, values)
  local parts = {}
  for at = 1, #values, 2 do
    local field, value = values[at], values[at + 1]
    parts[#parts + 1] = pack('>Hc0Hc0', #field, field, #value, value)
  end
  local body = concat(parts)
  return pack('>IHc0c0H', 2 + #key + 9 + 2 + #body, #key, key, period, #parts) .. body
end

-- Names of the effects that stand at a total, as Redis holds them; nil if it is damaged.
local function standing_effects(total)
  local fields = try('HKEYS', total)
  if fields.err then return nil end
  local names = {}
  for index = 1, #fields do
    if byte(fields[index], 1) == EFFECT then names[#names + 1] = sub(fields[index], 2) end
  end
  return names
end

-- The reply's part: length u32 and text of what is owed, number u32 of standing effects, each: index of the entry u32, name.
local function owed_reply(owing, standing)
  local parts, count = {}, 0
  for index, names in pairs(standing) do
    for position = 1, #names do
      count = count + 1
      parts[count] = pack('>IHc0', index - 1, #names[position], names[position])
    end
  end
  return pack('>I', #owing) .. owing .. pack('>I', count) .. concat(parts)
end

local function owed_now(tag, owing)
  local standing = {}
  if owing ~= '' then
    for index, entry in ipairs(owing_entries(owing)) do
      standing[index] = standing_effects(total_key(tag, entry.key, entry.period)) or {}
    end
  end
  return owed_reply(owing, standing)
end
