/*
 * Are interrupts enabled? A Xen guest asks by a call; everybody else reads
 * the flags. Which of both the kernel runs is decided at boot, by patching
 * the second stream of instructions over the first.
 */
#include "orcls.h"

#define X86_FEATURE_NOT_XENPV	(1 << 16 | 8*32 + 16)

SYM_FUNC_START(save_fl)
	ALTERNATIVE "call *pv_ops; nop", "pushf; .nops 6; pop %rax", X86_FEATURE_NOT_XENPV
	ret
SYM_FUNC_END(save_fl)
