/* A coroutine library: one file, built by CMake. */
	.text
	.globl	fiber_call
	.type	fiber_call, @function
fiber_call:
	.cfi_startproc
	pushq	%rbx
	movq	%rdi, %rbx
	call	fiber_current
	movq	%rax, (%rbx)
	popq	%rbx
	ret
	.cfi_endproc
	.size	fiber_call, . - fiber_call

	.globl	fiber_run
	.type	fiber_run, @function
fiber_run:
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%r12
	movq	%rsi, %r12
	andq	$-64, %rsp
	call	*%rdi
	movq	%r12, %rax
	movq	-8(%rbp), %r12
	leave
	ret
	.size	fiber_run, . - fiber_run
	.section .note.GNU-stack, "", @progbits
