/* Inlined into lines.c, two deep, and by a macro. */
#define TWICE(x) ((x) + (x))

extern volatile int sink;

static inline __attribute__((always_inline)) int deepest(int n)
{
	sink = n;
	return TWICE(sink);
}

static inline __attribute__((always_inline)) int middle(int n)
{
	if (n > 3)
		sink = deepest(n);
	return sink;
}
