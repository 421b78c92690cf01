--- Draws what the server's requests answer.
local Canvas = require('orcls.canvas')

local M = {}

local function hex(value)
  return ('0x%02x'):format(value)
end

local function signed(value)
  return value == 0 and '' or ('%+d'):format(value)
end

local function cfa_name(cfa)
  return cfa and cfa.base .. signed(cfa.offset) or 'unknown'
end

local function place_name(place, section)
  if place.file and place.line then
    return vim.fs.basename(place.file) .. ':' .. place.line
  end
  return section and ('%s+%s'):format(section, hex(place.offset)) or ''
end

local function has_conflict(group)
  return vim.iter(group.rows):any(function(row)
    return row.conflict
  end)
end

--- An item of a list, unless it is null.
local function item(list, i)
  local value = list and list[i]
  return value ~= vim.NIL and value or nil
end

--- Whether every arm only has padding at a row.
local function is_idle(row, arms)
  for i = 1, arms do
    local text = item(row.cells, i)
    if text and not vim.startswith(text, 'nop') then
      return false
    end
  end
  return not row.conflict
end

--- Runs of rows in which every arm only has padding, as one row.
local function folded(group)
  local rows, arms, at = {}, #group.arms, 1
  while at <= #group.rows do
    local first, last = group.rows[at], at - 1
    while group.rows[last + 1] and is_idle(group.rows[last + 1], arms) and group.rows[last + 1].state == first.state do
      last = last + 1
    end
    if last <= at then
      table.insert(rows, first)
      at = at + 1
    else
      local cells = {}
      for i = 1, arms do
        local count, text = 0, nil
        for n = at, last do
          local here = item(group.rows[n].cells, i)
          count, text = count + (here and 1 or 0), text or here
        end
        cells[i] = count > 1 and ('%d NOPs'):format(count) or text or vim.NIL
      end
      table.insert(rows, vim.tbl_extend('force', first, { cells = cells }))
      at = last + 1
    end
  end
  return rows
end

--- A state as what it changes: the first one whole, then only what is new or gone.
local function change(before, row)
  if not before or not before.state or not row.state then
    return row.state or ''
  end
  local old, now, parts = vim.split(before.state, ', '), vim.split(row.state, ', '), {}
  local function name(part)
    return vim.split(part, ' ')[1]
  end
  for _, part in ipairs(now) do
    if not vim.list_contains(old, part) then
      table.insert(parts, part)
    end
  end
  local names = vim.tbl_map(name, now)
  for _, part in ipairs(old) do
    if not vim.list_contains(names, name(part)) then
      table.insert(parts, name(part) .. ' restored')
    end
  end
  return table.concat(parts, ', ')
end

---@param canvas orcls.Canvas
local function draw_group(canvas, group)
  canvas:line({ group['function'] or group.section, hl = 'OrclsFunction' }, '  ', {
    place_name(group, group.section),
    hl = 'OrclsState',
    place = group,
  })
  local head = { { '', hl = 'OrclsHead' } }
  for _, arm in ipairs(group.arms) do
    table.insert(head, { arm.name, hl = 'OrclsHead' })
  end
  table.insert(head, { 'state before', hl = 'OrclsHead' })
  local rows = { head }
  local before
  for _, row in ipairs(folded(group)) do
    local cells, states = { { hex(row.offset), hl = row.conflict and 'OrclsConflictState' or 'OrclsOffset' } }, { '' }
    for i = 1, #group.arms do
      local text = item(row.cells, i)
      table.insert(cells, text and { text, hl = row.conflict and 'OrclsConflict' or nil, fill = row.conflict, place = item(row.places, i) } or '')
      table.insert(states, { item(row.states, i) or '', hl = 'OrclsConflictState' })
    end
    table.insert(cells, row.conflict and { 'the arms disagree', hl = 'OrclsConflictState' } or { change(before, row), hl = 'OrclsState' })
    before = row
    table.insert(rows, cells)
    if row.conflict and not vim.tbl_isempty(row.states or {}) then
      table.insert(rows, states)
    end
  end
  canvas:table(rows)
  canvas:line('')
end

--- Alternatives, arms side by side; those with a conflict first.
---@return orcls.Canvas
function M.alternatives(answer)
  local canvas = Canvas.new()
  local bad = vim.tbl_filter(has_conflict, answer.groups)
  local good = vim.tbl_filter(function(group)
    return not has_conflict(group)
  end, answer.groups)
  canvas:line(('%d %s, '):format(#answer.groups, #answer.groups == 1 and 'alternative' or 'alternatives'), {
    #bad == 0 and 'no conflict' or ('%d with a conflict'):format(#bad),
    hl = #bad > 0 and 'OrclsConflictState' or nil,
  })
  canvas:line('')
  for _, group in ipairs(vim.list_extend(bad, good)) do
    draw_group(canvas, group)
  end
  return canvas
end

--- The ORC table.
---@return orcls.Canvas
function M.orc(answer)
  local canvas, rows, last = Canvas.new(), {}, nil
  for _, entry in ipairs(answer.rows or {}) do
    local name = entry['function']
    table.insert(rows, {
      { name and name ~= last and name or '', hl = 'OrclsFunction' },
      { ('%s+%s'):format(entry.section, hex(entry.offset)), hl = 'OrclsOffset' },
      { entry.text, place = entry },
      { place_name(entry), hl = 'OrclsState', place = entry },
    })
    last = name
  end
  canvas:table(rows)
  return canvas
end

--- The states of the functions that `line` belongs to.
---@param line? integer from 1
---@return orcls.Canvas
function M.cfi(answer, line)
  local canvas, wanted = Canvas.new(), {}
  for _, row in ipairs(answer.instructions) do
    if row.line == line and row['function'] then
      wanted[row['function']] = true
    end
  end
  local rows, last, cfa = {}, nil, nil
  local flush = function()
    canvas:table(rows)
    rows = {}
  end
  for _, row in ipairs(answer.instructions) do
    local name = row['function']
    if vim.tbl_isempty(wanted) or (name and wanted[name]) then
      if name ~= last then
        flush()
        canvas:line({ name or row.section, hl = 'OrclsFunction' })
      end
      local saved = {}
      for register, offset in vim.spairs(row.saved) do
        table.insert(saved, ('%s cfa%s'):format(register, signed(offset)))
      end
      local now = cfa_name(row.cfa)
      table.insert(rows, {
        { hex(row.offset), hl = 'OrclsOffset' },
        { row.text, place = row },
        { now, hl = name == last and now ~= cfa and 'OrclsChanged' or nil },
        { table.concat(saved, ', '), hl = 'OrclsState' },
        { place_name(row), hl = 'OrclsState', place = row },
      })
      last, cfa = name, now
    end
  end
  flush()
  return canvas
end

return M
