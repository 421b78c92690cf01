//! Assembly as a language, through the protocol: with an engine that knows nothing, since none of it needs a build.

use std::path::Path;

use serde_json::{Value, json};
use tower_lsp::lsp_types::Url;

use super::client::Client;
use super::open;
use super::script::{Script, verdict};

/// A tree that looks like the kernel's.
const HEADER: &str = "\
#ifndef _ASM_CALLING_H
#define _ASM_CALLING_H
#define FRAME 8
#ifdef CONFIG_B
.macro SAVE reg
.endm
#else
.macro SAVE reg:req other=%rbx
\tpushq \\reg
\tpushq \\other
.endm
#endif
#define X86_FEATURE_PTI (7*32+11)
#define X86_FEATURE_XENPV (8*32+16)
#endif
";
const ENTRY: &str = "\
/* SPDX */
#include <asm/calling.h>
#include \"local.h\"

SYM_FUNC_START(f)
\tSAVE %rax
1:\tjmp 1b
\tjz 2f
#ifdef CONFIG_B
\tcall gone
#else
\tcall elsewhere
#endif
2:\tcall c_function
.Lend:
\tALTERNATIVE \"jmp .Lend\", \\
\t\t\"call g\", X86_FEATURE_PTI
\tret
SYM_FUNC_END(f)

.macro OWN a b=2
\tmov \\a, \\b
.Lin_\\@:\tjmp .Lin_\\@
.endm

SYM_CODE_START(g)
\tOWN %rax
\tret
SYM_CODE_END(g)
";

struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new() -> Tree {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = Tree { folder };
        tree.write("arch/x86/include/asm/calling.h", HEADER);
        tree.write("arch/x86/entry/local.h", "#define LOCAL 1\n");
        tree.write("arch/x86/entry/entry.S", ENTRY);
        tree.write("arch/x86/lib/other.S", "SYM_FUNC_START(elsewhere)\n\tret\nSYM_FUNC_END(elsewhere)\n\tcall f\n");
        tree.write("kernel/c.c", "void c_function(int);\n\nvoid c_function(int a)\n{\n}\n");
        tree.write("include/linux/kconfig.h", "#include <generated/autoconf.h>\n");
        tree.write("include/generated/autoconf.h", "#define CONFIG_A 1\n");
        tree
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn uri(&self, name: &str) -> String {
        Url::from_file_path(self.folder.path().join(name)).expect("a name").to_string()
    }

    /// A client with the tree as its workspace and `name` open.
    fn client(&self, name: &str, capabilities: Value) -> Client {
        let engine = Script::new(|task, _| Ok(verdict(task, Vec::new())));
        let folders = json!([{"uri": Url::from_file_path(self.folder.path()).expect("a name"), "name": "tree"}]);
        let mut client = Client::start(engine, json!({"workspaceFolders": folders, "capabilities": capabilities}));
        let text = std::fs::read_to_string(self.folder.path().join(name)).expect("read");
        open(&mut client, &self.uri(name), &text);
        client.published(&self.uri(name));
        client
    }
}

/// The parameters of a request about the place of `mark` in a text, `within` bytes into it.
fn at(uri: &str, text: &str, mark: &str, within: usize) -> Value {
    let offset = text.find(mark).expect("the mark is in the text") + within;
    let line = text[..offset].matches('\n').count();
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    json!({"textDocument": {"uri": uri}, "position": {"line": line, "character": offset - start}})
}

