-- The one write: of each slice in the call, compare the record, judge the identities, read and check all that will be
-- touched, and only then write. Slices are independent: each is written as a whole or not at all.

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

-- The fields and values of a total summed from the key's cells of [first, last) as this write leaves them.
local function seed_total(plan, tag, key, period, pages)
  local first, last = unpack_struct('>II', period)
  local days, values, order, sets = {}, {}, {}, {}
  local function take(cell, value)
    local quarter = quarter_of(cell)
    if quarter < first or quarter >= last then return true end
    local series = sub(cell, 5)
    local aggregate = byte(series, 1)
    if not SIZES[aggregate] or #value ~= SIZES[aggregate] then return nil end
    if not values[series] then order[#order + 1] = series end
    values[series] = merge(aggregate, values[series] or false, value)
    if aggregate == UNIQUE then
      sets[series] = sets[series] or {}
      local all = sets[series]
      all[#all + 1] = tag .. 'u:c:default:' .. #key .. ':' .. key .. ':' .. cell
      if type(try('SCARD', all[#all])) ~= 'number' then return nil end
    end
    return values[series]
  end
  for day in pairs(pages) do days[day] = true end
  local index = plan.indexes[key] or ''
  local known = index == '' and 0 or unpack_struct('>H', index)
  for number = 0, known - 1 do days[unpack_struct('>I', index, 3 + number * INDEX_DAY)] = true end
  local sorted = {}
  for day in pairs(days) do sorted[#sorted + 1] = day end
  table.sort(sorted)
  for _, day in ipairs(sorted) do
    if day >= floor(first / 96) and day <= floor((last - 1) / 96) then
      local written = {}
      local arguments = pages[day] or {}
      for at = 3, #arguments, 2 do
        written[arguments[at]] = true
        if not take(arguments[at], arguments[at + 1]) then return nil end
      end
      local found = try('HGETALL', tag .. 'd:' .. text_of(day) .. ':default:' .. key)
      if found.err then return nil end
      for at = 1, #found, 2 do
        if #found[at] >= 5 and not written[found[at]] and not take(found[at], found[at + 1]) then return nil end
      end
    end
  end
  local arguments = { 'k', '' }
  for _, series in ipairs(order) do
    arguments[#arguments + 1] = series
    arguments[#arguments + 1] = values[series]
    if sets[series] then
      plan.unions[#plan.unions + 1] = { sets = sets[series], arguments = arguments, index = #arguments, series = series }
    end
  end
  return arguments
end

local function union_key(tag, key, period, series)
  local first, last = unpack_struct('>II', period)
  return text_format('%su:%.0f:%.0f:default:%d:', tag, first, last, #key) .. key .. ':' .. series
end

-- All that a watched total holds beside the fields that this write sets.
local function read_watched(name, fields)
  local found = try('HGETALL', name)
  if found.err then return nil, found.err end
  local map, stored, others, effects = {}, {}, {}, {}
  for at = 1, #found, 2 do map[found[at]] = found[at + 1] end
  for index = 1, #fields do stored[index] = map[fields[index]] or false end
  for index = 1, #fields - 1 do map[fields[index]] = nil end
  for at = 1, #found, 2 do
    local field = found[at]
    local first = byte(field, 1)
    if first == EFFECT then
      effects[#effects + 1] = sub(field, 2)
    elseif map[field] and SIZES[first] then
      others[#others + 1] = field
      others[#others + 1] = map[field]
    end
  end
  return stored, nil, others, effects
end

local function total_prefix(plan, tag, bounds)
  local prefix = plan.prefixes[bounds]
  if not prefix then
    prefix = total_key(tag, '', bounds)
    plan.prefixes[bounds] = prefix
  end
  return prefix
end

-- A total that exists and of which one series is raised: the same as `plan_total` in fewer steps. Nil: not of this form.
local function plan_single_series(plan, tag, key, payload, at)
  local flags, count, series, value_at = unpack_struct('>BHHc0', payload, at + 8)
  local aggregate = byte(series, 1)
  if count ~= 1 or aggregate == UNIQUE then return nil end
  local after = value_at + SIZES[aggregate]
  local value = sub(payload, value_at, after - 1)
  local name = total_prefix(plan, tag, sub(payload, at, at + 7)) .. key
  local old, effects
  if flags < 2 then
    local stored = try('HMGET', name, 'k', series)
    if stored.err then return false, 'total: ' .. stored.err end
    if not stored[1] then return nil end
    old = stored[2]
  else
    local found = try('HGETALL', name)
    if found.err then return false, 'total: ' .. found.err end
    local size = #found
    local exists = false
    old = false
    for index = 1, size, 2 do
      local field = found[index]
      if field == series then
        old = found[index + 1]
      elseif field == 'k' then
        exists = true
      elseif byte(field, 1) ~= EFFECT then
        return nil
      else
        effects = true
      end
    end
    if not exists then return nil end
  end
  if old then
    value = merge(aggregate, old, value)
    if not value then return false, 'value of a total' end
  end
  local raised, number = plan.raised, plan.raised_count
  raised[number + 1], raised[number + 2], raised[number + 3] = name, series, value
  plan.raised_count = number + 3
  if flags >= 2 then
    local owed = plan.owed_count + 1
    plan.owed_count = owed
    plan.owed_names[owed] = name
    plan.owed_effects[owed] = effects or false
    plan.owed[owed] = pack('>IHc0c0HHc0Hc0', 17 + #key + #series + #value, #key, key, sub(payload, at, at + 8), 1,
      #series, series, #value, value)
  end
  return after
end

-- An index entry: number of days u16, the days (u32, ascending), then the totals (first and last quarter, u32 each).
local function sound_index(index)
  if type(index) ~= 'string' then return false end
  if index == '' then return true end
  if #index < 2 then return false end
  local rest = #index - 2 - INDEX_DAY * unpack_struct('>H', index)
  return rest >= 0 and rest % INDEX_TOTAL == 0
end

local function plan_total(plan, tag, key, payload, at, pages)
  local period = sub(payload, at, at + 8)
  local flags, count
  flags, count, at = unpack_struct('>BH', payload, at + 8)
  local watched = flags >= 2
  local fields, deltas
  fields, deltas, at = read_deltas(payload, at, count, 1)
  local name = total_key(tag, key, period)
  fields[count + 1] = 'k'
  local stored, wrong, others, effects
  if watched then stored, wrong, others, effects = read_watched(name, fields)
  else stored, wrong = get_cut(name, fields) end
  if not stored then return nil, 'total: ' .. wrong end
  local arguments
  if stored[count + 1] then
    arguments = {}
    for index = 1, count do
      local field = fields[index]
      local aggregate = byte(field, 1)
      local value = merge(aggregate, stored[index], aggregate == UNIQUE and NONE or deltas[index])
      if not value then return nil, 'value of a total' end
      local position = #arguments
      arguments[position + 1], arguments[position + 2] = field, value
      if aggregate == UNIQUE then
        local set = union_key(tag, key, period, field)
        if not plan_unique(plan, set, deltas[index], arguments, position + 2) then return nil, 'members of a total' end
      end
    end
  elseif flags % 2 == 1 then
    if plan.indexes[key] == nil then
      local index = try('HGET', tag .. 'i', key)
      index = index or ''
      if not sound_index(index) then return nil, 'index of keys' end
      plan.indexes[key] = index
    end
    local first_union = #plan.unions + 1
    arguments, others = seed_total(plan, tag, key, period, pages), nil
    if not arguments then return nil, 'cells of a total' end
    for index = first_union, #plan.unions do
      plan.unions[index].set = union_key(tag, key, period, plan.unions[index].series)
    end
    local totals = plan.new_totals[key]
    if not totals then plan.new_totals[key] = { period } else totals[#totals + 1] = period end
  else
    return at
  end
  plan.hashes[#plan.hashes + 1] = { name = name, arguments = arguments }
  if watched then
    local owed = plan.owed_count + 1
    plan.owed_count = owed
    plan.owed_names[owed] = name
    plan.owed_effects[owed] = #effects > 0
    plan.owed[owed] = { key = key, period = period, arguments = arguments, others = others }
  end
  return at
end

-- Reads and checks everything that the updates will touch. Nothing is written. Returns nil and the reason if damaged.
local function plan_updates(tag, payload, at, keys)
  local plan = {
    singles = {}, single_count = 0, raised = {}, raised_count = 0, hashes = {}, sets = {}, unions = {},
    owed = {}, owed_names = {}, owed_effects = {}, owed_count = 0,
    new_days = {}, new_totals = {}, indexes = {}, prefixes = {},
  }
  for _ = 1, keys do
    local key, page_count, total_count, wrong
    key, page_count, total_count, at = unpack_struct('>Hc0HH', payload, at)
    local pages
    local only, day, cell, value, arrival
    if page_count == 1 then only, wrong, day, cell, value, arrival = plan_single_cell(plan, tag, key, payload, at) end
    if only == false then return nil, wrong end
    if only then
      at = only
    else
      pages = {}
      for _ = 1, page_count do
        local arguments
        at, wrong, day, arguments = plan_page(plan, tag, key, payload, at)
        if not at then return nil, wrong end
        pages[day] = arguments
      end
    end
    for _ = 1, total_count do
      local next_at
      next_at, wrong = plan_single_series(plan, tag, key, payload, at)
      if next_at == nil then
        pages = pages or { [day] = { 'a', arrival, cell, value } }
        next_at, wrong = plan_total(plan, tag, key, payload, at, pages)
      end
      if not next_at then return nil, wrong end
      at = next_at
    end
  end
  for _, news in ipairs({ plan.new_days, plan.new_totals }) do
    for key in pairs(news) do
      local index = plan.indexes[key]
      if index == nil then index = try('HGET', tag .. 'i', key) or '' end
      if not sound_index(index) then return nil, 'index of keys' end
      plan.indexes[key] = index
    end
  end
  if next(plan.new_totals) and type(try('ZCARD', tag .. 'j')) ~= 'number' then return nil, 'index of totals' end
  return plan
end

local function write_index(tag, key, index, days, totals)
  local known, at, kept = 0, 3, {}
  if index ~= '' then known = unpack_struct('>H', index) end
  for number = 1, known do
    kept[number] = unpack_struct('>I', index, at)
    at = at + INDEX_DAY
  end
  local seen = {}
  for _, day in ipairs(kept) do seen[day] = true end
  for _, day in ipairs(days or {}) do
    if not seen[day] then kept[#kept + 1] = day end
  end
  table.sort(kept)
  for number = 1, #kept do kept[number] = pack('>I', kept[number]) end
  local parts = { pack('>H', #kept), concat(kept), sub(index, at) }
  for _, period in ipairs(totals or {}) do
    local bounds = sub(period, 1, INDEX_TOTAL)
    if call('ZADD', tag .. 'j', 'NX', '0', bounds .. key) == 1 then parts[#parts + 1] = bounds end
  end
  call('HSET', tag .. 'i', key, concat(parts))
end

local function write_updates(tag, plan)
  for _, one in ipairs(plan.sets) do
    call_cut('SADD', one.set, one.members)
    one.arguments[one.index] = pack('>d', call('SCARD', one.set))
  end
  for _, one in ipairs(plan.unions) do
    local size = call('SUNIONSTORE', one.set, one.sets[1])
    for at = 2, #one.sets, ARGUMENTS_MAX do
      size = call('SUNIONSTORE', one.set, one.set, unpack_list(one.sets, at, math.min(at + ARGUMENTS_MAX - 1, #one.sets)))
    end
    one.arguments[one.index] = pack('>d', size)
  end
  local singles, raised = plan.singles, plan.raised
  for at = 1, plan.single_count, 4 do call('HSET', singles[at], 'a', singles[at + 1], singles[at + 2], singles[at + 3]) end
  for at = 1, plan.raised_count, 3 do call('HSET', raised[at], raised[at + 1], raised[at + 2]) end
  for _, hash in ipairs(plan.hashes) do call_cut('HSET', hash.name, hash.arguments) end
  for key, days in pairs(plan.new_days) do
    write_index(tag, key, plan.indexes[key], days, plan.new_totals[key])
    plan.new_totals[key] = nil
  end
  for key, totals in pairs(plan.new_totals) do write_index(tag, key, plan.indexes[key], nil, totals) end
end

-- Of a total of several series, or of a set that is counted only when it is written.
local function late_entry(total)
  local values = total.others or {}
  for at = 1, #total.arguments, 2 do
    if SIZES[byte(total.arguments[at], 1)] then
      values[#values + 1] = total.arguments[at]
      values[#values + 1] = total.arguments[at + 1]
    end
  end
  return owing_entry(total.key, total.period, values)
end

-- What the slice owes after this write, and which effects stand there. Call it after the updates are written.
local function owe(tag, plan, owing, stamp, effects)
  local parts, standing, count = { stamp }, {}, 0
  if owing ~= '' then
    local touched = {}
    for index = 1, plan.owed_count do touched[plan.owed_names[index]] = true end
    for _, entry in ipairs(owing_entries(owing)) do
      local name = total_key(tag, entry.key, entry.period)
      if not touched[name] then
        count = count + 1
        parts[count + 1] = entry.text
        standing[count] = standing_effects(name)
      end
    end
  end
  for index = 1, plan.owed_count do
    local text, name = plan.owed[index], plan.owed_names[index]
    count = count + 1
    parts[count + 1] = type(text) == 'string' and text or late_entry(text)
    if plan.owed_effects[index] or effects[name] then standing[count] = standing_effects(name) end
  end
  return count > 0 and concat(parts) or '', standing
end
