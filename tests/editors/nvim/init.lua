-- A configuration as a user would have it: the plugin on the runtime path, the server enabled, nothing else.
vim.opt.runtimepath:prepend(vim.env.ORCLS_PLUGIN)
vim.opt.swapfile = false
vim.opt.number = true
vim.opt.signcolumn = 'yes'
vim.opt.termguicolors = true
vim.diagnostic.config({ virtual_text = { source = false }, severity_sort = true })
vim.lsp.config('orcls', {
  cmd = { vim.env.ORCLS, 'lsp' },
  settings = {
    orcls = {
      kernel = vim.env.ORCLS_KERNEL and 'auto' or '6.12',
      buildDirectory = vim.env.ORCLS_BUILD,
      compilers = not vim.env.ORCLS_KERNEL and { vim.env.ORCLS_COMPILER } or nil,
      trusted = vim.env.ORCLS_UNTRUSTED == nil,
    },
  },
})
vim.lsp.enable('orcls')
vim.lsp.inlay_hint.enable()
