-- The functions: apply, check, read, fetch, scan, list. All positions in `payload` count from 1; numbers are big-endian.

-- Whether an event of the call that counts has this identity within the horizon; else, if it counts itself, it is noted.
local function came_before(earlier, identity, day, horizon, duplicate)
  local seen = earlier[identity]
  if duplicate then return true end
  if not seen then
    earlier[identity] = { day }
    return false
  end
  for number = 1, #seen do
    if abs(seen[number] - day) <= horizon then return true end
  end
  seen[#seen + 1] = day
  return false
end

-- Wrong verdicts are looked for one by one: against Redis, and against the events before it in this call.
local function judge(meta, payload, slice, horizon)
  local places, fields, olds, duplicates, wrong = {}, {}, {}, {}, false
  local at, days_at, marks_at, day = slice.judged_at, slice.days_at, slice.marks_at, slice.day
  local marked = marks_at < slice.marks_end and unpack_struct('>I', payload, marks_at) or -1
  local earlier = slice.repeats and {} or nil
  local place = placer(meta, payload)
  for index = 1, slice.judged do
    local name, field = place(at)
    local old = try('HGET', name, field)
    local duplicate = false
    if days_at then day = unpack_struct('>i', payload, days_at + 4 * (index - 1)) end
    if old then
      if type(old) ~= 'string' then return nil end
      duplicate = remembers(meta, old, day, horizon)
      olds[index] = old
    end
    if earlier then duplicate = came_before(earlier, sub(payload, at, at + 15), day, horizon, duplicate) end
    if duplicate then duplicates[#duplicates + 1] = pack('>I', index - 1) end
    if marked == index - 1 then
      if not duplicate then wrong = true end
      marks_at = marks_at + 4
      marked = marks_at < slice.marks_end and unpack_struct('>I', payload, marks_at) or -1
    elseif duplicate then
      wrong = true
    else
      places[index], fields[index] = name, field
    end
    at = at + 16
  end
  return { places = places, fields = fields, olds = olds, wrong = wrong, duplicates = duplicates }
end

local function remember(meta, payload, slice, verdicts)
  local places, fields, olds, days_at = verdicts.places, verdicts.fields, verdicts.olds, slice.days_at
  local day = slice.day
  local text = entry_text(meta, day, slice.partition)
  for index = 1, slice.judged do
    local name = places[index]
    if name then
      if days_at then
        day = unpack_struct('>i', payload, days_at + 4 * (index - 1))
        text = entry_text(meta, day, slice.partition)
      end
      if day < meta.floor then meta.floor = day end
      if day < meta.target then meta.pointer = 0 end
      local field, old = fields[index], olds[index]
      if slice.repeats then old = call('HGET', name, field) end
      if old then
        call('HSET', name, field, old .. ',' .. text)
      else
        meta.entries = meta.entries + 1
        call('HSET', name, field, text)
      end
    end
  end
end

-- Which members of the slice's next batch are remembered now: how many were asked, then their indexes.
local function answer(meta, payload, slice, horizon)
  local parts = { pack('>I', slice.asked) }
  local at, days_at, day = slice.ask_at, slice.ask_days_at, slice.ask_day
  local place = placer(meta, payload)
  for index = 1, slice.asked do
    local entries = try('HGET', place(at))
    if entries and type(entries) == 'string' then
      if days_at then day = unpack_struct('>i', payload, days_at + 4 * (index - 1)) end
      if remembers(meta, entries, day, horizon) then parts[#parts + 1] = pack('>I', index - 1) end
    end
    at = at + 16
  end
  return concat(parts)
end

-- One day for all (flag 1, i32), or a day each (flag 0): the position of the days if there are several, the first day.
local function read_days(payload, at, count)
  local same, day = unpack_struct('>Bi', payload, at)
  if same == 1 then return nil, day, at + 5 end
  return at + 1, day, at + 1 + 4 * count
end

local function read_effects(payload, at, count)
  local effects = {}
  for index = 1, count do
    local key, name
    key, at = unpack_struct('>Hc0', payload, at)
    local period = sub(payload, at, at + 8)
    name, at = unpack_struct('>Hc0', payload, at + 9)
    effects[index] = { key = key, period = period, name = name }
  end
  return effects, at
end

local function read_slice(payload, at)
  local slice = {}
  slice.tag, slice.partition, slice.partitions, slice.before, slice.after, at = unpack_struct('>Hc0IIIc0Ic0', payload, at)
  slice.counted, slice.unmetered, slice.duplicate, slice.dead, slice.reacted, at = unpack_struct('>IIIIBc0', payload, at)
  local effect_count, repeats, marks
  effect_count, at = unpack_struct('>I', payload, at)
  slice.effects, at = read_effects(payload, at, effect_count)
  slice.judged, repeats, marks, at = unpack_struct('>IBI', payload, at)
  slice.repeats = repeats == 1
  slice.judged_at, at = at, at + 16 * slice.judged
  slice.days_at, slice.day, at = read_days(payload, at, slice.judged)
  slice.marks_at, at = at, at + 4 * marks
  slice.marks_end = at
  slice.asked, at = unpack_struct('>I', payload, at)
  slice.ask_at, at = at, at + 16 * slice.asked
  slice.ask_days_at, slice.ask_day, at = read_days(payload, at, slice.asked)
  slice.keys, slice.updates_at = unpack_struct('>I', payload, at)
  return slice
end

local function day_at_low(record)
  return #record >= 12 and unpack_struct('>I', record, 9) + BEGINNING or BEGINNING
end

local function raise_counters(stored, slice)
  local counted, unmetered, duplicate, dead = 0, 0, 0, 0
  if stored then counted, unmetered, duplicate, dead = unpack_struct('>dddd', stored) end
  return pack('>dddd', counted + slice.counted, unmetered + slice.unmetered, duplicate + slice.duplicate, dead + slice.dead)
end

-- Checks the totals that effects go to; nil if one is damaged.
local function plan_effects(tag, effects)
  for _, effect in ipairs(effects) do
    effect.total = total_key(tag, effect.key, effect.period)
    if type(try('HLEN', effect.total)) ~= 'number' then return nil end
  end
  return effects
end

local function write_slice(slice, payload, plan, verdicts, meta, context)
  local tag, touched = slice.tag, {}
  for _, effect in ipairs(context.effects) do
    call('HSETNX', effect.total, 'e' .. effect.name, '1')
    touched[effect.total] = true
  end
  write_updates(tag, plan)
  local standing
  local owing = context.owing
  if plan.owed_count > 0 or context.cleared then
    owing, standing = owe(tag, plan, context.cleared and '' or owing, sub(slice.after, -16), touched)
  end
  call('HSET', context.slice_key, 'r', slice.after, 'c', context.counters, 'o', owing)
  local answers = pack('>I', 0)
  if meta then
    remember(meta, payload, slice, verdicts)
    if context.deletes then sweep(meta, slice.partitions, day_at_low(slice.after), context.horizon) end
    grow(meta)
    answers = answer(meta, payload, slice, context.horizon)
    close_identities(meta)
  end
  return 'A0' .. (standing and owed_reply(owing, standing) or owed_now(tag, owing)) .. answers
end

local function damaged(reason)
  return 'D' .. reason
end

local function apply_slice(payload, at, horizon, deletes)
  local slice = read_slice(payload, at)
  local tag = slice.tag
  local slice_key = tag .. 's:' .. text_of(slice.partition)
  local stored = try('HMGET', slice_key, 'r', 'c', 'o')
  if stored.err then return damaged('slice: ' .. stored.err) end
  local record, counters, owing = stored[1] or '', stored[2], stored[3] or ''
  if record == slice.after then return 'A1' .. owed_now(tag, owing) .. pack('>I', 0) end
  if record ~= slice.before then return 'R' .. record end
  if counters and #counters ~= 32 then return damaged('counters of a slice') end

  local meta, verdicts
  local idle = slice.judged == 0 and slice.asked == 0
  if deletes or not idle then
    meta = open_identities(tag, slice.partitions, slice.judged > 0 and slice.day or slice.ask_day)
    if not meta then return damaged('book-keeping of identities') end
    if meta.new and idle then meta = nil end
  end
  if meta then
    verdicts = judge(meta, payload, slice, horizon)
    if not verdicts then return damaged('identities') end
    if verdicts.wrong then return 'V' .. pack('>I', slice.judged) .. concat(verdicts.duplicates) end
  end

  local plan, wrong = plan_updates(tag, payload, slice.updates_at, slice.keys)
  if not plan then return damaged(wrong) end
  local cleared = slice.reacted ~= '' and owing ~= '' and slice.reacted == sub(owing, 1, 16)
  local effects = plan_effects(tag, cleared and slice.effects or {})
  if not effects then return damaged('total of an effect') end
  return write_slice(slice, payload, plan, verdicts, meta, {
    slice_key = slice_key, owing = owing, cleared = cleared, effects = effects, deletes = deletes, horizon = horizon,
    counters = raise_counters(counters, slice),
  })
end

local function apply(_, arguments)
  bind()
  local payload, replies = arguments[1], {}
  local horizon, deletes, count, at = unpack_struct('>HBH', payload)
  for index = 1, count do
    local size
    size, at = unpack_struct('>I', payload, at)
    replies[index] = apply_slice(payload, at, horizon, deletes == 1)
    at = at + size
  end
  return replies
end

local function check(_, arguments)
  bind()
  local payload, replies = arguments[1], {}
  local count, at = unpack_struct('>H', payload)
  for index = 1, count do
    local tag, partition, before
    tag, partition, before, at = unpack_struct('>Hc0IIc0', payload, at)
    local record = try('HGET', tag .. 's:' .. text_of(partition), 'r') or ''
    if type(record) ~= 'string' then replies[index] = damaged('slice: ' .. record.err)
    elseif record == before then replies[index] = 'A0' .. owed_reply('', {}) .. pack('>I', 0)
    else replies[index] = 'R' .. record end
  end
  return replies
end

-- `S`, the record, the counters and what is owed.
local function stored_slice(tag, partition)
  local stored = try('HMGET', tag .. 's:' .. text_of(partition), 'r', 'c', 'o')
  if stored.err then return damaged('slice: ' .. stored.err) end
  local record, counters = stored[1] or '', stored[2] or ''
  return 'S' .. pack('>Ic0Hc0', #record, record, #counters, counters) .. owed_now(tag, stored[3] or '')
end

local function read(_, arguments)
  bind()
  local payload, replies = arguments[1], {}
  local count, at = unpack_struct('>H', payload)
  for index = 1, count do
    local tag, partition
    tag, partition, at = unpack_struct('>Hc0I', payload, at)
    replies[index] = stored_slice(tag, partition)
  end
  return replies
end

redis.register_function('apply_VERSION', apply)
redis.register_function{ function_name = 'check_VERSION', callback = check, flags = { 'no-writes' } }
redis.register_function{ function_name = 'read_VERSION', callback = read, flags = { 'no-writes' } }
