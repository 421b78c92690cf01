/* Assembly: lines come from the assembler itself. */
#define PUSH_BOTH(a, b) push a; push b

.macro save_all keep
	push	%rbx
	.if \keep
	push	%rbp
	.endif
.endm

	.text
	.globl	by_hand
	.type	by_hand, @function
by_hand:
	save_all 1
	PUSH_BOTH(%r12, %r13)
	.rept 3
	nop
	.endr
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size	by_hand, . - by_hand

	.section .entry.text, "ax"
entry:
	save_all 0
#ifndef __clang__ /* which writes a line table that goes backwards for it */
	.subsection 1
	ud2
	.previous
#endif
	jmp	entry

	.pushsection .altinstr_replacement, "ax"
	call	by_hand
	.popsection
	ret
