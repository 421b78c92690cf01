-- The quickfix list of a build: objtool's line on its source line, gcc's beside it.
vim.g.orcls_program = vim.env.ORCLS_PROGRAM
vim.cmd.compiler('orcls')
vim.cmd('silent make')
local function entry(item)
  local name = item.bufnr > 0 and vim.fn.fnamemodify(vim.fn.bufname(item.bufnr), ':.') or ''
  return { name = name, line = item.lnum, column = item.col, kind = item.type, text = item.text, valid = item.valid == 1 }
end
local items = vim.tbl_map(entry, vim.fn.getqflist())
local failed = false
local function check(what, found)
  io.stdout:write(('  %s  %s\n'):format(found and 'ok   ' or 'FAIL ', what))
  failed = failed or not found
end
local function some(test)
  return vim.iter(items):any(test)
end
check("objtool's line is on the return", some(function(item)
  return item.valid and item.name == 'lib/a.S' and item.line == 6 and item.kind:lower() == 'w' and item.text:find('still on the stack', 1, true)
end))
check("gcc's own line is there", some(function(item)
  return item.valid and item.name == 'b.c' and item.kind:lower() == 'e'
end))
check('what has no place says why', some(function(item)
  return not item.valid and item.text:find('gone.o is not there', 1, true)
end))
if failed then
  io.stdout:write(vim.inspect(items), '\n')
  vim.cmd('cquit 1')
end
