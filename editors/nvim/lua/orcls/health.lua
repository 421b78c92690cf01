--- :checkhealth orcls
local M = {}

function M.check()
  local health = vim.health
  health.start('orcls')
  if vim.fn.has('nvim-0.11') == 0 then
    return health.error('Neovim 0.11 or later is needed')
  end
  local config = vim.lsp.config.orcls
  if not config then
    return health.error('no configuration for orcls is on the runtime path', 'put lsp/orcls.lua there')
  end
  local program = type(config.cmd) == 'table' and config.cmd[1] or nil
  if not program then
    health.info('the server is started by a function')
  elseif vim.fn.executable(program) == 0 then
    health.error(("the program '%s' was not found"):format(program), {
      'build it: cargo install --locked --path .',
      "or name it: vim.lsp.config('orcls', { cmd = { '/path/to/orcls', 'lsp' } })",
    })
  else
    local result = vim.system({ program, '--version' }, { text = true }):wait(5000)
    if result.code == 0 then
      health.ok(('%s: %s'):format(vim.fn.exepath(program), vim.trim(result.stdout)))
    else
      health.error(('%s --version fails: %s'):format(program, vim.trim(result.stderr or '')))
    end
  end
  if vim.lsp.is_enabled and not vim.lsp.is_enabled('orcls') then
    health.warn('the server is not enabled', "say vim.lsp.enable('orcls') in your configuration")
  end
  local compiler = vim.iter({ 'cc', 'gcc', 'clang' }):find(function(name)
    return vim.fn.executable(name) == 1
  end)
  if compiler then
    health.ok('a C compiler: ' .. vim.fn.exepath(compiler))
  else
    health.warn('no C compiler on PATH', 'unsaved text can only be analysed by compiling it')
  end
  local clients = vim.lsp.get_clients({ name = 'orcls' })
  if #clients == 0 then
    health.info('no file has the server attached; open a C or assembly file')
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_keys(client.attached_buffers)
    health.ok(('running for %s, buffers: %d'):format(client.root_dir or 'single files', #buffers))
    for _, buf in ipairs(buffers) do
      local answer = client:request_sync('orcls/status', { textDocument = vim.lsp.util.make_text_document_params(buf) }, 2000, buf)
      local status = answer and answer.result
      if status and status ~= vim.NIL then
        local tell = vim.list_contains({ 'fresh', 'analysing' }, status.state) and health.ok or health.warn
        tell(('%s: %s: %s'):format(vim.fs.basename(vim.api.nvim_buf_get_name(buf)), status.state, status.message))
      end
    end
  end
  local trusted = vim.tbl_get(config, 'settings', 'orcls', 'trusted')
  if trusted == nil then
    health.info('a workspace is trusted by :Orcls trust, and no compiler is run for others')
  else
    health.info(trusted and 'all workspaces are trusted by the setting orcls.trusted' or 'no workspace is trusted until :Orcls trust, each session')
  end
end

return M
