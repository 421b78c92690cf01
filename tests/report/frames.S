// Frames that are wrong in ways that a message has to tell. Lines are found by their marks.
#include "orcls.h"

SYM_FUNC_START(forgets_a_pop)
	push %rbx				// mark: pushed
	test %edi, %edi
	je 1f					// mark: branch
	pop %rbx
	ret
1:	ret					// mark: left-over
SYM_FUNC_END(forgets_a_pop)

SYM_FUNC_START(meets_with_two_depths)
	test %edi, %edi
	jne 1f					// mark: jne
	push %rcx
	nop
1:	mov %esi, %eax				// mark: meeting
	ret
SYM_FUNC_END(meets_with_two_depths)

SYM_FUNC_START(saves_and_allocates)
	push %rbp
	mov %rsp, %rbp
	push %rbx
	sub $32, %rsp
	mov %rdi, (%rsp)			// mark: body
	lea -8(%rbp), %rsp
	pop %rbx
	pop %rbp
	ret
SYM_FUNC_END(saves_and_allocates)

SYM_FUNC_START(calls_away)
	call *%rax
	std					// mark: std
	call *%rax				// mark: with-df
	cld
	ret
SYM_FUNC_END(calls_away)
