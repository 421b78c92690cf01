/* A replacement inside of inline assembly has no line of its own. */
int patched(int n)
{
	n++;
	asm volatile("661: nop; nop; 662:\n"		/* mark: asm */
		     ".pushsection .altinstructions, \"a\"\n"
		     ".long 661b - ., 663f - .\n.long 308\n.byte 662b - 661b, 664f - 663f\n"
		     ".popsection\n"
		     ".pushsection .altinstr_replacement, \"ax\"\n"
		     "663: clac; 664:\n"
		     ".popsection");
	return n;
}
