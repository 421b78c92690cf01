--- :Orcls and its parts.
local orcls = require('orcls')

local M = {}

local function say(text, level)
  vim.notify('orcls: ' .. text, level or vim.log.levels.INFO)
end

local function view(kind)
  return function(command)
    require('orcls.views').open(kind, vim.api.nvim_get_current_buf(), { float = command.bang, mods = command.smods })
  end
end

--- The codes of the findings in a buffer, those of the cursor's line first.
local function codes(line)
  local here, elsewhere = {}, {}
  for _, finding in ipairs(vim.diagnostic.get(0)) do
    if finding.source == 'orcls' and finding.code then
      local list = line and finding.lnum == line and here or elsewhere
      if not vim.list_contains(list, finding.code) then
        table.insert(list, finding.code)
      end
    end
  end
  return here, elsewhere
end

--- What the server is started as.
local function program()
  local client = orcls.client()
  return client and type(client.config.cmd) == 'table' and client.config.cmd[1] or 'orcls'
end

local function explain(code)
  vim.system({ program(), 'explain', code, '--format', 'markdown' }, { text = true }, vim.schedule_wrap(function(result)
    if result.code ~= 0 then
      return say(vim.trim(result.stderr), vim.log.levels.ERROR)
    end
    vim.lsp.util.open_floating_preview(vim.split(vim.trim(result.stdout), '\n'), 'markdown', { border = 'rounded', focus_id = 'orcls-explain', max_width = 90 })
  end))
end

---@type table<string, fun(command: table, argument?: string)>
local parts = {
  orc = view('orc'),
  alternatives = view('alternatives'),
  cfi = view('cfi'),
  explain = function(_, code)
    if code then
      return explain(code)
    end
    local here, elsewhere = codes(vim.fn.line('.') - 1)
    local among = #here > 0 and here or elsewhere
    if #among == 0 then
      return say('nothing was found in this buffer; :Orcls explain CODE explains any code')
    end
    if #among == 1 then
      return explain(among[1])
    end
    vim.ui.select(among, { prompt = 'Explain which finding?' }, function(picked)
      if picked then
        explain(picked)
      end
    end)
  end,
  expand = function()
    local cursor = vim.api.nvim_win_get_cursor(0)
    orcls.ask('orcls/expandMacro', vim.api.nvim_get_current_buf(), cursor[1] - 1, function(answer)
      if not answer then
        return say('put the cursor on a statement that uses a macro')
      end
      local lines = vim.split(vim.trim(answer.text), '\n')
      local options = { border = 'rounded', focus_id = 'orcls-expand', max_width = 120, wrap = false, title = ' ' .. answer.name .. ' ' }
      vim.lsp.util.open_floating_preview(lines, 'asm', options)
    end, cursor[2])
  end,
  status = function()
    orcls.ask('orcls/status', 0, nil, function(status, why)
      if not status then
        return say(why, vim.log.levels.WARN)
      end
      say(table.concat(vim.list_extend({ ('%s: %s'):format(status.state, status.message) }, status.notes or {}), '\n'))
    end)
  end,
  check = function()
    local client = orcls.client()
    if not client then
      return say('the server is not running; open a C or assembly file first', vim.log.levels.ERROR)
    end
    say('checking every built object ...')
    client:request('workspace/executeCommand', { command = 'orcls.server.checkWorkspace', arguments = {} }, function(err, done)
      if err then
        return say(err.message, vim.log.levels.ERROR)
      end
      local lines = { ('%d objects checked, %d findings in %d of them, %d could not be read'):format(done.objects, done.findings, done.withFindings, done.failed) }
      for why, number in vim.spairs(done.skipped or {}) do
        table.insert(lines, ('%d not checked: %s'):format(number, why))
      end
      vim.list_extend(lines, done.notRead or {})
      vim.list_extend(lines, done.notes or {})
      if done.objects == 0 then
        lines[1] = 'nothing was checked'
      end
      say(table.concat(lines, '\n'), done.objects == 0 and vim.log.levels.WARN or nil)
      -- The findings themselves are messages of their own and may come behind the answer.
      vim.defer_fn(function()
        vim.diagnostic.setqflist({ title = 'orcls', namespace = vim.lsp.diagnostic.get_namespace(client.id), open = done.findings > 0 })
      end, 500)
    end)
  end,
  verify = function()
    local client = orcls.client(vim.api.nvim_get_current_buf())
    if not client then
      return say('the server is not running; open a C or assembly file first', vim.log.levels.ERROR)
    end
    -- objtool is a program that the tree brings along.
    if not require('orcls.trust').decide(client.settings, client.root_dir) then
      return say('the objtool of a tree is run once the workspace is trusted (:Orcls trust)', vim.log.levels.WARN)
    end
    orcls.ask('orcls/status', 0, nil, function(status)
      if not status or not status.object or status.object == vim.NIL then
        return say('this file has no object of a build to compare', vim.log.levels.WARN)
      end
      local words = { program(), 'verify' }
      if status.directory and status.directory ~= vim.NIL then
        vim.list_extend(words, { '--build-dir', status.directory })
      end
      table.insert(words, status.object)
      say('comparing with the objtool of the tree ...')
      vim.system(words, { text = true, timeout = 600000 }, vim.schedule_wrap(function(result)
        local text = vim.trim((result.stdout or '') .. (result.stderr or ''))
        vim.lsp.util.open_floating_preview(vim.split(text, '\n'), 'text', { border = 'rounded', focus_id = 'orcls-verify', max_width = 120, title = ' orcls verify ' })
      end))
    end)
  end,
  eol = function()
    say(require('orcls.eol').toggle(vim.api.nvim_get_current_buf()) and 'CFA at every line' or 'CFA at every line: off')
  end,
  trust = function(_, answer)
    local client = orcls.client(vim.api.nvim_get_current_buf()) or orcls.client()
    if not client then
      return say('the server is not running; open a C or assembly file first', vim.log.levels.ERROR)
    end
    local trust, root = require('orcls.trust'), client.root_dir
    local trusted = answer ~= 'never' and answer ~= 'forget'
    if root and answer ~= 'session' then
      if answer == 'never' then
        trust.remember(root, false)
      else
        trust.remember(root, trusted or nil)
      end
    end
    for _, each in ipairs(vim.lsp.get_clients({ name = 'orcls' })) do
      if each.root_dir == root then
        trust.tell(each, trusted)
      end
    end
    local where = root and vim.fn.fnamemodify(root, ':~') or 'this file'
    say(trusted and ('compilers may be run for %s'):format(where) or ('no compiler is run for %s'):format(where))
  end,
  restart = function()
    for _, client in ipairs(vim.lsp.get_clients({ name = 'orcls' })) do
      client:stop(true)
    end
    vim.defer_fn(function()
      vim.lsp.enable('orcls')
    end, 300)
  end,
}

function M.run(command)
  local name, argument = command.fargs[1] or 'status', command.fargs[2]
  local part = parts[name]
  if not part then
    return say(('there is no :Orcls %s; there are %s'):format(name, table.concat(vim.fn.sort(vim.tbl_keys(parts)), ', ')), vim.log.levels.ERROR)
  end
  part(command, argument)
end

function M.complete(lead, line)
  local words = vim.split(line, '%s+')
  local among = vim.fn.sort(vim.tbl_keys(parts))
  if #words > 2 then
    local last = words[#words - 1]
    among = last == 'explain' and vim.list_extend(codes()) or last == 'trust' and { 'session', 'never', 'forget' } or {}
  end
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, among)
end

return M
