-- Runs inside a headless Neovim, over the workspace of make-workspace.sh: what the user's own commands do.
local suites = {}
local LEAK = '10 return-with-modified-frame'

local function until_(what, get, good, milliseconds)
  local seen
  local fine = vim.wait(milliseconds or 120000, function()
    seen = get()
    return good(seen)
  end, 50)
  if not fine then
    error(('%s: saw %s'):format(what, vim.inspect(seen)), 2)
  end
  return seen
end

local function findings()
  return vim.tbl_filter(function(each)
    return each.source == 'orcls'
  end, vim.diagnostic.get(0))
end

--- The findings as `LINE CODE`, with lines as a person counts them.
local function brief()
  local out = vim.tbl_map(function(each)
    return (each.lnum + 1) .. ' ' .. tostring(each.code)
  end, findings())
  table.sort(out)
  return out
end

local function until_findings(wanted)
  until_('findings ' .. vim.inspect(wanted), brief, function(seen)
    return vim.deep_equal(seen, wanted)
  end)
end

local function close_floats()
  for _, win in ipairs(vim.api.nvim_list_wins()) do
    if vim.api.nvim_win_get_config(win).relative ~= '' then
      vim.api.nvim_win_close(win, true)
    end
  end
end

local function open(name)
  close_floats()
  vim.cmd.only({ mods = { silent = true } })
  vim.cmd.buffer(vim.fn.bufadd(name))
  until_('a client', function()
    return vim.lsp.get_clients({ bufnr = 0, name = 'orcls' })
  end, function(seen)
    return #seen > 0
  end)
end

local function floating()
  for _, win in ipairs(vim.api.nvim_list_wins()) do
    if vim.api.nvim_win_get_config(win).relative ~= '' then
      return win
    end
  end
end

local function text(buf)
  return table.concat(vim.api.nvim_buf_get_lines(buf, 0, -1, false), '\n')
end

local function until_float(pattern)
  return until_('a float with ' .. pattern, function()
    local win = floating()
    return win and text(vim.api.nvim_win_get_buf(win))
  end, function(seen)
    return seen and seen:match(pattern)
  end)
end

local function until_text(pattern)
  local buf = vim.api.nvim_get_current_buf()
  return until_('text with ' .. pattern, function()
    return text(buf)
  end, function(seen)
    return seen:match(pattern)
  end)
end

local function messages()
  return vim.api.nvim_exec2('messages', { output = true }).output
end

local function compiled()
  return #vim.fn.readfile(vim.env.ORCLS_COMPILER_LOG)
end

--- The first one, as if it had been picked from the list.
local function apply_first_fix()
  local select, tick = vim.ui.select, vim.b.changedtick
  -- Nobody types here, who would begin another undo block.
  vim.bo.undolevels = vim.bo.undolevels
  vim.ui.select = function(items, _, picked)
    picked(items[1], 1)
  end
  vim.lsp.buf.code_action({ context = { only = { 'quickfix' } } })
  until_('the fix', function()
    return vim.b.changedtick
  end, function(seen)
    return seen ~= tick
  end)
  vim.ui.select = select
end

local function fix_leak_and_undo()
  vim.api.nvim_win_set_cursor(0, { 10, 1 })
  apply_first_fix()
  until_findings({})
  vim.cmd.undo()
  until_findings({ LEAK })
end

