/* Code of many shapes: wide and narrow integers, floats, vectors, tables, calls. */
typedef unsigned long u64;
typedef unsigned char u8;

extern int sink(void *where, u64 what);
static const int weights[7] = { 3, 1, 4, 1, 5, 9, 2 };

u64 integers(u64 a, unsigned int b, unsigned short c, u8 d)
{
	u64 r = a * 0x123456789abcdefUL + (a >> (b & 63)) - (u64)c * d;

	r ^= __builtin_bswap64(a) + __builtin_popcountll(r) + (a % (b | 1));
	return r < 1000 ? r * 37 : r / 37;
}

double floats(const double *x, const float *y, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i] * 1.5 + (double)y[i] / 3 - (long)(x[i] * y[i]);
	return sum;
}

void vectors(int *restrict a, const int *restrict b, const u8 *restrict c, int n)
{
	for (int i = 0; i < n; i++)
		a[i] = b[i] * weights[i % 7] + c[i] - (a[i] > b[i] ? a[i] : b[i]);
}

int table(int which, u8 *where)
{
	switch (which) {
	case 0: return sink(where, 1);
	case 1: where[12345] = 7; return 1;
	case 2: return sink(0, (u64)where);
	case 3: *(short *)where = 0x1234; return 5;
	case 4: *(u64 *)where = -2; return weights[*where % 7];
	case 5: return sink(where + 0x10000, 0x8000000000000000UL);
	default: return which * 100;
	}
}

int large_frame(int n)
{
	volatile u8 space[70000];

	space[n] = n;
	space[n * 2] = space[n / 2] + 1;
	return space[n + 3] + sink((void *)space, n);
}
