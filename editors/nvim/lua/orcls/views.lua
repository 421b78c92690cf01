--- Windows with a table of a file: alternatives, ORC, CFI. They follow the edits; <CR> leads to the line.
local orcls = require('orcls')
local tables = require('orcls.tables')

local M = {}
local namespace = vim.api.nvim_create_namespace('orcls.views')

---@class orcls.View
---@field kind 'alternatives'|'orc'|'cfi'
---@field source integer
---@field line integer from 0: where the cursor stood when it was opened
---@field buf integer
---@field canvas? orcls.Canvas

---@param view orcls.View
---@param answer? table
---@param why? string
local function draw(view, answer, why)
  if not vim.api.nvim_buf_is_valid(view.buf) then
    return
  end
  if answer then
    view.canvas = tables[view.kind](answer, view.line + 1)
  else
    view.canvas = require('orcls.canvas').new()
    view.canvas:line({ assert(why), hl = 'OrclsState' })
  end
  local rows = vim.tbl_map(vim.api.nvim_win_get_cursor, vim.fn.win_findbuf(view.buf))
  view.canvas:show(view.buf, namespace)
  for i, win in ipairs(vim.fn.win_findbuf(view.buf)) do
    pcall(vim.api.nvim_win_set_cursor, win, rows[i])
  end
end

---@param view orcls.View
local function update(view, drawn)
  orcls.ask('orcls/' .. view.kind, view.source, nil, function(answer, why)
    draw(view, answer, why)
    if drawn then
      drawn()
    end
  end)
end

--- Goes to the place under the cursor, in the window of the source.
---@param view orcls.View
local function jump(view)
  local cursor = vim.api.nvim_win_get_cursor(0)
  local place = view.canvas and view.canvas:place(cursor[1] - 1, cursor[2])
  if not place then
    return
  end
  local file = vim.fn.bufadd(place.file)
  local win = vim.fn.win_findbuf(file)[1] or vim.fn.win_findbuf(view.source)[1]
  if vim.api.nvim_win_get_config(0).relative ~= '' then
    vim.api.nvim_win_close(0, false)
  end
  if win then
    vim.api.nvim_set_current_win(win)
  else
    vim.cmd.wincmd('p')
  end
  vim.fn.bufload(file)
  vim.bo[file].buflisted = true
  vim.api.nvim_set_current_buf(file)
  vim.api.nvim_win_set_cursor(0, { math.min(place.line, vim.api.nvim_buf_line_count(file)), 0 })
  vim.cmd.normal({ 'zv^', bang = true })
end

--- A float as large as its text, at the cursor.
local function float(view)
  local width = vim.iter(view.canvas.lines):map(vim.fn.strdisplaywidth):fold(20, math.max)
  local win = vim.api.nvim_open_win(view.buf, true, {
    relative = 'cursor',
    row = 1,
    col = 0,
    width = math.min(width + 1, vim.o.columns - 4),
    height = math.max(1, math.min(#view.canvas.lines, math.floor(vim.o.lines / 2))),
    border = 'rounded',
    title = ' ' .. view.kind .. ' ',
    style = 'minimal',
  })
  vim.wo[win].wrap = false
  vim.keymap.set('n', '<Esc>', '<Cmd>close<CR>', { buffer = view.buf, nowait = true })
end

---@param kind 'alternatives'|'orc'|'cfi'
---@param source integer
---@param options? { line?: integer, float?: boolean, mods?: table }
function M.open(kind, source, options)
  options = options or {}
  local buf = vim.api.nvim_create_buf(false, true)
  ---@type orcls.View
  local view = { kind = kind, source = source, line = options.line or vim.fn.line('.') - 1, buf = buf }
  vim.bo[buf].bufhidden = 'wipe'
  vim.bo[buf].filetype = 'orcls'
  pcall(vim.api.nvim_buf_set_name, buf, ('orcls://%s/%s'):format(kind, vim.fs.basename(vim.api.nvim_buf_get_name(source))))
  vim.keymap.set('n', '<CR>', function()
    jump(view)
  end, { buffer = buf, desc = 'Go to the line' })
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buf, nowait = true, desc = 'Close' })

  local group = vim.api.nvim_create_augroup('orcls.view.' .. buf, {})
  orcls.follow(source, group, function()
    update(view)
  end)
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buf,
    callback = function()
      vim.api.nvim_del_augroup_by_id(group)
    end,
  })

  if options.float then
    return update(view, function()
      float(view)
    end)
  end
  vim.cmd.split({ mods = options.mods or {} })
  vim.api.nvim_win_set_buf(0, buf)
  local window = vim.wo[0][0]
  window.number, window.relativenumber, window.wrap, window.signcolumn, window.list = false, false, false, 'no', false
  update(view)
end

return M
