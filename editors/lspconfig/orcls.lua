--- For nvim-lspconfig, as `lsp/orcls.lua`: the server alone. The plugin in `editors/nvim` has tables, trust and commands besides.
---
--- Until it is told that the workspace is trusted, the server runs no compiler and reads the objects that the build has left:
--- ```lua
--- vim.lsp.config('orcls', { init_options = { orcls = { trusted = true } } })
--- ```

---@type vim.lsp.Config
return {
  cmd = { 'orcls', 'lsp' },
  filetypes = { 'asm', 'c', 'cpp' },
  root_markers = { 'compile_commands.json', 'MAINTAINERS', '.git' },
  init_options = { orcls = { trusted = false } },
}
