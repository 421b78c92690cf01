//! What is a symbol of C for other files, and what only looks like one.
//!
//! In: texts.  Out: names, and what names them in the text.

use super::*;

/// `name` or `name@text`, where other words name it; `?` behind a weak one.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let told = |symbol: &Symbol<'_>| {
        let at = &text[symbol.at..symbol.at + symbol.length];
        let weak = if symbol.is_weak { "?" } else { "" };
        if symbol.name == at { format!("{at}{weak}") } else { format!("{}@{at}{weak}", symbol.name) }
    };
    let found: Vec<String> = symbols(text).iter().map(told).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn functions() {
    check("int f(void)\n{\n\tg();\n}\nint g(void);\nlong\nh(int a)\n{ return a; }\n", &["f", "h"]);
    check("static int f(void)\n{\n}\nstatic inline void g(void) { }\nvoid h(void) { }\n", &["h"]);
    check("__visible noinstr void f(struct regs *r)\n{\n\tif (a) {\n\t}\n}\n", &["f"]);
    check("struct task *__switch_to(struct task *a, struct task *b)\n{\n}\n", &["__switch_to"]);
    check("int __weak f(void)\n{\n}\n__attribute__((weak)) int g(void)\n{\n}\n", &["f?", "g?"]);
    check("__printf(1, 2) int f(const char *s, ...) __releases(x)\n{\n}\n", &["f"]);
    check("__unknown(1) int f(void) __unknown(2)\n{\n}\n", &["f"]);
    check("EXPORT_SYMBOL(a)\nint f(void)\n{\n}\n", &["f"]);
    check("extern inline int f(void)\n{\n}\nextern int g(void)\n{\n}\nmain()\n{\n}\n", &["g", "main"]);
    check("void f(void) __alias(g);\nvoid h(void) __attribute__((alias(\"g\")));\nvoid g(void);\n", &["f", "h"]);
    check("int (*table[2])(int) = { a, b };\nint f(int (*g)(int))\n{\n}\n", &["table", "f"]);
}

#[test]
fn names_that_begin_like_attributes() {
    check(
        "static void __release_x(int a)\n{\n}\nvoid release_x(int a)\n{\n}\nint __copy_y(void)\n{\n}\n",
        &["release_x", "__copy_y"],
    );
    check("TEST(a)\n{\n}\nint f(void)\n{\n}\ninit(b)\n#else\nstatic int g(void)\n{\n}\n#endif\nint h;\n", &["f", "h"]);
    check(
        "#define t() 1\nbool t(void) { return 1; }\n#define V(x) 1\nint v = V(2);\nstruct {\n} __packed;\n",
        &["t", "v"],
    );
    check("DEFINE_PER_CPU(int, p[4]);\nenum m m DEFAULT_M;\n", &["p", "m", "DEFAULT_M"]);
}

#[test]
fn what_only_looks_like_a_function() {
    check("/* int f(void)\n{\n} */\n// int f(void) { }\nchar *s = \"int f(void) { }\";\n", &["s"]);
    check("#define F(x) \\\n int x(void) \\\n { }\n", &[]);
    check("struct s {\n\tint (*f)(void);\n\tint g;\n};\nenum e { A, B };\nunion u;\ntypedef int (*t)(int);\n", &[]);
    check("module_init(x);\nEXPORT_SYMBOL(y);\nSOME_UNKNOWN(z);\nMODULE_X(a) = 5;\n", &[]);
    check("int f(void)\n{\n\tchar c = '{', d = '\"';\n\tputs(\"}\\\"\");\n}\nint g(void)\n{\n}\n", &["f", "g"]);
}

#[test]
fn variables() {
    check(
        "int a;\nunsigned long b = 1, *c, d[4];\nextern int e;\nextern int f = 1;\nstatic int g;\n",
        &["a", "b", "c", "d", "f"],
    );
    check(
        "struct s h = {\n\t.x = { 1 },\n};\nstruct s *i;\nstruct t {\n\tint x;\n} j, k[] = { { 1 } };\n",
        &["h", "i", "j", "k"],
    );
    check("pgd_t early[512] __initdata;\nint l __read_mostly = 5;\nu64 __read_mostly m;\n", &["early", "l", "m"]);
    check("ftrace_func_t trace __read_mostly = stub;\nvoid (*fn)(int) __ro_after_init = x;\n", &["trace", "fn"]);
    check(
        "pteval_t __mask __read_mostly = ~0;\nunsigned int __max;\nint n __odd_attribute;\n",
        &["__mask", "__max", "n", "__odd_attribute"],
    );
    check("__visible struct regs o __aligned(8) __section(\".x\");\nconst char p[] = \"a;b\", q;\n", &["o", "p", "q"]);
    check(
        "int __weak r = 1;\nstruct __attribute__((packed)) v {\n\tint a;\n} s;\nchar t[sizeof(int)];\n",
        &["r?", "s", "t"],
    );
}

