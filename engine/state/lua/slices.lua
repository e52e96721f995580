-- The functions apply, check and read. All positions in `payload` count from 1; numbers are big-endian.

-- Undoes what `judge` wrote: `olds` is a chain of (chunk, field, entries before), the newest first.
local function take_back(names, fields, count, olds)
  while olds do
    call('HSET', olds[1], olds[2], olds[3])
    olds = olds[4]
  end
  for index = 1, count do call('HDEL', names[index], fields[index]) end
end

-- Judges every event of the batch as if they came one by one, and remembers those that count while it goes: a new
-- identity costs one command. It is the last check; where a verdict is wrong everything is taken back.
-- Returns the duplicates' indexes and whether a verdict is wrong, or nil where a chunk is damaged.
local function judge(meta, payload, slice, horizon)
  local duplicates, wrong, added, olds = {}, false, 0, nil
  local names, fields = {}, {}
  local at, days_at, marks_at, day = slice.judged_at, slice.days_at, slice.marks_at, slice.day
  local marked = marks_at < slice.marks_end and unpack_struct('>I', payload, marks_at) or -1
  local text = entry_text(meta, day, slice.partition)
  local floor_day, restart = meta.floor, false
  local place = placer(meta, payload)
  for index = 1, slice.judged do
    local name, field = place(at)
    if days_at then
      day = unpack_struct('>i', payload, days_at + 4 * (index - 1))
      text = entry_text(meta, day, slice.partition)
    end
    local left_out = marked == index - 1
    if left_out then
      marks_at = marks_at + 4
      marked = marks_at < slice.marks_end and unpack_struct('>I', payload, marks_at) or -1
    end
    local new = try('HSETNX', name, field, text)
    local counts = new == 1
    if counts then
      added = added + 1
      names[added], fields[added] = name, field
    else
      local old = new == 0 and call('HGET', name, field)
      if not old then
        take_back(names, fields, added, olds)
        return nil
      end
      if remembers(meta, old, day, horizon) then
        duplicates[#duplicates + 1] = pack('>I', index - 1)
      else
        call('HSET', name, field, old .. ',' .. text)
        olds = { name, field, old, olds }
        counts = true
      end
    end
    if counts then
      if day < floor_day then floor_day = day end
      if day < meta.target then restart = true end
    end
    if counts == left_out then wrong = true end
    at = at + 16
  end
  if wrong then
    take_back(names, fields, added, olds)
  else
    meta.entries, meta.floor = meta.entries + added, floor_day
    if restart then meta.pointer = 0 end
  end
  return duplicates, wrong
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
  local effect_count, marks
  effect_count, at = unpack_struct('>I', payload, at)
  slice.effects, at = read_effects(payload, at, effect_count)
  slice.judged, marks, at = unpack_struct('>II', payload, at)
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

local function write_slice(slice, payload, plan, meta, context)
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
    if context.deletes then sweep(meta, slice.partitions, day_at_low(slice.after), context.horizon) end
    grow(meta, slice.judged)
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

  local plan, wrong = plan_updates(tag, payload, slice.updates_at, slice.keys)
  if not plan then return damaged(wrong) end
  local cleared = slice.reacted ~= '' and owing ~= '' and slice.reacted == redis.sha1hex(owing)
  local effects = plan_effects(tag, cleared and slice.effects or {})
  if not effects then return damaged('total of an effect') end
  if not cleared and not pcall(owing_entries, owing) then return damaged('what the slice owes') end

  local meta
  local idle = slice.judged == 0 and slice.asked == 0
  if deletes or not idle then
    meta = open_identities(tag, slice.partitions, slice.judged > 0 and slice.day or slice.ask_day)
    if not meta then return damaged('book-keeping of identities') end
    if meta.new and idle then meta = nil end
  end
  if meta then
    local duplicates, untrue = judge(meta, payload, slice, horizon)
    if not duplicates then return damaged('identities') end
    if untrue then return 'V' .. pack('>I', slice.judged) .. concat(duplicates) end
  end
  return write_slice(slice, payload, plan, meta, {
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
    if at + size - 1 > #payload then error('the payload is cut short') end
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
