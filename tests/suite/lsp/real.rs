//! Sessions with the real engine: a compiler, an object, findings and states on their lines.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use orcls::lsp::Host;
use orcls::lsp::engine::Toolchain;
use serde_json::{Value, json};

use super::client::Client;
use super::{change, close, insert, lines, open};

const GOOD: &str = "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\tpush %rbx\n\txor %eax, %eax\n\tpop %rbx\n\tret\n\
                    \t.size f, .-f\n";
/// The line of `pop`, from 0.
const POP: u32 = 6;

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new(files: &[(&str, &str)], command: &str) -> Project {
        let project = Project { folder: tempfile::tempdir().expect("a temporary folder") };
        for (name, text) in files {
            fs::write(project.path(name), text).expect("a file");
        }
        project.command(files[0].0, command);
        project
    }

    fn command(&self, file: &str, command: &str) {
        let entry = json!([{"directory": self.folder.path(), "file": file, "command": command}]);
        fs::write(self.path("compile_commands.json"), entry.to_string()).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        // Temporary folders may stand behind a link.
        self.folder.path().canonicalize().expect("the folder is there").join(name)
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    fn build(&self, command: &str) {
        let mut words = command.split(' ');
        let status =
            Command::new(words.next().expect("a program")).args(words).current_dir(self.folder.path()).status();
        assert!(status.expect("the compiler runs").success());
    }

    fn client(&self, settings: Value) -> Client {
        let mut client = Client::connect(Host::new(Arc::new(Toolchain::new().expect("a private folder"))));
        let publish = json!({"relatedInformation": true});
        client.initialize(json!({
            "capabilities": {"textDocument": {"publishDiagnostics": publish}},
            "initializationOptions": settings,
            "workspaceFolders": [{"uri": self.uri(""), "name": "x"}],
        }));
        client
    }
}

const COMMAND: &str = "gcc -c -o a.o a.S";

fn delete_line(line: u32) -> Value {
    json!([{"range": {"start": {"line": line, "character": 0}, "end": {"line": line + 1, "character": 0}}, "text": ""}])
}

fn state(client: &mut Client, uri: &str) -> Value {
    client.request("orcls/status", json!({"textDocument": {"uri": uri}})).expect("a status")
}

