// SPDX-License-Identifier: GPL-2.0-or-later
unsigned long flags(void);

unsigned long flags(void)
{
	unsigned long value;

	asm volatile("pushf\n\tpop %0" : "=r"(value) : : "memory");
	return value;
}