#[test]
fn macros_of_the_kernel() {
    check(
        "SYSCALL_DEFINE3(read, unsigned int, fd,\n\tchar *, b, size_t, n)\n{\n}\n",
        &["__x64_sys_read@read", "__ia32_sys_read@read"],
    );
    check("DEFINE_PER_CPU(struct s, a) = { 1 };\nstatic DEFINE_PER_CPU(int, b);\n", &["a"]);
    check("__visible DEFINE_PER_CPU_PAGE_ALIGNED(struct t, c);\nEXPORT_PER_CPU_SYMBOL(c);\n", &["c"]);
    check("DEFINE_IDTENTRY_RAW(exc_x)\n{\n}\nDEFINE_IDTENTRY_MCE_USER(exc_y)\n{\n}\n", &["exc_x", "noist_exc_y@exc_y"]);
    check(
        "PV_CALLEE_SAVE_REGS_THUNK(f);\nCOND_SYSCALL(g);\n",
        &["__raw_callee_save_f@f", "__x64_sys_g@g?", "__ia32_sys_g@g?"],
    );
    check("DEFINE_NEW_THING(name, 1)\n{\n}\nDEFINE_NEW_OTHER(name);\nextern DEFINE_MUTEX(m);\n", &["name"]);
}

#[test]
fn macros_of_the_text() {
    let text = "#define MAKE(name, n) \\\nint name##_##n(void) \\\n{ return n; } \\\nstatic int name##_no;\nMAKE(a, 1)\nMAKE(b, 2);\nint c;\n";
    check(text, &["a_1@MAKE", "b_2@MAKE", "c"]);
    check(
        "#define HEAD(f) void f(int a)\nHEAD(g)\n{\n}\n#define LOCAL(f) static void f(void)\nLOCAL(h)\n{\n}\n",
        &["g"],
    );
    check("#define AGAIN(x) AGAIN(x) AGAIN(x)\nAGAIN(y);\nint z;\n", &["z"]);
}

#[test]
fn macros_without_a_semicolon_come_before_a_function() {
    let macros = "#define M(t) t get_##t(void) { }\nM(a)\nM(b)\nu32 f(u32 c)\n{\n}\n";
    check(macros, &["get_a@M", "get_b@M", "f"]);
    check("low(1)\nmid(2)\nint g(void)\n{\n}\n", &["g"]);
}

#[test]
fn labels_of_assembly() {
    check("asm(\n\t\".text\\n\"\n\t\".globl f\\n\"\n\t\"f:\\n\\tret\\n\" \"local: nop\\n\"\n);\nint g;\n", &["f", "g"]);
    check("asm(\".weak w; w: ret\");\n", &["w?"]);
}

#[test]
fn every_branch_of_a_condition_is_read() {
    check("#ifdef A\nint f(int a) {\n#else\nint g(void) {\n#endif\n\tx();\n}\nint h;\n", &["f", "g", "h"]);
    check("#ifdef A\nint f(int a)\n#else\nint g(void)\n#endif\n{\n\tx();\n}\nint h;\n", &["f", "g", "h"]);
    check("int f(void)\n{\n#ifdef A\n\tif (a) {\n#else\n\tif (b) {\n#endif\n\t}\n}\nint h;\n", &["f", "h"]);
    check("int f(void)\n{\n#ifdef A\n\tif (a) {\n#endif\n\tb();\n}\nint h;\n", &["f", "h"]);
    check("int a\n#ifdef B\n = 1\n#endif\n;\nint c;\n", &["a", "c"]);
}

#[test]
fn broken_texts_end() {
    for text in [
        "int f(",
        "int f() {",
        "\"",
        "'",
        "/*",
        "#define A(",
        "asm(\"",
        "int a[",
        "}}}}",
        "((((",
        "#if\n#if\n#else",
        "\\",
    ] {
        symbols(text);
    }
    check("}\nint a;\n", &["a"]);
}
