-- Defines :Orcls and what it needs before it is first used. Everything else is loaded then.
if vim.g.loaded_orcls then
  return
end
vim.g.loaded_orcls = true

for name, link in pairs({
  OrclsConflictState = 'DiagnosticError',
  OrclsHead = 'Title',
  OrclsFunction = 'Function',
  OrclsOffset = 'LineNr',
  OrclsState = 'Comment',
  OrclsChanged = 'DiagnosticInfo',
  OrclsHere = 'CursorLine',
  OrclsEol = 'LspInlayHint',
}) do
  vim.api.nvim_set_hl(0, name, { link = link, default = true })
end

-- A background, which the groups for diagnostics do not have in every colour scheme.
local function colour()
  local dark = vim.o.background == 'dark'
  vim.api.nvim_set_hl(0, 'OrclsConflict', { bg = dark and '#6b2328' or '#ffd3d3', ctermbg = dark and 52 or 224, default = true })
end
colour()
vim.api.nvim_create_autocmd('ColorScheme', { group = vim.api.nvim_create_augroup('orcls', {}), callback = colour })

vim.api.nvim_create_user_command('Orcls', function(command)
  require('orcls.command').run(command)
end, {
  nargs = '*',
  bang = true,
  bar = true,
  desc = 'orcls: tables, explanations and status of this file',
  complete = function(lead, line)
    return require('orcls.command').complete(lead, line)
  end,
})

-- What the server's code lenses carry; they name the file and the place.
for lens, view in pairs({ showOrc = 'orc', showAlternatives = 'alternatives', showCfi = 'cfi' }) do
  vim.lsp.commands['orcls.' .. lens] = function(command)
    local uri, position = unpack(command.arguments)
    require('orcls.views').open(view, vim.uri_to_bufnr(uri), { line = position and position.line })
  end
end
