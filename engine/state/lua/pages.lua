-- The cells of a key, a page for each UTC day: what a write will do to them. Everything here only reads.

local INDEX_DAY, INDEX_TOTAL = 4, 8

local function quarter_of(cell)
  return (unpack_struct('>I', cell))
end

-- Reads the fields of one hash out of the payload: names, what is to be added, and after which position to go on.
local function read_deltas(payload, at, count, series_at)
  local fields, deltas = {}, {}
  for index = 1, count do
    local field, next_at = unpack_struct('>Hc0', payload, at)
    local aggregate = byte(field, series_at)
    local size
    if aggregate == UNIQUE then
      local members = unpack_struct('>I', payload, next_at)
      next_at, size = next_at + 4, members * 16
    else
      size = SIZES[aggregate]
    end
    fields[index] = field
    deltas[index] = sub(payload, next_at, next_at + size - 1)
    at = next_at + size
  end
  return fields, deltas, at
end

local function members_of(digests)
  local members = {}
  for at = 1, #digests, 16 do members[#members + 1] = sub(digests, at, at + 15) end
  return members
end

local NONE = '\0\0\0\0\0\0\0\0'

-- Plans to add digests to a set and put its size into `arguments[index]` when it is written; nil if it is no set.
local function plan_unique(plan, set, digests, arguments, index)
  local size = try('SCARD', set)
  if type(size) ~= 'number' then return nil end
  plan.sets[#plan.sets + 1] = { set = set, members = members_of(digests), arguments = arguments, index = index }
  return true
end

local function page_prefix(plan, tag, day)
  local prefix = plan.prefixes[day]
  if not prefix then
    prefix = tag .. 'd:' .. text_of(day) .. ':default:'
    plan.prefixes[day] = prefix
  end
  return prefix
end

local function note_new_day(plan, key, day)
  local days = plan.new_days[key]
  if not days then plan.new_days[key] = { day } else days[#days + 1] = day end
end

-- A page of which one cell is touched, as most are: the same as `plan_page` without tables. Nil: not of this form.
local function plan_single_cell(plan, tag, key, payload, at)
  local day, arrival, touched, cell, value_at = unpack_struct('>IdHHc0', payload, at)
  local aggregate = byte(cell, 5)
  if touched ~= 1 or aggregate == UNIQUE then return nil end
  local after = value_at + SIZES[aggregate]
  local value = sub(payload, value_at, after - 1)
  local name = page_prefix(plan, tag, day) .. key
  local stored = try('HMGET', name, 'a', cell)
  if stored.err then return false, 'page ' .. day .. ': ' .. stored.err end
  local latest, old = stored[1], stored[2]
  if old then
    value = merge(aggregate, old, value)
    if not value then return false, 'cell of page ' .. day end
  end
  if latest then
    if #latest ~= 8 then return false, 'arrival of page ' .. day end
    if unpack_struct('>d', latest) >= arrival then arrival = latest else arrival = sub(payload, at + 4, at + 11) end
  else
    arrival = sub(payload, at + 4, at + 11)
    note_new_day(plan, key, day)
  end
  local singles, count = plan.singles, plan.single_count
  singles[count + 1], singles[count + 2], singles[count + 3], singles[count + 4] = name, arrival, cell, value
  plan.single_count = count + 4
  return after, nil, day, cell, value, arrival
end

local function plan_page(plan, tag, key, payload, at)
  local day, arrival, count
  day, arrival, count, at = unpack_struct('>IdH', payload, at)
  local fields, deltas
  fields, deltas, at = read_deltas(payload, at, count, 5)
  local name = page_prefix(plan, tag, day) .. key
  fields[count + 1] = 'a'
  local stored, wrong = get_cut(name, fields)
  if not stored then return nil, 'page ' .. day .. ': ' .. wrong end
  local latest = stored[count + 1]
  if latest and #latest ~= 8 then return nil, 'arrival of page ' .. day end
  if latest and unpack_struct('>d', latest) >= arrival then arrival = latest else arrival = pack('>d', arrival) end
  local arguments = { 'a', arrival }
  for index = 1, count do
    local field = fields[index]
    local aggregate = byte(field, 5)
    local value = merge(aggregate, stored[index], aggregate == UNIQUE and NONE or deltas[index])
    if not value then return nil, 'cell of page ' .. day end
    local position = #arguments
    arguments[position + 1], arguments[position + 2] = field, value
    if aggregate == UNIQUE then
      local set = tag .. 'u:c:default:' .. #key .. ':' .. key .. ':' .. field
      if not plan_unique(plan, set, deltas[index], arguments, position + 2) then return nil, 'members of a cell' end
    end
  end
  plan.hashes[#plan.hashes + 1] = { name = name, arguments = arguments }
  if not latest then note_new_day(plan, key, day) end
  return at, nil, day, arguments
end
