/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "orcls.h"

/* What was pushed is never popped. */
SYM_FUNC_START(sum_leaks)
	push	%rbx
	mov	%rdi, %rbx
	call	next
	add	%rbx, %rax
	ret
SYM_FUNC_END(sum_leaks)

SYM_FUNC_START(sum)
	push	%rbx
	mov	%rdi, %rbx
	call	next
	add	%rbx, %rax
	pop	%rbx
	ret
SYM_FUNC_END(sum)