/// `name:line` of each location.
fn places(answer: &Value) -> Vec<String> {
    let list = match answer {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let place = |one: &Value| {
        let uri = one["uri"].as_str().expect("a name");
        let name = Path::new(uri).file_name().expect("a file").to_string_lossy().into_owned();
        format!("{name}:{}", one["range"]["start"]["line"])
    };
    list.iter().map(place).collect()
}

fn entry() -> (Tree, Client, String) {
    let tree = Tree::new();
    let client = tree.client("arch/x86/entry/entry.S", json!({}));
    let uri = tree.uri("arch/x86/entry/entry.S");
    (tree, client, uri)
}

#[test]
fn definitions_of_labels_macros_symbols_and_includes() {
    let (_tree, mut client, uri) = entry();
    for (mark, within, expected) in [
        ("jmp 1b", 4, "entry.S:6"),
        ("jz 2f", 4, "entry.S:13"),
        ("jmp .Lend", 6, "entry.S:14"),
        ("call g\"", 5, "entry.S:25"),
        ("SAVE %rax", 2, "calling.h:7"),
        ("X86_FEATURE_PTI", 4, "calling.h:12"),
        ("OWN %rax", 1, "entry.S:20"),
        ("\\a, \\b", 1, "entry.S:20"),
        ("jmp .Lin_", 6, "entry.S:22"),
        ("call elsewhere", 7, "other.S:0"),
        ("call c_function", 7, "c.c:2"),
        ("<asm/calling.h>", 3, "calling.h:0"),
        ("\"local.h\"", 3, "local.h:0"),
    ] {
        let answer = client.request("textDocument/definition", at(&uri, ENTRY, mark, within)).expect("an answer");
        assert_eq!(places(&answer), [expected], "{mark}");
    }
    for (mark, within) in [("ret\n", 1), ("%rax", 2), ("call gone", 7), ("SPDX", 2)] {
        let answer = client.request("textDocument/definition", at(&uri, ENTRY, mark, within)).expect("an answer");
        assert_eq!(answer, Value::Null, "{mark}");
    }
}

/// What is an argument's name, a default or a mnemonic is no symbol, whatever else in the tree is called so.
#[test]
fn a_name_that_is_no_symbol_is_not_looked_for_in_c() {
    const TEXT: &str = "\
#include <asm/calling.h>
.macro OWN first:req second=%rbx
\tmov \\first, \\second
.endm
SYM_CODE_START(g)
\tOWN second=%rax first=%rcx
\tSAVE reg=%rax, nowhere=1
\tALTERNATIVE \"jmp h\", \"nop; \\n\\tcall h\", X86_FEATURE_PTI
\tcall __x64_sys_two
\tcall two
\tmov argument(%rip), %rax
SYM_CODE_END(g)
";
    let tree = Tree::new();
    tree.write("arch/x86/entry/args.S", TEXT);
    let named = ["req", "first", "reg", "nowhere", "jmp", "nop", "call"];
    let functions: String = named.iter().map(|name| format!("int {name}(int argument)\n{{\n}}\n")).collect();
    tree.write("lib/names.c", &format!("{functions}SYSCALL_DEFINE2(two, int, argument)\n{{\n}}\n"));
    let mut client = tree.client("arch/x86/entry/args.S", json!({}));
    let uri = tree.uri("arch/x86/entry/args.S");
    for (mark, within, expected) in [
        ("first:req", 1, Some("args.S:1")),
        ("second=%rbx", 1, Some("args.S:1")),
        ("second=%rax", 1, Some("args.S:1")),
        ("first=%rcx", 1, Some("args.S:1")),
        ("reg=%rax", 1, Some("calling.h:7")),
        ("call __x64_sys_two", 6, Some("names.c:21")),
        // The macro makes no function of this name.
        ("call two", 6, None),
        ("req second", 1, None),
        ("nowhere=1", 1, None),
        ("jmp h", 1, None),
        ("nop; ", 1, None),
        ("call h", 1, None),
        ("argument(%rip)", 1, None),
    ] {
        let answer = client.request("textDocument/definition", at(&uri, TEXT, mark, within)).expect("an answer");
        assert_eq!(places(&answer), expected.into_iter().collect::<Vec<_>>(), "{mark}");
    }
}

/// Functions, variables and what macros of the kernel make are found wherever they are; what cannot be meant is not told.
#[test]
fn symbols_of_c_are_found_in_all_of_the_tree() {
    const TEXT: &str = "\
SYM_CODE_START(g)
\tcall far
\tmovq variable(%rip), %rax
\tmovq PER_CPU_VAR(counter), %rax
\tcall exc_thing
\tcall hidden
\tcall declared
\tcall chosen
\tcall twice
\tcall configured
\tcall of_tools
\tcall of_boot
\tcall typed
\tcall label_of_c
\tmovq start_code(%rip), %rax
SYM_CODE_END(g)
";
    let tree = Tree::new();
    tree.write("arch/x86/entry/calls.S", TEXT);
    let boot = "\tcall of_boot\n\tcall far\n";
    tree.write("arch/x86/boot/own.S", boot);
    tree.write(
        "sound/deep/far.c",
        "int __printf(1, 2) far(const char *text, ...)\n{\n}\nint variable __read_mostly = 1;\n",
    );
    tree.write(
        "drivers/x/a.c",
        "DEFINE_PER_CPU(int, counter);\nstatic void hidden(void)\n{\n}\nvoid declared(void);\n",
    );
    tree.write(
        "arch/x86/mm/b.c",
        "DEFINE_IDTENTRY_RAW_ERRORCODE(exc_thing)\n{\n\tdeclared();\n}\nint chosen(void) { }\n",
    );
    tree.write("arch/x86/mm/c.c", "int __weak chosen(void)\n{\n}\n");
    tree.write("arch/x86/mm/d_32.c", "void twice(void) { }\n");
    tree.write("arch/x86/mm/d_64.c", "void twice(void) { }\nasm(\".globl label_of_c\\n\"\n\"label_of_c: ret\\n\");\n");
    tree.write(
        "arch/x86/mm/e.c",
        "#ifdef CONFIG_A\nint configured(int a)\n#else\nint configured(void)\n#endif\n{\n}\n",
    );
    for width in ["32", "64"] {
        tree.write(&format!("arch/x86/kernel/head_{width}.S"), "SYM_DATA(start_code, .quad 0)\n");
    }
    tree.write("tools/x/f.c", "int of_tools(void) { }\nint far(void) { }\n");
    tree.write("arch/x86/boot/g.c", "int of_boot(void) { }\n");
    let mut client = tree.client("arch/x86/entry/calls.S", json!({}));
    let uri = tree.uri("arch/x86/entry/calls.S");
    open(&mut client, &tree.uri("arch/x86/mm/c.c"), "int other;\nint typed(void) { }\n");
    client.published(&tree.uri("arch/x86/mm/c.c"));
    open(&mut client, &tree.uri("arch/x86/boot/own.S"), boot);
    client.published(&tree.uri("arch/x86/boot/own.S"));
    let mut check = |uri: &str, text: &str, mark: &str, within: usize, expected: &[&str]| {
        let answer = client.request("textDocument/definition", at(uri, text, mark, within)).expect("an answer");
        assert_eq!(places(&answer), expected, "{mark}");
    };
    // Before and after the tree is indexed the answers are the same.
    for _ in 0..3 {
        check(&uri, TEXT, "call far", 6, &["far.c:0"]);
        check(&uri, TEXT, "variable", 1, &["far.c:3"]);
        check(&uri, TEXT, "counter", 1, &["a.c:0"]);
        check(&uri, TEXT, "call exc_thing", 6, &["b.c:0"]);
        check(&uri, TEXT, "call hidden", 6, &[]);
        check(&uri, TEXT, "call declared", 6, &[]);
        check(&uri, TEXT, "call chosen", 6, &["b.c:4"]);
        check(&uri, TEXT, "call twice", 6, &["d_64.c:0"]);
        check(&uri, TEXT, "call configured", 6, &["e.c:1"]);
        check(&uri, TEXT, "call of_tools", 6, &[]);
        check(&uri, TEXT, "call of_boot", 6, &[]);
        check(&uri, TEXT, "call typed", 6, &["c.c:1"]);
        check(&uri, TEXT, "call label_of_c", 6, &["d_64.c:2"]);
        check(&uri, TEXT, "start_code", 1, &["head_64.S:0"]);
        check(&tree.uri("arch/x86/boot/own.S"), boot, "call of_boot", 6, &["g.c:0"]);
        check(&tree.uri("arch/x86/boot/own.S"), boot, "call far", 6, &["far.c:0"]);
    }
}

/// An instruction is everywhere: the uses of its name are those of the text.
#[test]
fn references_of_an_instruction_stay_in_the_text() {
    let (tree, mut client, uri) = entry();
    tree.write("arch/x86/lib/more.S", "\tcall f\n");
    let mut params = at(&uri, ENTRY, "call g\"", 1);
    params["context"] = json!({"includeDeclaration": true});
    let answer = client.request("textDocument/references", params).expect("an answer");
    assert_eq!(places(&answer), ["entry.S:9", "entry.S:11", "entry.S:13", "entry.S:16"]);
}

#[test]
fn references_keep_to_their_scope_and_reach_other_files() {
    let (_tree, mut client, uri) = entry();
    let mut check = |mark: &str, within: usize, declaration: bool, expected: &[&str]| {
        let mut params = at(&uri, ENTRY, mark, within);
        params["context"] = json!({"includeDeclaration": declaration});
        let answer = client.request("textDocument/references", params).expect("an answer");
        assert_eq!(places(&answer), expected, "{mark}");
    };
    check("1:\tjmp", 0, true, &["entry.S:6", "entry.S:6"]);
    check("1:\tjmp", 0, false, &["entry.S:6"]);
    check(".Lend:", 2, true, &["entry.S:14", "entry.S:15"]);
    check("SYM_FUNC_START(f)", 15, true, &["entry.S:4", "entry.S:18", "other.S:3"]);
    check("SAVE %rax", 1, true, &["entry.S:5", "calling.h:4", "calling.h:7"]);
    check("\\a, \\b", 1, true, &["entry.S:20", "entry.S:21"]);
    let answer = client.request("textDocument/documentHighlight", at(&uri, ENTRY, ".Lend:", 2)).expect("an answer");
    let found: Vec<_> =
        answer.as_array().expect("a list").iter().map(|one| (&one["range"]["start"]["line"], &one["kind"])).collect();
    assert_eq!(found, [(&json!(14), &json!(3)), (&json!(15), &json!(2))]);
}

#[test]
fn symbols_are_a_tree_where_the_client_shows_one() {
    let tree = Tree::new();
    let can = json!({"textDocument": {"documentSymbol": {"hierarchicalDocumentSymbolSupport": true}}});
    let mut client = tree.client("arch/x86/entry/entry.S", can);
    let uri = tree.uri("arch/x86/entry/entry.S");
    let answer =
        client.request("textDocument/documentSymbol", json!({"textDocument": {"uri": uri}})).expect("an answer");
    fn outline(symbols: &Value) -> String {
        let list = symbols.as_array().map(Vec::as_slice).unwrap_or_default();
        let one = |symbol: &Value| {
            let name = symbol["name"].as_str().unwrap_or_default();
            let (first, last) = (&symbol["range"]["start"]["line"], &symbol["range"]["end"]["line"]);
            format!("{name} {first}-{last} [{}]", outline(&symbol["children"]))
        };
        list.iter().map(one).collect::<Vec<_>>().join(", ")
    }
    assert_eq!(
        outline(&answer),
        "f 4-18 [.Lend 14-14 [], ALTERNATIVE X86_FEATURE_PTI 15-16 []], OWN 20-23 [.Lin_\\@ 22-22 []], g 25-28 []"
    );
    let answer = client.request("workspace/symbol", json!({"query": "elsw"})).expect("an answer");
    assert_eq!(answer.pointer("/0/name"), Some(&json!("elsewhere")));
    assert_eq!(places(&json!([answer[0]["location"]])), ["other.S:0"]);
    drop(client);
    let mut plain = tree.client("arch/x86/entry/entry.S", json!({}));
    let answer =
        plain.request("textDocument/documentSymbol", json!({"textDocument": {"uri": uri}})).expect("an answer");
    assert_eq!(answer.pointer("/1/containerName"), Some(&json!("f")));
}

#[test]
fn branches_that_are_left_out_look_like_comments() {
    let (_tree, mut client, uri) = entry();
    let answer =
        client.request("textDocument/semanticTokens/full", json!({"textDocument": {"uri": uri}})).expect("an answer");
    assert_eq!(answer["data"], json!([9, 1, 9, 0, 0]));
}

#[test]
fn includes_are_links_and_parts_fold() {
    let (_tree, mut client, uri) = entry();
    let document = json!({"textDocument": {"uri": uri}});
    let answer = client.request("textDocument/documentLink", document.clone()).expect("an answer");
    let found: Vec<_> = answer
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["range"]["start"]["line"], one["target"].as_str().and_then(|uri| uri.rsplit('/').next())))
        .collect();
    assert_eq!(found, [(&json!(1), Some("calling.h")), (&json!(2), Some("local.h"))]);
    let answer = client.request("textDocument/foldingRange", document).expect("an answer");
    let found: Vec<(u64, u64)> = answer
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| Some((one["startLine"].as_u64()?, one["endLine"].as_u64()?)))
        .collect();
    assert_eq!(found, [(1, 2), (4, 18), (8, 9), (10, 11), (15, 16), (20, 23), (25, 28)]);
    let params = at(&uri, ENTRY, "call elsewhere", 7);
    let params = json!({"textDocument": {"uri": uri}, "positions": [params["position"]]});
    let answer = client.request("textDocument/selectionRange", params).expect("an answer");
    let mut sizes = Vec::new();
    let mut next = &answer[0];
    while next.is_object() {
        sizes.push((next["range"]["start"]["line"].as_u64(), next["range"]["end"]["line"].as_u64()));
        next = &next["parent"];
    }
    let line = |first, last| (Some(first), Some(last));
    assert_eq!(sizes, [line(11, 11), line(11, 11), line(11, 11), line(10, 11), line(4, 18), line(0, 29)]);
}