suites.small = {
  {
    'a finding stands on its line, with the way there',
    function()
      open('stack.S')
      until_findings({ LEAK })
      local finding = findings()[1].user_data.lsp
      assert(finding.data.objtool:match('sum_leaks%+0x%x+: return with modified stack frame'), finding.data.objtool)
      assert(vim.iter(finding.relatedInformation):any(function(step)
        return step.location.range.start.line == 5
      end), 'the push on line 6 is not named')
    end,
  },
  {
    'assembly has an outline, and a push leads to its pop',
    function()
      open('stack.S')
      until_findings({ LEAK })
      local client = vim.lsp.get_clients({ bufnr = 0, name = 'orcls' })[1]
      local document = { textDocument = vim.lsp.util.make_text_document_params(0) }
      local symbols = assert(client:request_sync('textDocument/documentSymbol', document, 60000, 0)).result
      assert(vim.iter(symbols):any(function(symbol)
        return symbol.name == 'sum_leaks'
      end), vim.inspect(symbols))
      local push = vim.fn.search('^\\tpush\\t', 'w', 0, 0, 'line(".") < 12')
      vim.api.nvim_win_set_cursor(0, { push, 1 })
      vim.lsp.buf.definition()
      until_('the pop', function()
        return vim.api.nvim_get_current_line()
      end, function(seen)
        return seen:match('pop')
      end)
    end,
  },
  {
    'K says where the caller\'s frame is',
    function()
      open('stack.S')
      vim.api.nvim_win_set_cursor(0, { 7, 2 })
      vim.lsp.buf.hover()
      until_float('rsp%+16')
      close_floats()
    end,
  },
  {
    'inlay hints stand where the CFA changes',
    function()
      open('stack.S')
      local lines = until_('hints', function()
        return vim.tbl_map(function(each)
          return each.inlay_hint.position.line + 1
        end, vim.lsp.inlay_hint.get({ bufnr = 0 }))
      end, function(seen)
        return #seen > 0
      end)
      for _, line in ipairs({ 6, 14, 18 }) do
        assert(vim.list_contains(lines, line), ('no hint on line %d, only on %s'):format(line, vim.inspect(lines)))
      end
      assert(not vim.list_contains(lines, 7), 'a hint where nothing changes')
    end,
  },
  {
    'a code action clears the finding, and undo brings it back',
    function()
      open('stack.S')
      until_findings({ LEAK })
      fix_leak_and_undo()
    end,
  },
  {
    'what is typed brings a finding, and undo clears it',
    function()
      open('stack.S')
      until_findings({ LEAK })
      vim.api.nvim_win_set_cursor(0, { 16, 0 })
      vim.api.nvim_feedkeys(vim.keycode('Opush %rax<Esc>'), 'x', false)
      until_findings({ LEAK, '20 return-with-modified-frame' })
      vim.cmd.undo()
      until_findings({ LEAK })
      assert(not vim.bo.modified)
    end,
  },
  {
    ':Orcls alternatives shows the arms, follows the edits, and leads to the line',
    function()
      open('save_fl.S')
      until_findings({ '8 alternative-stack-conflict' })
      vim.cmd('Orcls alternatives')
      assert(vim.bo.filetype == 'orcls')
      local view = vim.api.nvim_get_current_buf()
      until_text('2 alternatives, 1 with a conflict')
      assert(text(view):match('0x07 │ nop'), text(view))
      assert(text(view):match('pop'), text(view))
      local namespace = vim.api.nvim_get_namespaces()['orcls.views']
      local marks = vim.api.nvim_buf_get_extmarks(view, namespace, 0, -1, { details = true })
      local red = vim.tbl_filter(function(mark)
        return mark[4].hl_group == 'OrclsConflict'
      end, marks)
      assert(#red == 2, 'not two conflicting cells: ' .. vim.inspect(red))
      -- <CR> on the conflict leads to the alternative's line.
      vim.api.nvim_win_set_cursor(0, { red[1][2] + 1, red[1][3] })
      vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'x', false)
      assert(vim.endswith(vim.api.nvim_buf_get_name(0), 'save_fl.S'))
      assert(vim.fn.line('.') == 8, 'line ' .. vim.fn.line('.'))
      vim.api.nvim_set_current_line('\tALTERNATIVE "call *pv_ops; nop", "pushf; pop %rax; .nops 6", X86_FEATURE_ALWAYS')
      until_('the view after the edit', function()
        return text(view)
      end, function(seen)
        return seen:match('2 alternatives, no conflict')
      end)
      until_findings({})
      vim.cmd.undo()
      until_findings({ '8 alternative-stack-conflict' })
    end,
  },
  {
    ':Orcls! alternatives floats',
    function()
      open('save_fl.S')
      vim.cmd('Orcls! alternatives')
      until_float('the arms disagree')
      close_floats()
    end,
  },
  {
    ':Orcls cfi, :Orcls orc',
    function()
      open('stack.S')
      until_findings({ LEAK })
      vim.api.nvim_win_set_cursor(0, { 15, 0 })
      vim.cmd('Orcls cfi')
      local seen = until_text('rsp%+16')
      assert(seen:match('^sum\n') and not seen:match('sum_leaks'), seen)
      vim.cmd.close()
      vim.cmd('vertical Orcls orc')
      until_text('sum_leaks')
      vim.cmd.close()
    end,
  },
  {
    ':Orcls eol shows the CFA at every line with code',
    function()
      open('stack.S')
      vim.cmd('Orcls eol')
      local marks = function()
        local namespace = vim.api.nvim_get_namespaces()['orcls.eol']
        local out = {}
        for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
          out[mark[2] + 1] = mark[4].virt_text[1][1]
        end
        return out
      end
      local seen = until_('virtual text', marks, function(seen)
        return next(seen)
      end)
      assert(seen[6] == 'cfa=rsp+8' and seen[7] == 'cfa=rsp+16' and not seen[12], vim.inspect(seen))
      vim.cmd('Orcls eol')
      assert(not next(marks()))
    end,
  },
  {
    'a file without a command is said in one line, and nobody is held up',
    function()
      -- In a folder of its own: of a file beside it the command would be taken.
      vim.fn.mkdir('lonely')
      vim.fn.writefile({ 'int nobody;' }, 'lonely/file.c')
      vim.cmd('messages clear')
      -- A list to choose from would wait for a key that nobody presses.
      vim.fn.inputlist = function()
        error('the editor is held up')
      end
      open('lonely/file.c')
      until_('the message', messages, function(seen)
        return seen:match('no compile command') and seen:match('%(:Orcls status%)')
      end)
      vim.fn.inputlist = nil
      vim.cmd('bdelete!')
      vim.fn.delete('lonely', 'rf')
    end,
  },
  {
    ':Orcls explain, :Orcls status, :checkhealth',
    function()
      open('stack.S')
      until_findings({ LEAK })
      vim.api.nvim_win_set_cursor(0, { 10, 0 })
      vim.cmd('Orcls explain')
      until_float('return%-with%-modified%-frame')
      close_floats()
      vim.cmd('messages clear')
      vim.cmd('Orcls status')
      until_('the status', messages, function(seen)
        return seen:match('orcls: fresh')
      end)
      vim.cmd('checkhealth orcls')
      local seen = until_text('running for')
      assert(not seen:match('ERROR') and not seen:match('WARNING'), seen)
      vim.cmd.close({ bang = true })
    end,
  },
  {
    ':Orcls verify says what it compared',
    function()
      open('stack.S')
      until_findings({ LEAK })
      vim.cmd('Orcls verify')
      -- The workspace has no objtool of its own.
      until_float('0 of 0 objects agree with objtool')
      close_floats()
    end,
  },
  {
    ':help orcls, with a tag for each part and each setting',
    function()
      vim.cmd.helptags(vim.env.ORCLS_PLUGIN .. '/doc')
      for _, tag in ipairs({ 'orcls', ':Orcls-alternatives', ':Orcls-eol', ':Orcls-verify', 'orcls.kernel', 'orcls-trust' }) do
        vim.cmd.help(tag)
        assert(vim.bo.filetype == 'help' and vim.fs.basename(vim.api.nvim_buf_get_name(0)) == 'orcls.txt', tag)
        vim.cmd.close()
      end
    end,
  },
  {
    ':Orcls check fills the quickfix list from files that are not open',
    function()
      vim.cmd('%bwipeout!')
      open('flags.c')
      vim.cmd('Orcls check')
      until_('the quickfix list', function()
        return vim.tbl_map(function(item)
          return vim.fs.basename(vim.api.nvim_buf_get_name(item.bufnr)) .. ':' .. item.lnum
        end, vim.fn.getqflist())
      end, function(seen)
        return vim.list_contains(seen, 'save_fl.S:8') and vim.list_contains(seen, 'stack.S:10')
      end)
    end,
  },
  {
    'a compiler ran: the test without trust would see it',
    function()
      assert(compiled() > 0)
    end,
  },
}

