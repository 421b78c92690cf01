--- Which workspaces the user trusts: nothing is run for the others. Remembered as Neovim's own |:trust| does it, in a
--- file of the user's state.
local M = {}

local function file()
  return vim.fs.joinpath(vim.fn.stdpath('state'), 'orcls-trust.json')
end

local function real(root)
  return root and (vim.uv.fs_realpath(root) or vim.fs.normalize(root)) or nil
end

---@return table<string, boolean>
local function read()
  local handle = io.open(file(), 'r')
  if not handle then
    return {}
  end
  local ok, known = pcall(vim.json.decode, handle:read('*a'))
  handle:close()
  return ok and type(known) == 'table' and known or {}
end

--- What the user has said about a workspace: true, false, or nil when nothing was said yet.
---@param root? string
---@return boolean?
function M.of(root)
  local known = read()[real(root) or '']
  if type(known) == 'boolean' then
    return known
  end
end

--- Remembers it; nil forgets.
---@param root string
---@param trusted? boolean
function M.remember(root, trusted)
  local known = read()
  known[real(root)] = trusted
  vim.fn.mkdir(vim.fs.dirname(file()), 'p')
  local own = ('%s.%d'):format(file(), vim.uv.os_getpid())
  local handle = assert(io.open(own, 'w'))
  handle:write(vim.json.encode(next(known) and known or vim.empty_dict()))
  handle:close()
  assert(vim.uv.fs_rename(own, file()))
end

--- Whether compilers may be run for a client's workspace. A setting of the user's decides for all of them.
---@param settings? table
---@param root? string
function M.decide(settings, root)
  local set = vim.tbl_get(settings or {}, 'orcls', 'trusted')
  if type(set) == 'boolean' then
    return set
  end
  return M.of(root) == true
end

--- Tells a running client.
---@param client vim.lsp.Client
---@param trusted boolean
function M.tell(client, trusted)
  client.settings = vim.tbl_deep_extend('force', client.settings or {}, { orcls = { trusted = trusted } })
  client:notify('workspace/didChangeConfiguration', { settings = client.settings })
end

local asked = {}

--- Asks once for each workspace of which nothing is known. A message and no dialogue: who does nothing runs nothing.
---@param client vim.lsp.Client
---@param buf integer
function M.ask(client, buf)
  local root = real(client.root_dir)
  local set = vim.tbl_get(client.settings or {}, 'orcls', 'trusted')
  if type(set) == 'boolean' or (root and (asked[root] or M.of(root) ~= nil)) then
    return
  end
  asked[root or ''] = true
  -- What would be run is known when the file's build has been found.
  vim.defer_fn(function()
    if client:is_stopped() or not vim.api.nvim_buf_is_valid(buf) then
      return
    end
    client:request('orcls/status', { textDocument = vim.lsp.util.make_text_document_params(buf) }, function(_, status)
      if M.of(root) ~= nil or vim.tbl_get(client.settings or {}, 'orcls', 'trusted') ~= nil then
        return
      end
      local command = type(status) == 'table' and type(status.command) == 'table' and status.command[1]
      local what = command and ('`%s`'):format(command) or 'the compiler of its build'
      vim.notify(('orcls: no compiler runs here until :Orcls trust (it would run %s)'):format(what), vim.log.levels.INFO)
    end, buf)
  end, 300)
end

return M
