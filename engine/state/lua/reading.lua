-- What only reads. A call sees one moment. An answer begins with its kind, `D` for a value that is damaged.

-- All fields and values (u32 lengths) of a hash; those of UNIQUE followed by their members if `sets` is not empty. The
-- name of such a set is `sets` and the field. `series_at`: where the aggregate stands in a field.
local function dump_hash(name, sets, series_at)
  local found = try('HGETALL', name)
  if found.err then return damaged(found.err) end
  local parts = { 'H' }
  for at = 1, #found, 2 do
    local field, value = found[at], found[at + 1]
    if sets ~= '' and byte(field, series_at) == UNIQUE then
      local members = try('SMEMBERS', sets .. field)
      if members.err then return damaged(members.err) end
      value = value .. concat(members)
    end
    parts[#parts + 1] = pack('>Ic0Ic0', #field, field, #value, value)
  end
  return concat(parts)
end

-- Records of slices and contents of hashes, all at one moment.
local function fetch(_, arguments)
  bind()
  local payload, replies = arguments[1], {}
  local count, at = unpack_struct('>H', payload)
  for index = 1, count do
    local tag, partition
    tag, partition, at = unpack_struct('>Hc0I', payload, at)
    replies[index] = stored_slice(tag, partition)
  end
  count, at = unpack_struct('>I', payload, at)
  for _ = 1, count do
    local series_at, name, detail
    series_at, name, detail, at = unpack_struct('>BIc0Ic0', payload, at)
    if series_at > 0 then
      replies[#replies + 1] = dump_hash(name, detail, series_at)
    else
      local value = try('HGET', name, detail) or ''
      replies[#replies + 1] = type(value) == 'string' and 'F' .. value or damaged(value.err)
    end
  end
  return replies
end

-- A part of a bucket's index: the next cursor, then keys and their entries by turns.
local function scan(_, arguments)
  bind()
  local tag, cursor, count = unpack_struct('>Hc0Bc0I', arguments[1])
  local found = call('HSCAN', tag .. 'i', cursor, 'COUNT', count)
  local replies = { found[1] }
  for index = 1, #found[2] do replies[index + 1] = found[2][index] end
  return replies
end

-- Members of the index of totals between two bounds, in order.
local function list(_, arguments)
  bind()
  local tag, first, last, limit = unpack_struct('>Hc0Ic0Ic0I', arguments[1])
  return call('ZRANGEBYLEX', tag .. 'j', first, last, 'LIMIT', 0, limit)
end

redis.register_function{ function_name = 'fetch_VERSION', callback = fetch, flags = { 'no-writes' } }
redis.register_function{ function_name = 'scan_VERSION', callback = scan, flags = { 'no-writes' } }
redis.register_function{ function_name = 'list_VERSION', callback = list, flags = { 'no-writes' } }
