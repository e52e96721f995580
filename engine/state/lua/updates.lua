-- All updates of a slice: planned as a whole, which reads and checks, and then written.

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
      if next_at == nil then next_at, wrong = plan_watched(plan, tag, key, payload, at) end
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