suites.untrusted = {
  {
    'without trust the built object is read and no compiler runs',
    function()
      open('stack.S')
      until_findings({ LEAK })
      vim.api.nvim_win_set_cursor(0, { 16, 0 })
      vim.api.nvim_feedkeys(vim.keycode('Opush %rax<Esc>'), 'x', false)
      -- Longer than any debounce.
      vim.wait(3000)
      assert(compiled() == 0, 'a compiler ran')
      vim.cmd('Orcls status')
      until_('the status', messages, function(seen)
        return seen:match('orcls: untrusted')
      end)
    end,
  },
  {
    ':Orcls trust compiles the text as it stands',
    function()
      vim.cmd('Orcls trust')
      until_findings({ LEAK, '20 return-with-modified-frame' })
      assert(compiled() > 0)
    end,
  },
}

suites.alone = {
  {
    'lsp/orcls.lua alone: findings, K, hints, a code action, what is typed',
    function()
      assert(vim.fn.exists(':Orcls') == 0, 'the plugin is there')
      open('stack.S')
      until_findings({ LEAK })
      vim.api.nvim_win_set_cursor(0, { 7, 2 })
      vim.lsp.buf.hover()
      until_float('rsp%+16')
      close_floats()
      until_('hints', function()
        return vim.lsp.inlay_hint.get({ bufnr = 0 })
      end, function(seen)
        return #seen > 0
      end)
      fix_leak_and_undo()
    end,
  },
}

