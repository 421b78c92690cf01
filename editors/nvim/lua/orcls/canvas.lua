--- Lines of text with highlights and with places that <CR> leads to.
---@class orcls.Canvas
---@field lines string[]
---@field marks {[1]: integer, [2]: integer, [3]: integer, [4]: string}[] row, from, to (bytes), highlight
---@field places {[1]: integer, [2]: integer, [3]: integer, [4]: orcls.Place}[]
local Canvas = {}
Canvas.__index = Canvas

---@class orcls.Place
---@field file? string
---@field line? integer from 1

---@class orcls.Piece
---@field [1] string
---@field hl? string
---@field fill? boolean the highlight goes on to the end of the cell
---@field place? orcls.Place

---@return orcls.Canvas
function Canvas.new()
  return setmetatable({ lines = {}, marks = {}, places = {} }, Canvas)
end

--- Adds a line made of pieces.
---@param ... string|orcls.Piece
function Canvas:line(...)
  local row, text = #self.lines, ''
  for _, piece in ipairs({ ... }) do
    if type(piece) == 'string' then
      piece = { piece }
    end
    local from = #text
    text = text .. piece[1]
    local to = piece.fill and #text or #(text:gsub('%s+$', ''))
    if piece.hl and to > from then
      table.insert(self.marks, { row, from, to, piece.hl })
    end
    if piece.place and piece.place.file and piece.place.line then
      table.insert(self.places, { row, from, #text, piece.place })
    end
  end
  table.insert(self.lines, (text:gsub('%s+$', '')))
end

--- Adds a table. Cells are as wide as the widest of their column; a bar stands between them.
---@param rows (string|orcls.Piece)[][]
function Canvas:table(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      local text = type(cell) == 'string' and cell or cell[1]
      widths[i] = math.max(widths[i] or 0, vim.fn.strdisplaywidth(text))
    end
  end
  for _, row in ipairs(rows) do
    local pieces = {}
    for i, cell in ipairs(row) do
      local piece = type(cell) == 'string' and { cell } or vim.deepcopy(cell)
      piece[1] = piece[1] .. (' '):rep(widths[i] - vim.fn.strdisplaywidth(piece[1]))
      if i > 1 then
        table.insert(pieces, { ' │ ', hl = 'OrclsOffset' })
      end
      table.insert(pieces, piece)
    end
    self:line(unpack(pieces))
  end
end

--- Shows it in a buffer.
---@param buf integer
---@param namespace integer
function Canvas:show(buf, namespace)
  vim.bo[buf].modifiable = true
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, self.lines)
  vim.bo[buf].modifiable = false
  vim.bo[buf].modified = false
  vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  for _, mark in ipairs(self.marks) do
    vim.api.nvim_buf_set_extmark(buf, namespace, mark[1], mark[2], { end_col = mark[3], hl_group = mark[4] })
  end
end

--- The place at a position: the one under it, else the first of its line.
---@param row integer from 0
---@param column integer bytes
---@return orcls.Place?
function Canvas:place(row, column)
  local first
  for _, place in ipairs(self.places) do
    if place[1] == row then
      first = first or place[4]
      if place[2] <= column and column < place[3] then
        return place[4]
      end
    end
  end
  return first
end

return Canvas
