/* Functions in sections of their own, inline chains, code put elsewhere by inline assembly. */
#include "inlined.h"

volatile int sink;

struct pair {
	int a;
	union { long l; char c[8]; } b;
};

int plain(int n)
{
	return middle(n) + 1;
}

__attribute__((section(".init.text"), noinline)) static int early(struct pair *p)
{
	int i, sum = 0;

	for (i = 0; i < p->a; i++)
		sum += middle(p->b.c[i]);
	return sum;
}

int patched(struct pair *p)
{
	asm volatile("661: nop\n\tnop\n662:\n"
		     ".pushsection .altinstr_replacement, \"ax\"\n"
		     "663: push %%rax\n\tpop %%rax\n"
		     ".popsection" ::: "memory");
	if (__builtin_expect(p->a < 0, 0))
		__builtin_trap();
	return early(p) + deepest(p->a);
}
