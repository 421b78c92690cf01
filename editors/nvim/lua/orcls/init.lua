--- Talks to the server: the requests that orcls adds to the protocol, and the settings.
local M = {}

--- The client of a buffer, or of any buffer.
---@param buf? integer
---@return vim.lsp.Client?
function M.client(buf)
  return vim.lsp.get_clients({ name = 'orcls', bufnr = buf })[1]
end

--- Without the keys whose value is null. In lists null stays, so that the others keep their places.
local function without_nulls(value)
  if type(value) ~= 'table' then
    return value
  end
  for key, inner in pairs(value) do
    if inner == vim.NIL and type(key) == 'string' then
      value[key] = nil
    else
      without_nulls(inner)
    end
  end
  return value
end

--- Asks one of our requests about a buffer. `done` gets the answer, or nil and why there is none.
---@param method 'orcls/cfi'|'orcls/orc'|'orcls/alternatives'|'orcls/status'|'orcls/expandMacro'
---@param buf integer
---@param line? integer from 0; the whole file without it
---@param done fun(answer: table?, why: string?)
---@param column? integer in bytes; the start of the line without it
function M.ask(method, buf, line, done, column)
  local client = M.client(buf)
  if not client then
    return done(nil, 'the orcls server does not run for this buffer (:checkhealth orcls)')
  end
  local params = { textDocument = vim.lsp.util.make_text_document_params(buf) }
  if line then
    params.position = { line = line, character = column or 0 }
  end
  client:request(method, params, function(err, answer)
    if err or answer == nil or answer == vim.NIL then
      return done(nil, err and err.message or 'nothing is known about this file yet')
    end
    done(without_nulls(answer))
  end, buf)
end

--- Changes a setting for all running clients, and for those started later.
---@param settings table
function M.configure(settings)
  vim.lsp.config('orcls', { settings = { orcls = settings } })
  for _, client in ipairs(vim.lsp.get_clients({ name = 'orcls' })) do
    client.settings = vim.tbl_deep_extend('force', client.settings or {}, { orcls = settings })
    client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  end
end

--- Calls `update` soon after anything about `buf` changed: its text, its findings, its status.
---@param buf integer
---@param group integer an augroup of the caller's, which ends it
---@param update fun()
function M.follow(buf, group, update)
  local waiting = false
  local soon = function()
    if waiting then
      return
    end
    waiting = true
    vim.defer_fn(function()
      waiting = false
      update()
    end, 150)
  end
  vim.api.nvim_create_autocmd({ 'DiagnosticChanged', 'TextChanged', 'TextChangedI', 'LspAttach' }, { group = group, buffer = buf, callback = soon })
  vim.api.nvim_create_autocmd('User', {
    group = group,
    pattern = 'OrclsStatusChanged',
    callback = function(event)
      if event.data == buf then
        soon()
      end
    end,
  })
end

vim.lsp.handlers['orcls/statusChanged'] = function(_, status)
  local buf = vim.uri_to_bufnr(status.uri)
  vim.api.nvim_exec_autocmds('User', { pattern = 'OrclsStatusChanged', data = buf })
end

return M
