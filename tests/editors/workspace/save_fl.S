/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "orcls.h"
#define X86_FEATURE_ALWAYS 3*32+21
#define X86_FEATURE_XENPV 8*32+16

/* Both arms have an instruction at offset 7, with different stacks. */
SYM_FUNC_START(save_fl)
	ALTERNATIVE "call *pv_ops; nop", "pushf; .nops 6; pop %rax", X86_FEATURE_ALWAYS
	ret
SYM_FUNC_END(save_fl)

/* No arm but the last ever comes to the offsets where the stack is deeper. */
SYM_FUNC_START(save_fl_flat)
	ALTERNATIVE_2 7, "call *pv_ops", "call xen_save_fl", X86_FEATURE_XENPV, "pushf; pop %rax; nop", X86_FEATURE_ALWAYS
	ret
SYM_FUNC_END(save_fl_flat)