#[test]
fn words_that_fit_are_offered() {
    let tree = Tree::new();
    let text = format!(
        "{ENTRY}\tSAV\n\tmov %r1\n\tSAVE o\n\tALTERNATIVE \"\", \"nop\", X86_\n\tUNW\n\t.cfi_d\n\tjmp .L\n#include <asm/c\n\tANNOTATE_NO"
    );
    tree.write("arch/x86/entry/entry.S", &text);
    let mut client = tree.client("arch/x86/entry/entry.S", json!({}));
    let uri = tree.uri("arch/x86/entry/entry.S");
    let mut offered = |mark: &str| {
        let answer = client.request("textDocument/completion", at(&uri, &text, mark, mark.len())).expect("an answer");
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item["label"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offered("\tSAV\n".trim_end()), ["SAVE"]);
    assert!(offered("mov %r1").contains(&"r10d".to_owned()));
    assert_eq!(offered("SAVE o"), ["other="]);
    assert_eq!(offered("\"nop\", X86_"), ["X86_FEATURE_PTI", "X86_FEATURE_XENPV"]);
    assert!(offered("\tUNW").contains(&"UNWIND_HINT_REGS".to_owned()));
    assert!(offered(".cfi_d").contains(&".cfi_def_cfa_offset".to_owned()));
    assert_eq!(offered(".cfi_d\n\tjmp .L"), [".Lend"]);
    assert_eq!(offered("<asm/c"), ["calling.h"]);
    assert_eq!(offered("ANNOTATE_NO"), ["ANNOTATE_NOENDBR"]);
    assert!(offered("mov \\").contains(&"a".to_owned()));
    assert_eq!(offered("/* S"), Vec::<String>::new());
}

#[test]
fn a_macro_s_parameters_are_shown_while_it_is_typed() {
    let (_tree, mut client, uri) = entry();
    let mut active = |mark: &str, within: usize| {
        let answer = client.request("textDocument/signatureHelp", at(&uri, ENTRY, mark, within)).expect("an answer");
        (answer.pointer("/signatures/0/label").cloned(), answer["activeParameter"].clone())
    };
    assert_eq!(active("SAVE %rax", 5), (Some(json!(".macro SAVE reg:req, other=%rbx")), json!(0)));
    assert_eq!(
        active("\"jmp .Lend\", \\\n", 11),
        (Some(json!("ALTERNATIVE \"original\", \"replacement\", feature")), json!(0))
    );
    assert_eq!(active("X86_FEATURE_PTI", 3).1, json!(2));
    assert_eq!(active("\tret", 4), (None, Value::Null));
}

#[test]
fn a_macro_is_expanded_under_the_cursor() {
    let (_tree, mut client, uri) = entry();
    let answer = client.request("orcls/expandMacro", at(&uri, ENTRY, "SAVE %rax", 2)).expect("an answer");
    let lines: Vec<_> =
        answer["lines"].as_array().expect("a list").iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!((&answer["name"], lines), (&json!("SAVE"), vec!["pushq %rax", "pushq %rbx"]));
    assert_eq!(answer["lines"][0]["line"], json!(9));
    let none = client.request("orcls/expandMacro", at(&uri, ENTRY, "jz 2f", 1)).expect("an answer");
    assert_eq!(none, Value::Null);
}

#[test]
fn nothing_is_offered_for_c() {
    let tree = Tree::new();
    let mut client = tree.client("kernel/c.c", json!({}));
    let uri = tree.uri("kernel/c.c");
    let place = json!({"textDocument": {"uri": uri}, "position": {"line": 2, "character": 6}});
    let document = json!({"textDocument": {"uri": uri}});
    for (method, params) in [
        ("textDocument/definition", &place),
        ("textDocument/documentHighlight", &place),
        ("textDocument/completion", &place),
        ("textDocument/signatureHelp", &place),
        ("orcls/expandMacro", &place),
        ("textDocument/documentSymbol", &document),
        ("textDocument/documentLink", &document),
        ("textDocument/foldingRange", &document),
        ("textDocument/semanticTokens/full", &document),
    ] {
        let answer = client.request(method, params.clone()).expect("an answer");
        assert!(answer.is_null(), "{method}: {answer}");
    }
}

#[test]
fn a_client_that_takes_registrations_is_told_that_it_is_for_assembly() {
    let tree = Tree::new();
    let engine = Script::new(|task, _| Ok(verdict(task, Vec::new())));
    let can = json!({"textDocument": {"definition": {"dynamicRegistration": true}, "completion": {"dynamicRegistration": true}}});
    let folders = json!([{"uri": Url::from_file_path(tree.folder.path()).expect("a name"), "name": "tree"}]);
    let mut client = Client::connect(orcls::lsp::Host::new(std::sync::Arc::new(engine)));
    let answer = client.initialize(json!({"workspaceFolders": folders, "capabilities": can}));
    assert_eq!(answer.pointer("/capabilities/definitionProvider"), None);
    assert_eq!(answer.pointer("/capabilities/referencesProvider"), Some(&json!(true)));
    let call = client.called("client/registerCapability");
    let list = call.pointer("/params/registrations").and_then(Value::as_array).expect("a list");
    let methods: Vec<_> = list.iter().filter_map(|one| one["method"].as_str()).collect();
    assert_eq!(methods, ["textDocument/definition", "textDocument/completion"]);
    assert_eq!(list[0].pointer("/registerOptions/documentSelector/0/pattern"), Some(&json!("**/*.{S,s,sx,asm,h,inc}")));
    client.reply(&call, Value::Null);
}
