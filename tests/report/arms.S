// Alternatives, with a line of their own in their replacements and without.
#include "orcls.h"

SYM_FUNC_START(allowed)
	ALTERNATIVE_2 7, "call *pv_ops", "call xen_save_fl", FEATURE_SMAP, "pushf; pop %rax", FEATURE_POPCNT
	ret
SYM_FUNC_END(allowed)

SYM_FUNC_START(conflict)
	ALTERNATIVE "call *pv_ops; nop", "pushf; .nops 6; pop %rax", FEATURE_A	// mark: conflict
	ret
SYM_FUNC_END(conflict)
