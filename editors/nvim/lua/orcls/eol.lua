--- The CFA at the end of every line that code comes from; `:Orcls eol` switches it.
local orcls = require('orcls')

local M = {}
local namespace = vim.api.nvim_create_namespace('orcls.eol')
---@type table<integer, integer> buffer to augroup
local on = {}

local function draw(buf, answer)
  if not on[buf] or not vim.api.nvim_buf_is_valid(buf) then
    return
  end
  vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  local name = vim.uv.fs_realpath(vim.api.nvim_buf_get_name(buf))
  local states = {}
  for _, row in ipairs(answer.instructions) do
    if row.cfa and row.line and vim.uv.fs_realpath(row.file) == name then
      -- The state before the line's first instruction; a line inlined twice shows that of its first copy.
      states[row.line] = states[row.line] or row.cfa
    end
  end
  for line, cfa in pairs(states) do
    local text = ('cfa=%s%+d'):format(cfa.base, cfa.offset)
    pcall(vim.api.nvim_buf_set_extmark, buf, namespace, line - 1, 0, { virt_text = { { text, 'OrclsEol' } }, virt_text_pos = 'eol', hl_mode = 'combine' })
  end
end

--- Switches it for a buffer.
---@param buf integer
---@return boolean on
function M.toggle(buf)
  if on[buf] then
    vim.api.nvim_del_augroup_by_id(on[buf])
    on[buf] = nil
    vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
    return false
  end
  on[buf] = vim.api.nvim_create_augroup('orcls.eol.' .. buf, {})
  local update = function()
    orcls.ask('orcls/cfi', buf, nil, function(answer)
      if answer then
        draw(buf, answer)
      end
    end)
  end
  orcls.follow(buf, on[buf], update)
  update()
  return true
end

return M
