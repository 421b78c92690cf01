" A build whose objtool lines are on the lines that they are about: `:compiler orcls`, then `:make`.
" `g:orcls_make` is what builds [make]; `g:orcls_program` is orcls [orcls].
if exists('current_compiler')
  finish
endif
let current_compiler = 'orcls'

let s:save = &cpoptions
set cpoptions&vim

let s:make = get(g:, 'orcls_make', 'make') . ' $* 2>&1 | ' . get(g:, 'orcls_program', 'orcls') . ' log --format errorfile'
" Escaped for :make, which would end at the bar, and once more for :set.
execute 'CompilerSet makeprg=' . escape(escape(s:make, '|'), ' \|"')

" What has no place stays a line of the list; all else is as the compiler writes it.
CompilerSet errorformat=
      \%D%*\\a[%*\\d]:\ Entering\ directory\ %*[`']%f',
      \%X%*\\a[%*\\d]:\ Leaving\ directory\ %*[`']%f',
      \%D%*\\a:\ Entering\ directory\ %*[`']%f',
      \%X%*\\a:\ Leaving\ directory\ %*[`']%f',
      \%f:%l:%c:\ %trror:\ %m,
      \%f:%l:%c:\ fatal\ %trror:\ %m,
      \%f:%l:%c:\ %tarning:\ %m,
      \%f:%l:%c:\ %tote:\ %m,
      \%f:%l:\ %trror:\ %m,
      \%f:%l:\ %tarning:\ %m,
      \%f:%l:\ %m

let &cpoptions = s:save
unlet s:save
