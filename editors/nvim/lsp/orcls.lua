-- orcls: the verdicts of Linux's objtool, on the line that causes them.
--
-- This file works alone: put it into the `lsp` folder of your configuration and say `vim.lsp.enable('orcls')`.
-- Settings, see `:help orcls-settings`:  vim.lsp.config('orcls', { settings = { orcls = { kernel = '6.12' } } })

local here = vim.fs.dirname(vim.fs.normalize(debug.getinfo(1, 'S').source:sub(2)))
-- The release archive carries the program; a plugin manager's checkout does not.
local bundled = vim.fs.joinpath(vim.fs.dirname(here), 'bin', 'orcls')

--- Whether a Rust file belongs to a kernel, or to a module that Kbuild makes.
local function is_kernel(path)
  for folder in vim.fs.parents(path) do
    local has = function(name)
      return vim.uv.fs_stat(vim.fs.joinpath(folder, name)) ~= nil
    end
    if has('scripts/Makefile.build') or has('Kbuild') or has('.Module.symvers.cmd') or has('.modules.order.cmd') then
      return true
    end
    if has('Cargo.toml') then
      return false
    end
  end
  return false
end

return {
  cmd = { vim.fn.executable(bundled) == 1 and bundled or 'orcls', 'lsp' },
  filetypes = { 'c', 'cpp', 'asm', 'rust' },
  -- Of Rust files only those of kernels and their modules: all others are left to rust-analyzer alone.
  root_dir = function(buf, start)
    if vim.bo[buf].filetype ~= 'rust' or is_kernel(vim.api.nvim_buf_get_name(buf)) then
      -- A kernel from an archive has no .git, but MAINTAINERS.
      start(vim.fs.root(buf, { 'compile_commands.json', '.git', 'MAINTAINERS' }))
    end
  end,
  workspace_required = false,
  -- Findings are pushed to clients that can not be told to pull again. Neovim 0.12 says that it can, and then asks only
  -- about files that are not open, when the server has findings for those too.
  capabilities = { workspace = { diagnostics = { refreshSupport = false } } },
  handlers = {
    -- Neovim asks with a list that holds the editor up until it is answered. What the server would answer stands in the status.
    ['window/showMessageRequest'] = function(_, params)
      local text = params.message:gsub('^orcls: ', ''):gsub(vim.pesc(vim.uv.cwd() .. '/'), '')
      local hint = vim.fn.exists(':Orcls') == 2 and ' (:Orcls status)' or ''
      local room = vim.o.columns - #hint - #'orcls: ' - 15
      if vim.fn.strdisplaywidth(text) > room then
        text = vim.fn.strcharpart(text, 0, math.max(room - 3, 20)) .. '...'
      end
      vim.notify('orcls: ' .. text .. hint, vim.log.levels.WARN)
      return vim.NIL
    end,
    -- Neovim 0.12 does not draw hints anew that change while the text stays, as they do when it has been analysed.
    ['workspace/inlayHint/refresh'] = function(_, _, context)
      for buf in pairs(vim.lsp.get_client_by_id(context.client_id).attached_buffers) do
        if vim.lsp.inlay_hint.is_enabled({ bufnr = buf }) then
          vim.lsp.inlay_hint.enable(true, { bufnr = buf })
        end
      end
      return vim.NIL
    end,
  },
  settings = { orcls = {} },
  -- With the first message already: without trust nothing may be compiled, and a client that says so is asked for it.
  before_init = function(params, config)
    local settings = vim.deepcopy(vim.tbl_get(config, 'settings', 'orcls') or {})
    local found, trust = pcall(require, 'orcls.trust')
    if found then
      settings.trusted = trust.decide(config.settings, config.root_dir)
    else
      settings.trusted = settings.trusted == true
    end
    params.initializationOptions = { orcls = settings }
  end,
  on_attach = function(client, buf)
    local found, trust = pcall(require, 'orcls.trust')
    if found then
      trust.ask(client, buf)
    end
  end,
}
