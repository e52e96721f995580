-- Running totals: what a write will do to them. Everything here only reads.

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

-- A total that is not watched and exists, and of which one series is raised: the same as `plan_total` in fewer steps.
-- Nil: not of this form.
local function plan_single_series(plan, tag, key, payload, at)
  local flags, count, series, value_at = unpack_struct('>BHHc0', payload, at + 8)
  local aggregate = byte(series, 1)
  if flags >= 2 or count ~= 1 or aggregate == UNIQUE then return nil end
  local after = value_at + SIZES[aggregate]
  local value = sub(payload, value_at, after - 1)
  local name = total_prefix(plan, tag, sub(payload, at, at + 7)) .. key
  local stored = try('HMGET', name, 'k', series)
  if stored.err then return false, 'total: ' .. stored.err end
  if not stored[1] then return nil end
  if stored[2] then
    value = merge(aggregate, stored[2], value)
    if not value then return false, 'value of a total' end
  end
  local raised, number = plan.raised, plan.raised_count
  raised[number + 1], raised[number + 2], raised[number + 3] = name, series, value
  plan.raised_count = number + 3
  return after
end

-- A watched total that exists, without sets: the same as `plan_total` in fewer steps. Nil: not of this form.
local function plan_watched(plan, tag, key, payload, at)
  local flags, count, next_at = unpack_struct('>BH', payload, at + 8)
  if flags < 2 then return nil end
  local name = total_prefix(plan, tag, sub(payload, at, at + 7)) .. key
  local found = try('HGETALL', name)
  if found.err then return false, 'total: ' .. found.err end
  local rest = {}
  for index = 1, #found, 2 do rest[found[index]] = found[index + 1] end
  if not rest.k then return nil end
  rest.k = nil
  local arguments, raised = {}, {}
  for index = 1, count do
    local series, value_at = unpack_struct('>Hc0', payload, next_at)
    local aggregate = byte(series, 1)
    if aggregate == UNIQUE then return nil end
    next_at = value_at + SIZES[aggregate]
    local value, old = sub(payload, value_at, next_at - 1), rest[series]
    if old then
      value = merge(aggregate, old, value)
      if not value then return false, 'value of a total' end
      rest[series] = nil
    end
    arguments[2 * index - 1], arguments[2 * index] = series, value
    raised[index] = pack('>Hc0Hc0', #series, series, #value, value)
  end
  local effects, others = false, {}
  if next(rest) then
    for index = 1, #found, 2 do
      local field = found[index]
      local value, first = rest[field], byte(field, 1)
      if value and first == EFFECT then effects = true
      elseif value and SIZES[first] then others[#others + 1] = pack('>Hc0Hc0', #field, field, #value, value) end
    end
  end
  plan.hashes[#plan.hashes + 1] = { name = name, arguments = arguments }
  local owed, body = plan.owed_count + 1, concat(others) .. concat(raised)
  plan.owed_count = owed
  plan.owed_names[owed] = name
  plan.owed_effects[owed] = effects
  plan.owed[owed] =
    pack('>IHc0c0H', 13 + #key + #body, #key, key, sub(payload, at, at + 8), #others + count) .. body
  return next_at
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