-- A file of the kernel, by the flags and the command that Kbuild left. It is never saved.
suites.kernel = {
  {
    'as it is, it is silent; K has the state; its alternatives lead to their line',
    function()
      open(vim.env.ORCLS_KERNEL_SOURCE .. '/arch/x86/lib/copy_user_64.S')
      vim.cmd('Orcls status')
      until_('the status', function()
        vim.cmd('Orcls status')
        vim.wait(200)
        return messages()
      end, function(seen)
        return seen:match('orcls: fresh')
      end)
      vim.api.nvim_win_set_cursor(0, { vim.fn.search('^SYM_FUNC_START(rep_movs_alternative)') + 1, 1 })
      vim.lsp.buf.hover()
      until_float('CFA = `?rsp%+8')
      close_floats()
      assert(#findings() == 0, vim.inspect(brief()))
      vim.cmd('Orcls alternatives')
      until_text('^%d+ alternatives?, no conflict')
      vim.fn.search('rep movs')
      vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'x', false)
      assert(vim.api.nvim_get_current_line():match('ALTERNATIVE'), vim.api.nvim_get_current_line())
    end,
  },
  {
    'a push that is typed is found where the function returns, a code action clears it, and undo too',
    function()
      open(vim.env.ORCLS_KERNEL_SOURCE .. '/arch/x86/lib/copy_user_64.S')
      local line = vim.fn.search('^SYM_FUNC_START(rep_movs_alternative)') + 1
      vim.api.nvim_win_set_cursor(0, { line, 0 })
      vim.api.nvim_feedkeys(vim.keycode('Opush %rbx<Esc>'), 'x', false)
      local said = until_('a finding', findings, function(seen)
        return #seen > 0
      end)
      for _, each in ipairs(said) do
        assert(each.code == 'return-with-modified-frame', each.code)
        assert(each.message:match(('pushed at line %d, never popped'):format(line)), each.message)
        local text = vim.fn.getline(each.lnum + 1)
        assert(text:match('^[%d:]*%s*RET'), text)
      end
      until_('the hint', function()
        return vim.tbl_map(function(each)
          return { each.inlay_hint.position.line + 1, each.inlay_hint.label }
        end, vim.lsp.inlay_hint.get({ bufnr = 0 }))
      end, function(seen)
        return vim.iter(seen):any(function(hint)
          return vim.deep_equal(hint, { line, 'cfa = rsp+16' })
        end)
      end)
      vim.api.nvim_win_set_cursor(0, { said[1].lnum + 1, 1 })
      apply_first_fix()
      until_findings({})
      vim.cmd.undo()
      until_('the findings again', findings, function(seen)
        return #seen == #said
      end)
      vim.cmd.undo()
      until_findings({})
      assert(not vim.bo.modified)
    end,
  },
}

local failed = 0
for _, test in ipairs(suites[vim.env.ORCLS_SUITE]) do
  local start = vim.uv.now()
  local fine, why = xpcall(test[2], debug.traceback)
  io.stdout:write(fine and ('  ok    %s (%d ms)\n'):format(test[1], vim.uv.now() - start) or ('  FAIL  %s: %s\n'):format(test[1], why))
  failed = failed + (fine and 0 or 1)
end
vim.cmd(failed == 0 and 'qall!' or 'cquit!')
