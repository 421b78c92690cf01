/* Two functions whose asm statements move the stack pointer without taking it back. */
void first(void)
{
	asm volatile("push %rax");		/* mark: first */
}

void second(void)
{
	asm volatile("push %rcx");		/* mark: second */
}