fn hover(client: &mut Client, uri: &str, line: u32) -> String {
    let params = json!({"textDocument": {"uri": uri}, "position": {"line": line, "character": 1}});
    let hover = client.request("textDocument/hover", params).expect("an answer");
    hover["contents"]["value"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_lost_pop_is_found_in_the_unsaved_text_and_undoing_clears_it() {
    let project = Project::new(&[("a.S", GOOD)], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, GOOD);
    assert!(client.published_at(&uri, 1).is_empty());
    change(&mut client, &uri, 2, delete_line(POP));
    let found = client.published_at(&uri, 2);
    assert_eq!(lines(&found), [u64::from(POP)], "{found:#?}");
    assert_eq!(found[0]["code"], json!("return-with-modified-frame"));
    assert_eq!(found[0]["data"]["objtool"], json!("f+0x3: return with modified stack frame"));
    let page =
        found[0]["codeDescription"]["href"].as_str().and_then(|href| href.strip_prefix("file://")).expect("a page");
    assert!(fs::read_to_string(page).expect("a file").contains("return-with-modified-frame"));
    let related = found[0]["relatedInformation"].as_array().expect("remarks");
    let push = related.iter().find(|remark| remark["location"]["range"]["start"]["line"] == json!(4));
    assert!(push.is_some_and(|remark| remark["location"]["uri"] == json!(uri)), "{related:#?}");
    change(&mut client, &uri, 3, insert(POP, 0, "\tpop %rbx\n"));
    assert!(client.published_at(&uri, 3).is_empty());
    assert_eq!(fs::read_to_string(project.path("a.S")).expect("a file"), GOOD);
}

#[test]
fn hover_shows_the_frame_in_the_text_as_edited() {
    let project = Project::new(&[("a.S", GOOD)], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, GOOD);
    client.published_at(&uri, 1);
    let at_pop = hover(&mut client, &uri, POP);
    assert!(at_pop.contains("CFA = `rsp+16` before `pop") && at_pop.contains("after it `rsp+8`"), "{at_pop}");
    assert!(at_pop.contains("saved rbx") && at_pop.contains("ORC: `"), "{at_pop}");
    // Two lines more above: the line is another one, its code the same, before the text is compiled and after.
    change(&mut client, &uri, 2, insert(0, 0, "# a\n# b\n"));
    assert!(hover(&mut client, &uri, POP + 2).contains("CFA = `rsp+16` before `pop"));
    client.published_at(&uri, 2);
    let fresh = hover(&mut client, &uri, POP + 2);
    assert!(fresh.contains("CFA = `rsp+16` before `pop") && !fresh.contains("older text"), "{fresh}");
    assert_eq!(hover(&mut client, &uri, 0), "");
}

#[test]
fn hover_tells_what_a_macro_became_and_where_that_is_written() {
    let text = format!(".macro SAVE reg\n\tpush \\reg\n\tnop\n.endm\n{GOOD}").replace("\tpush %rbx\n", "\tSAVE %rbx\n");
    let project = Project::new(&[("a.S", &text)], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, &text);
    assert!(client.published_at(&uri, 1).is_empty());
    let shown = hover(&mut client, &uri, 8);
    assert!(shown.contains("rsp+8     push %rbx") && shown.contains("SAVE, line 2"), "{shown}");
    assert!(shown.contains("rsp+16    nop") && shown.contains("SAVE, line 3"), "{shown}");
}

#[test]
fn what_does_not_compile_keeps_the_last_findings_where_they_have_moved_to() {
    let bad = GOOD.replace("\tpop %rbx\n", "");
    let project = Project::new(&[("a.S", &bad)], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, &bad);
    assert_eq!(lines(&client.published_at(&uri, 1)), [6]);
    change(&mut client, &uri, 2, insert(0, 0, "\tno such instruction\n"));
    let shown = client.published_at(&uri, 2);
    assert_eq!(lines(&shown), [0, 7]);
    let (error, kept) = (&shown[0], &shown[1]);
    assert_eq!((&error["source"], &error["severity"]), (&json!("assembler"), &json!(1)));
    assert_eq!(error["range"]["start"]["character"], json!(1), "the visible part of the line");
    assert_eq!(kept["data"]["stale"], json!(true));
    let status = state(&mut client, &uri);
    assert_eq!(status["state"], json!("stale"));
    assert!(status["message"].as_str().is_some_and(|text| text.contains("no such instruction")), "{status}");
    change(&mut client, &uri, 3, delete_line(0));
    let found = client.published_at(&uri, 3);
    assert_eq!((lines(&found), &found[0]["data"]["stale"]), (vec![6], &json!(false)));
}

#[test]
fn errors_in_a_header_stand_there_if_it_is_open_and_else_at_the_top() {
    let text = format!("#include \"a.h\"\n{}", GOOD.replace("\tpop %rbx\n", "\tRESTORE\n"));
    let header = "\t.macro RESTORE\n\tpop %rbx\n\t.endm\n";
    let project = Project::new(&[("a.S", &text), ("a.h", header)], COMMAND);
    let (source, of_header) = (project.uri("a.S"), project.uri("a.h"));
    let mut client = project.client(json!({}));
    fs::write(project.path("a.h"), "\tpopp %rbx\n".to_owned() + header).expect("a file");
    open(&mut client, &source, &text);
    let shown = client.published_at(&source, 1);
    assert_eq!(lines(&shown), [0], "{shown:?}");
    assert!(shown[0]["message"].as_str().is_some_and(|text| text.ends_with("(a.h:1)")), "{shown:?}");
    let way = &shown[0]["relatedInformation"][0]["location"];
    assert_eq!((&way["uri"], &way["range"]["start"]["line"]), (&json!(of_header), &json!(0)));
    // Opened and changed, it has the errors itself, until there are none.
    let broken = "\n\tpopp %rbx\n".to_owned() + header;
    open(&mut client, &of_header, &broken);
    assert!(client.published_at(&source, 1).is_empty());
    assert_eq!(lines(&client.published_at(&of_header, 1)), [1]);
    change(&mut client, &of_header, 2, json!([{"text": header}]));
    assert!(client.published_at(&of_header, 2).is_empty());
}

#[test]
fn an_unsaved_header_takes_part() {
    let text = format!("#include \"a.h\"\n{}", GOOD.replace("\tpop %rbx\n", "\tRESTORE\n"));
    let project = Project::new(&[("a.S", &text), ("a.h", "#define RESTORE pop %rbx\n")], COMMAND);
    let (source, header) = (project.uri("a.S"), project.uri("a.h"));
    let mut client = project.client(json!({}));
    open(&mut client, &source, &text);
    assert!(client.published_at(&source, 1).is_empty());
    open(&mut client, &header, "#define RESTORE pop %rbx\n");
    change(&mut client, &header, 2, json!([{"text": "#define RESTORE nop\n"}]));
    assert_eq!(lines(&client.published_at(&source, 1)), [8]);
    close(&mut client, &header);
    assert!(client.published_at(&source, 1).is_empty());
}

#[test]
fn what_changes_on_the_disk_is_seen() {
    let text = format!("#include \"a.h\"\n{}", GOOD.replace("\tpop %rbx\n", "\tRESTORE\n"));
    let project = Project::new(&[("a.S", &text), ("a.h", "#define RESTORE pop %rbx\n")], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, &text);
    assert!(client.published_at(&uri, 1).is_empty());
    // A header that is not open: the client tells.
    let header = "#ifndef HOW\n#define HOW nop\n#endif\n#define RESTORE HOW\n";
    fs::write(project.path("a.h"), header).expect("a file");
    let changes = json!({"changes": [{"uri": project.uri("a.h"), "type": 2}]});
    client.notify("workspace/didChangeWatchedFiles", changes);
    assert_eq!(lines(&client.published_at(&uri, 1)), [8]);
    // The database: the server looks for itself.
    project.command("a.S", "gcc '-DHOW=pop %rbx' -c -o a.o a.S");
    assert!(client.published_at(&uri, 1).is_empty());
}

#[test]
fn nothing_is_run_in_a_workspace_that_is_not_trusted() {
    let project = Project::new(&[("a.S", GOOD)], COMMAND);
    let (uri, marker) = (project.uri("a.S"), project.path("ran"));
    let wrapper = project.path("gcc");
    fs::write(&wrapper, format!("#!/bin/sh\ntouch '{}'\nexec gcc \"$@\"\n", marker.display())).expect("a file");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("the mode can be set");
    project.command("a.S", &format!("{} -c -o a.o a.S", wrapper.display()));
    project.build("gcc -g -c -o a.o a.S");
    let mut client = project.client(json!({"trusted": false, "compilers": [wrapper]}));
    open(&mut client, &uri, GOOD);
    assert!(client.published_at(&uri, 1).is_empty());
    assert_eq!(state(&mut client, &uri)["state"], json!("fresh"));
    assert!(hover(&mut client, &uri, POP).contains("CFA = `rsp+16`"));
    change(&mut client, &uri, 2, delete_line(POP));
    assert_eq!(state(&mut client, &uri)["state"], json!("untrusted"));
    // What the object says moves with its lines, also where the object has been read again since.
    for version in 3..5 {
        change(&mut client, &uri, version, insert(0, 0, "# above\n"));
        client.until_status(&uri, "untrusted");
    }
    let at_push = hover(&mut client, &uri, 6);
    assert!(at_push.contains("before `push"), "{at_push}");
    assert!(!marker.exists());
    // Trust can be given while the server runs.
    client.notify("workspace/didChangeConfiguration", json!({"settings": {"orcls": {"trusted": true}}}));
    assert_eq!(lines(&client.published_at(&uri, 4)), [8]);
    assert!(marker.exists());
}

#[test]
fn that_the_build_ran_objtool_is_no_finding() {
    // Tables as objtool leaves them, by which the object shows that it was there.
    let text = format!("{GOOD}\t.section .orc_unwind, \"a\"\n\t.byte 0\n");
    let project = Project::new(&[("a.S", &text)], "gcc -g -c -o a.o a.S");
    let uri = project.uri("a.S");
    project.build("gcc -g -c -o a.o a.S");
    let mut client = project.client(json!({"kernel": "6.12"}));
    open(&mut client, &uri, &text);
    let found = client.published_at(&uri, 1);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(state(&mut client, &uri)["basis"], json!("object"));
}

#[test]
fn a_missing_command_is_said_once() {
    const TEXT: &str = "int f(void) { return 1; }\n";
    let command = "gcc -c -o a.o a.c";
    let project = Project::new(&[("a.c", TEXT), ("b.c", TEXT)], command);
    fs::remove_file(project.path("compile_commands.json")).expect("it was there");
    let mut client = project.client(json!({}));
    for name in ["a.c", "b.c"] {
        let uri = project.uri(name);
        open(&mut client, &uri, TEXT);
        assert!(client.published_at(&uri, 1).is_empty());
        assert_eq!(state(&mut client, &uri)["state"], json!("no-command"));
    }
    let message = client.called("window/showMessage");
    assert!(message["params"]["message"].as_str().is_some_and(|text| text.contains("compile_commands.json")));
    project.command("a.c", command);
    client.notify("workspace/didChangeWatchedFiles", json!({"changes": []}));
    let uri = project.uri("a.c");
    client.until_status(&uri, "fresh");
}

#[test]
fn an_object_that_is_built_again_is_judged_again() {
    let bad = GOOD.replace("\tpop %rbx\n", "");
    let project = Project::new(&[("a.S", &bad)], COMMAND);
    let uri = project.uri("a.S");
    project.build("gcc -g -c -o a.o a.S");
    let mut client = project.client(json!({"compile": "off"}));
    open(&mut client, &uri, &bad);
    assert_eq!(lines(&client.published_at(&uri, 1)), [6]);
    fs::write(project.path("a.S"), GOOD).expect("a file");
    project.build("gcc -g -c -o a.o a.S");
    change(&mut client, &uri, 2, json!([{"text": GOOD}]));
    assert!(client.published_at(&uri, 2).is_empty());
}

#[test]
fn an_object_that_objtool_has_written_is_no_finding() {
    let project = Project::new(&[("a.S", GOOD)], COMMAND);
    let (uri, object) = (project.uri("a.S"), project.path("a.o"));
    project.build("gcc -g -c -o a.o a.S");
    let section = |name: &str| format!("{name}={}", project.path("a.S").display());
    let mut copy = std::process::Command::new("objcopy");
    copy.args(["--add-section", &section(".orc_unwind"), "--add-section", &section(".orc_unwind_ip")]).arg(&object);
    assert!(copy.status().expect("objcopy runs").success());
    fs::write(project.path(".a.o.cmd"), "savedcmd_a.o := gcc -c -o a.o a.S ; ./tools/objtool/objtool --orc a.o\n\nsource_a.o := a.S\n\ndeps_a.o := \\\n").expect("a file");
    let mut client = project.client(json!({"kernel": "6.12"}));
    open(&mut client, &uri, GOOD);
    assert!(client.published_at(&uri, 1).is_empty());
    let status = state(&mut client, &uri);
    assert_eq!((&status["basis"], &status["flags"]), (&json!("object"), &json!(["--orc"])), "{status}");
}

#[test]
fn on_save_means_when_it_is_saved() {
    let project = Project::new(&[("a.S", GOOD)], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({"compile": "onSave"}));
    open(&mut client, &uri, GOOD);
    assert!(client.published_at(&uri, 1).is_empty());
    change(&mut client, &uri, 2, delete_line(POP));
    assert_eq!(state(&mut client, &uri)["state"], json!("stale"));
    client.notify("textDocument/didSave", json!({"textDocument": {"uri": uri}}));
    assert_eq!(lines(&client.published_at(&uri, 2)), [6]);
}

#[test]
fn tables_are_those_of_the_command_line() {
    let project = Project::new(&[("a.S", GOOD)], COMMAND);
    let uri = project.uri("a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, GOOD);
    client.published_at(&uri, 1);
    let all = client.request("orcls/cfi", json!({"textDocument": {"uri": uri}})).expect("a table");
    assert_eq!(all["instructions"].as_array().map(Vec::len), Some(4));
    assert_eq!(all["instructions"][1]["cfa"], json!({"base": "rsp", "offset": 16}));
    let place = json!({"textDocument": {"uri": uri}, "position": {"line": POP, "character": 0}});
    let one = client.request("orcls/cfi", place).expect("a table");
    assert_eq!(one["instructions"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["instructions"][0]["file"], json!(project.path("a.S")));
    let orc = client.request("orcls/orc", json!({"textDocument": {"uri": uri}})).expect("a table");
    assert_eq!(orc["rows"][1]["text"], json!("type:call sp:sp+16 bp:(und) signal:0"));
    let none = client.request("orcls/alternatives", json!({"textDocument": {"uri": uri}})).expect("a table");
    assert_eq!(none["groups"], json!([]));
}

#[test]
fn the_workspace_is_checked_with_progress() {
    let bad = GOOD.replace("\tpop %rbx\n", "");
    let project = Project::new(&[("b.S", &bad), ("a.S", GOOD)], "gcc -c -o b.o b.S");
    project.build("gcc -g -c -o a.o a.S");
    project.build("gcc -g -c -o b.o b.S");
    let mut client = project.client(json!({}));
    let command = json!({"command": "orcls.server.checkWorkspace", "workDoneToken": "mine"});
    let numbers = client.request("workspace/executeCommand", command).expect("numbers");
    let expected =
        json!({"objects": 2, "findings": 1, "withFindings": 1, "failed": 0, "skipped": {}, "notRead": [], "notes": []});
    assert_eq!(numbers, expected);
    let begin = client.called("$/progress");
    assert_eq!((&begin["params"]["token"], &begin["params"]["value"]["kind"]), (&json!("mine"), &json!("begin")));
    let published = client.published(&project.uri("b.S"));
    assert_eq!((published.version, lines(&published.diagnostics)), (None, vec![6]));
    client.wait("the end", |m| m["params"]["value"]["kind"] == json!("end"));
    client.forget("$/progress");
    // An open file speaks for itself.
    let uri = project.uri("b.S");
    open(&mut client, &uri, GOOD);
    assert!(client.published_at(&uri, 1).is_empty());
    close(&mut client, &uri);
    assert_eq!(lines(&client.published(&uri).diagnostics), [6]);
    let error = client.request("workspace/executeCommand", json!({"command": "no"})).expect_err("unknown");
    assert_eq!(error["code"], json!(-32602));
}

#[test]
fn known_findings_are_not_shown() {
    let bad = GOOD.replace("\tpop %rbx\n", "");
    let project = Project::new(&[("a.S", &bad)], COMMAND);
    let object = project.path("a.o");
    let known = json!({"object": object, "findings": [{"code": "return-with-modified-frame", "function": "f"}]});
    fs::write(project.path("known.json"), known.to_string()).expect("a file");
    let uri = project.uri("a.S");
    let mut client = project.client(json!({"baseline": "known.json"}));
    open(&mut client, &uri, &bad);
    assert!(client.published_at(&uri, 1).is_empty());
    let notes = state(&mut client, &uri)["notes"].to_string();
    assert!(notes.contains("known.json knows are not shown: 1"), "{notes}");
    client.notify("workspace/didChangeConfiguration", json!({"settings": {"orcls": {"baseline": ""}}}));
    assert_eq!(lines(&client.published_at(&uri, 1)), [6]);
}

#[test]
fn a_finding_in_an_inlined_function_shows_there_and_at_its_calls_once() {
    let source =
        "#include \"a.h\"\nint f(int a) {\n\treturn leak(a) + 1;\n}\nint g(int a) {\n\treturn leak(a) + 2;\n}\n";
    let header = "static inline __attribute__((always_inline)) int leak(int a) {\n\tasm volatile(\"push %rax\\n\\tret\");\n\treturn a;\n}\n";
    let project =
        Project::new(&[("a.c", source), ("a.h", header)], "gcc -D__KERNEL__ -O2 -fcf-protection=none -c -o a.o a.c");
    let (source_uri, header_uri) = (project.uri("a.c"), project.uri("a.h"));
    let mut client = project.client(json!({}));
    open(&mut client, &source_uri, source);
    let calls = client.published_at(&source_uri, 1);
    let returns = |list: &[Value]| {
        let list = list.iter().filter(|d| d["code"] == json!("return-with-modified-frame"));
        list.filter_map(|d| d["range"]["start"]["line"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(returns(&calls), [2, 5], "{calls:#?}");
    let inside = client.published(&header_uri);
    assert_eq!((inside.version, returns(&inside.diagnostics)), (None, vec![1]), "{inside:#?}");
    change(&mut client, &source_uri, 2, json!([{"text": "int f(int a) {\n\treturn a;\n}\n"}]));
    assert!(client.published_at(&source_uri, 2).is_empty());
    assert!(client.published(&header_uri).diagnostics.is_empty());
}

#[test]
fn a_finding_where_a_header_uses_a_macro_shows_where_the_macro_is_written() {
    let source = "\t.macro ENTRY_ name\n\t.globl \\name\n\t.type \\name, @function\n\\name:\n\tret\n\tcld\n\tret\n\
                  \t.size \\name, . - \\name\n\t.endm\n\t.text\n#include \"a.h\"\n";
    let header = "#define DECLARE(name) ENTRY_ name\nDECLARE(f)\n";
    let project = Project::new(&[("a.S", source), ("a.h", header)], "gcc -D__KERNEL__ -c -o a.o a.S");
    let mut client = project.client(json!({}));
    open(&mut client, &project.uri("a.S"), source);
    let told = |list: &[Value]| {
        list.iter().map(|d| (d["range"]["start"]["line"].clone(), d["data"]["objtool"].is_null())).collect::<Vec<_>>()
    };
    let written = client.published_at(&project.uri("a.S"), 1);
    // objtool's line is the header's.
    assert_eq!(told(&written), [(json!(5), true)], "{written:#?}");
    assert!(written[0]["message"].as_str().unwrap().contains("a.h:2"), "{written:#?}");
    let used = client.published(&project.uri("a.h"));
    assert_eq!(told(&used.diagnostics), [(json!(1), false)], "{used:#?}");
}

#[test]
fn copies_of_an_inlined_function_keep_objtool_s_line_each() {
    let leak = "static inline __attribute__((always_inline)) int leak(int a) {\n\tasm volatile(\"push %rax\\n\\tret\");\n\treturn a;\n}\n";
    let source =
        format!("{leak}int f(int a) {{\n\treturn leak(a) + 1;\n}}\nint g(int a) {{\n\treturn leak(a) + 2;\n}}\n");
    let project = Project::new(&[("a.c", &source)], "gcc -D__KERNEL__ -O2 -fcf-protection=none -c -o a.o a.c");
    let uri = project.uri("a.c");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, &source);
    let found = client.published_at(&uri, 1);
    let returns = found.iter().filter(|d| d["code"] == json!("return-with-modified-frame"));
    let told: Vec<(&Value, &str)> = returns
        .filter_map(|d| Some((d.pointer("/range/start/line")?, d.pointer("/data/objtool")?.as_str()?)))
        .collect();
    assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [&json!(1), &json!(1)], "{found:#?}");
    assert!(told[0].1.starts_with("f+") && told[1].1.starts_with("g+"), "{told:?}");
}

#[test]
fn asm_statements_that_move_the_stack_pointer_are_named() {
    let source =
        "int f(int a) {\n\tasm volatile(\"push %rbx\");\n\tasm volatile(\"and $-16, %rsp\");\n\treturn a;\n}\n";
    let project = Project::new(&[("a.c", source)], "gcc -D__KERNEL__ -O2 -fcf-protection=none -c -o a.o a.c");
    let uri = project.uri("a.c");
    let mut client = project.client(json!({}));
    open(&mut client, &uri, source);
    let found = client.published_at(&uri, 1);
    let first = found.iter().find(|d| d["code"] == json!("unsupported-stack-realignment"));
    let message = first.and_then(|d| d["message"].as_str()).unwrap_or_else(|| panic!("{found:#?}"));
    assert!(message.ends_with("the asm statement at line 2 moves the stack pointer"), "{message}");
}

/// Code of a project that is no kernel: a function whose push is not told, and one without a table.
const FIBER: &str = "\t.text\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tpush %rbx\n\tcall g\n\tpop %rbx\n\tret\n\t.cfi_endproc\n\
                     \t.size f, .-f\n\t.type h, @function\nh:\n\tsub $8, %rsp\n\tcall g\n\tadd $8, %rsp\n\tret\n\t.size h, .-h\n";

fn request(client: &mut Client, method: &str, uri: &str, more: Value) -> Value {
    let mut params = json!({"textDocument": {"uri": uri}});
    params.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    client.request(method, params).expect("an answer")
}

#[test]
fn an_unwind_table_in_the_editor() {
    let project = Project::new(&[("a.S", FIBER), ("b.s", FIBER)], COMMAND);
    let mut client = project.client(json!({"orcls": {"trusted": true}}));
    // The second file has no command of its own.
    for name in ["a.S", "b.s"] {
        let uri = project.uri(name);
        open(&mut client, &uri, FIBER);
        let diagnostics = client.published_at(&uri, 1);
        let found: Vec<_> =
            diagnostics.iter().map(|found| (&found["code"], &found["range"]["start"]["line"])).collect();
        assert_eq!(
            found,
            [(&json!("unwind-stack-untold"), &json!(4)), (&json!("unwind-table-missing"), &json!(12))],
            "{name}"
        );
        let shown = hover(&mut client, &uri, 5);
        for part in ["rsp+8", "rsp+16", "Not true here: the CFA", "CFA-16", "<- rsp"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 30, "character": 0}});
        let hints = request(&mut client, "textDocument/inlayHint", &uri, json!({"range": range}));
        let hints: Vec<_> =
            hints.as_array().expect("hints").iter().map(|hint| (&hint["position"]["line"], &hint["label"])).collect();
        assert_eq!(hints, [(&json!(4), &json!("cfa = rsp+16")), (&json!(6), &json!("cfa = rsp+8"))]);
        let lenses = request(&mut client, "textDocument/codeLens", &uri, json!({}));
        let titles: Vec<_> = lenses.as_array().expect("lenses").iter().map(|lens| &lens["command"]["title"]).collect();
        assert_eq!(titles, ["unwind table: 2 lines untrue", "unwind table: none, 4 instructions without"]);
        assert!(lenses.as_array().expect("lenses").iter().all(|lens| lens["command"]["command"] == "orcls.showCfi"));
        let listing = request(&mut client, "orcls/cfi", &uri, json!({"position": {"line": 5, "character": 0}}));
        crate::cli::fits(&listing.to_string(), "docs/schema/cfi.schema.json");
        let row = &listing["instructions"][0];
        assert_eq!(
            (&row["line"], &row["differs"], &row["table"]),
            (&json!(6), &json!(true), &json!("rsp+8")),
            "{listing}"
        );
        assert_eq!(row["cfa"], json!({"base": "rsp", "offset": 16}));
        let at = json!({"start": {"line": 12, "character": 0}, "end": {"line": 12, "character": 0}});
        let context =
            json!({"range": at, "context": {"diagnostics": [], "only": ["refactor.rewrite"], "triggerKind": 1}});
        let actions = request(&mut client, "textDocument/codeAction", &uri, context);
        let actions = actions.as_array().expect("actions");
        let titles: Vec<_> = actions.iter().map(|action| &action["title"]).collect();
        // The other function says something already.
        let wanted = ["Write the unwind directives of h", "Write the unwind directives of this file"];
        assert_eq!(titles[..1], wanted[..1], "{actions:?}");
        let edits = actions[0]["edit"]["changes"][&uri].as_array().expect("edits");
        let texts: Vec<_> = edits
            .iter()
            .map(|edit| (&edit["range"]["start"]["line"], edit["newText"].as_str().unwrap_or("")))
            .collect();
        let wanted = [
            (&json!(12), "\t.cfi_startproc\n"),
            (&json!(13), "\t.cfi_adjust_cfa_offset 8\n"),
            (&json!(15), "\t.cfi_adjust_cfa_offset -8\n"),
            (&json!(16), "\t.cfi_endproc\n"),
        ];
        assert_eq!(texts, wanted);
    }
}

/// The fixes that are offered in a line of a text, each with the text that it makes.
fn fixes(text: &str, line: u32) -> Vec<(String, String)> {
    let project = Project::new(&[("a.S", text)], COMMAND);
    let mut client = project.client(json!({"orcls": {"trusted": true}}));
    let uri = project.uri("a.S");
    open(&mut client, &uri, text);
    let found = client.published_at(&uri, 1);
    assert_eq!(lines(&found), [u64::from(line)], "{text}{found:?}");
    let at = json!({"start": {"line": line, "character": 0}, "end": {"line": line, "character": 1}});
    let context = json!({"range": at, "context": {"diagnostics": [], "only": ["quickfix"], "triggerKind": 1}});
    let actions = request(&mut client, "textDocument/codeAction", &uri, context);
    let made = |action: &Value| {
        let mut rows: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let mut edits = action["edit"]["changes"][&uri].as_array().expect("edits").clone();
        edits.sort_by_key(|edit| std::cmp::Reverse(edit["range"]["start"]["line"].as_u64()));
        for edit in &edits {
            let line = |end: &str| edit["range"][end]["line"].as_u64().expect("a line") as usize;
            rows.splice(line("start")..line("end"), [edit["newText"].as_str().expect("a text").to_owned()]);
        }
        (action["title"].as_str().expect("a title").to_owned(), rows.concat())
    };
    actions.as_array().expect("actions").iter().map(made).collect()
}

/// A text whose line is taken out is mended by putting it in again.
#[track_caller]
fn is_put_back(body: &str, missing: usize, found_on: u32, title: &str) {
    let whole = format!(
        "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\t.cfi_startproc\n{body}\t.cfi_endproc\n\t.size f, .-f\n"
    );
    let mut rows: Vec<&str> = whole.split_inclusive('\n').collect();
    rows.remove(missing);
    let fixes = fixes(&rows.concat(), found_on);
    let made = fixes.iter().find(|(of, _)| of == title);
    let made = made.unwrap_or_else(|| panic!("{title}: {:?}", fixes.iter().map(|(of, _)| of).collect::<Vec<_>>()));
    assert_eq!(made.1, whole);
}

const SAVES: &str = "\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %rbx, 0\n\tmov %rdi, %rbx\n\tcall g\n\tpop %rbx\n\
                     \t.cfi_adjust_cfa_offset -8\n\t.cfi_restore %rbx\n\tpush %rcx\n\t.cfi_adjust_cfa_offset 8\n\tcall h\n\tpop %rcx\n\
                     \t.cfi_adjust_cfa_offset -8\n\tret\n";

#[test]
fn the_missing_partner_of_a_push_or_a_pop() {
    is_put_back(SAVES, 10, 10, "Insert `pop %rbx` before line 11");
    is_put_back(SAVES, 5, 7, "Insert `push %rbx` before line 6");
}

#[test]
fn a_register_that_is_back_and_not_told() {
    is_put_back(SAVES, 12, 12, "Insert `.cfi_restore %rbx` behind line 12");
}

/// The same text with its directives by macros of a project's own: those of glibc, and in upper case.
fn in_macros(text: &str) -> [String; 2] {
    let heads = ["startproc", "endproc", "adjust_cfa_offset", "rel_offset", "restore"];
    let (mut glibc, mut upper) = (String::new(), String::new());
    for line in text.split_inclusive('\n') {
        let Some((name, arguments)) =
            line.strip_prefix("\t.cfi_").map(|rest| rest.trim_end().split_once(' ').unwrap_or((rest.trim_end(), "")))
        else {
            glibc.push_str(line);
            upper.push_str(line);
            continue;
        };
        let called = if arguments.is_empty() { String::new() } else { format!(" ({arguments})") };
        glibc.push_str(&format!("\tcfi_{name}{called}\n"));
        let spaced = if arguments.is_empty() { String::new() } else { format!(" {arguments}") };
        upper.push_str(&format!("\tCFI_{}{spaced}\n", name.to_uppercase()));
    }
    let of_glibc = heads.iter().fold(String::new(), |text, head| match *head {
        "startproc" | "endproc" => format!("{text}#define cfi_{head} .cfi_{head}\n"),
        "rel_offset" => format!("{text}#define cfi_{head}(reg, off) .cfi_{head} reg, off\n"),
        _ => format!("{text}#define cfi_{head}(what) .cfi_{head} what\n"),
    });
    let of_upper = heads
        .iter()
        .fold(String::new(), |text, head| format!("{text}#define CFI_{} .cfi_{head}\n", head.to_uppercase()));
    [format!("{of_glibc}{glibc}"), format!("{of_upper}{upper}")]
}

/// Fixes of directives by macros are written by these macros.
#[test]
fn fixes_in_the_spelling_of_a_project() {
    let whole = format!(
        "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\t.cfi_startproc\n{SAVES}\t.cfi_endproc\n\t.size f, .-f\n"
    );
    let at = |text: &str, wanted: &str, nth: usize| {
        let mut found = text.lines().enumerate().filter(|(_, line)| line.trim() == wanted).map(|(at, _)| at);
        found.nth(nth).unwrap_or_else(|| panic!("{wanted}: {text}"))
    };
    let names = [
        ["cfi_restore (%rbx)", "cfi_adjust_cfa_offset (8)", "cfi_adjust_cfa_offset (16)"],
        ["CFI_RESTORE %rbx", "CFI_ADJUST_CFA_OFFSET 8", "CFI_ADJUST_CFA_OFFSET 16"],
    ];
    for (text, [restore, eight, sixteen]) in in_macros(&whole).into_iter().zip(names) {
        // A directive that is missing.
        let missing = at(&text, restore, 0);
        let without: String =
            text.split_inclusive('\n').enumerate().filter(|&(at, _)| at != missing).map(|(_, line)| line).collect();
        let made = fixes(&without, missing as u32);
        let title = format!("Insert `{restore}` behind line {missing}");
        assert!(made.contains(&(title.clone(), text.clone())), "{title}: {made:?}");
        // A number that is wrong.
        let wrong = at(&text, eight, 1);
        let rows = text.split_inclusive('\n').enumerate();
        let changed: String =
            rows.map(|(at, line)| if at == wrong { line.replace(eight, sixteen) } else { line.to_owned() }).collect();
        let made = fixes(&changed, wrong as u32);
        assert!(made.iter().any(|(_, made)| *made == text), "{made:?}");
    }
}

#[test]
fn from_a_macro_to_its_instruction_and_back() {
    let text = "\t.text\nf:\n\t.cfi_startproc\n\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %rbx, 0\n\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\
                \t.cfi_restore %rbx\n\tret\n\t.cfi_endproc\n";
    for text in in_macros(text) {
        let head = text.lines().take_while(|line| line.starts_with('#')).count() as u64;
        let project = Project::new(&[("a.S", &text)], COMMAND);
        let mut client = project.client(json!({"orcls": {"trusted": true}}));
        let uri = project.uri("a.S");
        open(&mut client, &uri, &text);
        let mut leads = |line: u64| -> Vec<u64> {
            let at = json!({"position": {"line": head + line, "character": 3}});
            let found = request(&mut client, "textDocument/definition", &uri, at);
            let places = found.as_array().into_iter().flatten();
            places.filter_map(|place| place["range"]["start"]["line"].as_u64()?.checked_sub(head)).collect()
        };
        assert_eq!(leads(3), [4, 5], "{text}");
        assert_eq!(leads(7), [6], "{text}");
        assert_eq!(leads(8), [6], "{text}");
        assert_eq!(leads(5), [3], "{text}");
    }
}

#[test]
fn directives_that_no_single_one_mends_are_written_anew() {
    let text = |first: &str, second: &str, third: &str| {
        format!(
            "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\t.cfi_startproc\n\tpush %rbx\n\t.cfi_def_cfa_offset {first}\n\t.cfi_offset %rbx, -16\n\
             \tpush %r12\n\t.cfi_def_cfa_offset {second}\n\t.cfi_offset %r12, -24\n\tcall g\n\tpop %r12\n\t.cfi_def_cfa_offset {third}\n\t.cfi_restore %r12\n\
             \tpop %rbx\n\t.cfi_def_cfa_offset 8\n\t.cfi_restore %rbx\n\tret\n\t.cfi_endproc\n\t.size f, .-f\n"
        )
    };
    let fixes = fixes(&text("24", "32", "24"), 6);
    let made = fixes.iter().find(|(title, _)| title == "Write the unwind directives of f anew");
    assert_eq!(made.unwrap_or_else(|| panic!("{fixes:?}")).1, text("16", "24", "16"));
}

#[test]
fn from_a_directive_to_its_instruction_and_back() {
    let project = Project::new(&[("a.S", FIBER)], COMMAND);
    let mut client = project.client(json!({"orcls": {"trusted": true}}));
    let text = "\t.text\nf:\n\t.cfi_startproc\n\tpush %rbx\n\t.cfi_adjust_cfa_offset 8\n\t.cfi_rel_offset %rbx, 0\n\tpop %rbx\n\tret\n\t.cfi_endproc\n";
    let uri = project.uri("a.S");
    open(&mut client, &uri, text);
    let mut leads = |line: u32| -> Vec<u64> {
        let at = json!({"position": {"line": line, "character": 3}});
        let found = request(&mut client, "textDocument/definition", &uri, at);
        found.as_array().into_iter().flatten().filter_map(|place| place["range"]["start"]["line"].as_u64()).collect()
    };
    assert_eq!(leads(4), [3]);
    assert_eq!(leads(5), [3]);
    assert_eq!(leads(3), [4, 5]);
    assert_eq!(leads(2), [3]);
}

/// Without IBT the build has objtool look at each object, and at `vmlinux.o` for noinstr code only.
#[test]
fn what_objtool_says_of_the_object_alone_stays_when_vmlinux_is_looked_at_for_noinstr_only() {
    let function = |name: &str, section: &str, call: &str| {
        format!(
            "\t.section {section}, \"ax\"\n\t.globl {name}\n\t.type {name}, @function\n{name}:\n{call}\tret\n\
             \t.size {name}, . - {name}\n"
        )
    };
    let entry = function("plain", ".text", "\tnop\n") + &function("entry", ".noinstr.text", "\tnop\n");
    let project = Project::new(&[("entry.S", &entry), ("loud.S", &function("loud", ".text", ""))], "gcc -c entry.S");
    fs::remove_file(project.path("compile_commands.json")).expect("it was there");
    let checked = "./tools/objtool/objtool --orc";
    for name in ["entry", "loud"] {
        let compile = format!("gcc -c -g -o {name}.o {name}.S");
        project.build(&compile);
        let recipe = format!("savedcmd_{name}.o := {compile} ; {checked} {name}.o\n");
        let cmd = format!("{recipe}\nsource_{name}.o := {name}.S\n\ndeps_{name}.o := \\\n");
        fs::write(project.path(&format!(".{name}.o.cmd")), cmd).expect("a file");
    }
    project.build("ar cDPrST vmlinux.a entry.o loud.o");
    let link = "savedcmd_vmlinux.o := ld -r -o vmlinux.o ; ./tools/objtool/objtool --noinstr --link vmlinux.o\n";
    fs::write(project.path(".vmlinux.o.cmd"), link).expect("a file");
    let uri = project.uri("entry.S");
    let mut client = project.client(json!({"kernel": "6.12"}));
    let wrong = entry.replacen("\tnop\n", "\tpush %rbx\n", 1).replace("\tnop\n", "\tcall loud\n");
    open(&mut client, &uri, &wrong);
    client.until_status(&uri, "fresh");
    assert_eq!(state(&mut client, &uri)["scope"], json!("vmlinux.o"));
    let leaves = "entry+0x0: call to loud() leaves .noinstr.text section";
    let said = loop {
        let found = client.published_at(&uri, 1);
        let said = |found: &Value| found["data"]["objtool"].as_str().map(str::to_owned);
        let said: Vec<String> = found.iter().filter_map(said).collect();
        if said.iter().any(|text| text == leaves) {
            break said;
        }
    };
    assert_eq!(said, ["plain+0x1: return with modified stack frame", leaves]);
}

/// In a tree that checks `vmlinux.o`: what needs another object is shown before anything is linked, and the link confirms it.
#[test]
fn what_needs_other_objects_is_shown_at_once_and_then_confirmed() {
    let function = |name: &str, section: &str, call: &str| {
        format!(
            "\t.section {section}, \"ax\"\n\t.p2align 4, 0x90\n\t.globl {name}\n\t.type {name}, @function\n{name}:\n\tendbr64\n{call}\tret\n\
             \t.size {name}, . - {name}\n"
        )
    };
    let entry = function("entry", ".noinstr.text", "\tcall quiet\n");
    let quiet = function("quiet", ".noinstr.text", "");
    let files = [("entry.S", entry.as_str()), ("quiet.S", &quiet), ("loud.S", &function("loud", ".text", ""))];
    let project = Project::new(&files, "gcc -c -g -o entry.o entry.S");
    fs::remove_file(project.path("compile_commands.json")).expect("it was there");
    for name in ["entry", "quiet", "loud"] {
        let compile = format!("gcc -c -g -o {name}.o {name}.S");
        project.build(&compile);
        let cmd = format!("savedcmd_{name}.o := {compile}\n\nsource_{name}.o := {name}.S\n\ndeps_{name}.o := \\\n");
        fs::write(project.path(&format!(".{name}.o.cmd")), cmd).expect("a file");
    }
    project.build("ar cDPrST vmlinux.a entry.o quiet.o loud.o");
    let archive = "savedcmd_built-in.a := printf \"./%s \" entry.o quiet.o loud.o | xargs ar cDPrST built-in.a\n";
    fs::write(project.path(".built-in.a.cmd"), archive).expect("a file");
    let link =
        "savedcmd_vmlinux.o := ld -r -o vmlinux.o ; ./tools/objtool/objtool --ibt --orc --noinstr --link vmlinux.o\n";
    fs::write(project.path(".vmlinux.o.cmd"), link).expect("a file");
    let uri = project.uri("entry.S");
    let mut client = project.client(json!({"kernel": "6.12"}));
    open(&mut client, &uri, &entry);
    client.until_status(&uri, "fresh");
    assert_eq!(state(&mut client, &uri)["scope"], json!("vmlinux.o"));
    // The index is there from the first rest on.
    let call = entry.replace("\tcall quiet\n", "\tcall quiet\n\tcall loud\n");
    change(&mut client, &uri, 2, json!([{"text": call}]));
    let found = loop {
        let found = client.published_at(&uri, 2);
        if !found.is_empty() {
            break found;
        }
    };
    assert_eq!(lines(&found), [7], "{found:#?}");
    assert_eq!(found[0]["data"]["objtool"], json!("entry+0x9: call to loud() leaves .noinstr.text section"));
    client.until_status(&uri, "fresh");
    let confirmed = state(&mut client, &uri);
    assert_eq!(
        (&confirmed["scope"], &confirmed["indexDifferences"]),
        (&json!("vmlinux.o"), &json!(0)),
        "{confirmed:#}"
    );
    assert!(!confirmed["notes"].to_string().contains("has not confirmed it yet"), "{confirmed:#}");
    // Without a linker's input there is no link: what the index tells stays, and why it is not confirmed is said.
    fs::write(project.path("loud.o"), "no object").expect("a file");
    change(&mut client, &uri, 3, json!([{"text": entry}]));
    client.until_status(&uri, "fresh");
    let unlinked = state(&mut client, &uri);
    assert_eq!(unlinked["scope"], json!("index"), "{unlinked:#}");
    assert!(unlinked["scopeReason"].to_string().contains("loud.o"), "{unlinked:#}");
    assert!(unlinked["notes"].to_string().contains("has not confirmed it yet"), "{unlinked:#}");
    client.forget("textDocument/publishDiagnostics");
}
