//! text with placeholders → files: templates, and plain text put into secrets.

use serde_json::json;
use xtask::system::System;

use crate::support::{Scenario, placeholder, secret_unit, template_unit};

/// A template is rendered from its secrets, binary-safe and in one pass, and fails alone.
pub fn templates_are_rendered(system: System) {
    let mut host = Scenario::new(system, "template");
    let binary: Vec<u8> = (0..=255).collect();
    host.secret("word", "  hunter2\n");
    host.secret("binary", &binary);
    // A value that looks like a placeholder is a value.
    host.secret("tricky", placeholder("word"));
    host.ciphertext("broken", Some(b"not an age file"), json!({}));
    // All that systemd or a shell treats specially in a file of variables, in more than one line.
    let variable = " \t'it's' \"$HOME\" ${PATH} `id` $(id) \\n \\\\ \\\n#x;y=z \u{e9}\u{1f511}\r\n\n* %h !\u{1} ";
    host.secret("variable", variable);
    host.file("/fixtures/variable", variable);
    host.program(
        "/usr/local/bin/compare-variable",
        "#!/bin/sh\nprintf %s \"$VALUE\" | cmp - /fixtures/variable && [ \"$EMPTY$LAST\" = x ]\n",
    );
    let one = "1".repeat(64);
    let two = "2".repeat(64);
    let unknown = "f".repeat(64);
    host.secret_with(
        "filled",
        format!("a {{{{ {two} }}}} b {{{{ {one} }}}} c {{{{ {unknown} }}}} d"),
        json!({ "insert": {
            &one: { "order": 1, "content": "ONE" },
            &two: { "order": 0, "content": format!("TWO {{{{ {one} }}}}") },
        }, "cleanPlaceholder": true }),
    );
    let raw = |middle: &str, end: &str| {
        [&binary[..], middle.as_bytes(), &binary, end.as_bytes()].concat()
    };
    let mark = |hash: &str| format!("{{{{ {hash} }}}}");
    host.secret_with(
        "kept",
        raw(&mark(&one), &mark(&unknown)),
        json!({ "insert": { &one: { "content": "ONE" } }, "cleanPlaceholder": false }),
    );
    host.file("/fixtures/kept", raw("ONE", &mark(&unknown)));
    let p = placeholder;
    let encoded = |id: &str, encoding: &str| p(id).replace(" }}", &format!(" {encoding} }}}}"));
    let each = ["json", "url", "shell", "environment", "xml"]
        .map(|encoding| format!("{encoding} {}\n", encoded("tricky", encoding)))
        .concat();
    let variables = format!("EMPTY=\nVALUE={}\nLAST=x\n", encoded("variable", "environment"));
    let templates = json!({
        "app.conf": { "content": format!("pw=<{}>\n", p("word")), "owner": "daemon",
            "group": "mail", "mode": "0440", "restartUnits": ["user.service"] },
        "untrimmed": { "content": format!("pw=<{}>", p("word")), "trim": false },
        "bytes": { "content": format!("<{}>", p("binary")), "trim": false },
        "twice": { "content": format!("{}{}", p("tricky"), p("tricky")) },
        "encoded": { "content": each },
        "app.env": { "trim": false, "content": variables },
        "not-json": { "content": format!("{{\"a\": \"{}\"}}", encoded("binary", "json")) },
        "plain": { "content": "no secret at all {{ not hex }} {{" },
        "sub/dir.conf": { "content": p("word") },
        "unknown": { "content": format!("x {{{{ {unknown} }}}} y") },
        "ghostly": { "content": p("ghost") },
        "needs-broken": { "content": format!("{} {}", p("word"), p("broken")) },
    });
    let ids = ["word", "binary", "tricky", "broken", "filled", "ghost", "variable"];
    host.profile()["placeholder"] =
        ids.iter().map(|id| (*id, p(id))).collect::<serde_json::Value>();
    host.profile()["templates"] = templates;
    host.consumer("user", "/run/vaultix/app.conf");
    host.file("/fixtures/bytes", [b"<", &binary[..], b">"].concat());
    host.fixture("word2", "correct horse");
    let boot = host.run(
        r"
        plain /run/vaultix/bytes | cmp - /fixtures/bytes
        plain /run/vaultix/kept | cmp - /fixtures/kept
        note files find /run/vaultix/ -name .vaultix -prune -o -type f -printf '%P %m %U %G\n'
        # Without the marker, which may be in no environment.
        plain /run/vaultix/app.env >/run/app.env
        note environment systemd-run --quiet --wait --pipe --property=EnvironmentFile=/run/app.env compare-variable
        note shell sh -c 'set -a; . /run/app.env; compare-variable'
        note check vaultix-decrypt check
        for it in app.conf encoded untrimmed twice plain sub/dir.conf filled; do
            note text.$(basename $it) cat /run/vaultix/$it
        done
        snapshot before
        reencrypt word word2
        note restart systemctl restart vaultix-secret@word.service
        settle
        snapshot after
        note changed cat /run/vaultix/app.conf
        note changed.mode stat --format='%a %u %g' /run/vaultix/app.conf
        reencrypt word word2
        systemctl restart vaultix-secret@word.service
        settle
        snapshot same
        ",
    );
    assert_eq!(boot.text("script.errors"), "");
    let files = boot.text("files");
    let mut files: Vec<_> = files.lines().collect();
    files.sort_unstable();
    pretty_assertions::assert_eq!(
        files,
        [
            "app.conf 440 1 8",
            "app.env 400 0 0",
            "binary 400 0 0",
            "bytes 400 0 0",
            "encoded 400 0 0",
            "filled 400 0 0",
            "kept 400 0 0",
            "plain 400 0 0",
            "sub/dir.conf 400 0 0",
            "tricky 400 0 0",
            "twice 400 0 0",
            "untrimmed 400 0 0",
            "variable 400 0 0",
            "word 400 0 0",
        ]
    );
    assert_eq!(boot.text("text.app.conf"), "pw=<hunter2>");
    assert_eq!(boot.text("text.untrimmed"), "pw=<  hunter2\n>");
    assert_eq!(boot.text("text.twice"), placeholder("word").repeat(2), "never scanned again");
    assert_eq!(boot.text("text.plain"), "no secret at all {{ not hex }} {{");
    assert_eq!(boot.text("text.dir.conf"), "hunter2");
    let hash = &p("word")[3..67];
    let encoded = format!(
        "json {{{{ {hash} }}}}\nurl %7B%7B%20{hash}%20%7D%7D\nshell '{{{{ {hash} }}}}'\n\
         environment \"{{{{ {hash} }}}}\"\nxml {{{{ {hash} }}}}"
    );
    assert_eq!(boot.text("text.encoded"), encoded, "nor is what was encoded");
    assert_eq!((boot.text("environment"), boot.status("environment")), (String::new(), 0));
    assert_eq!((boot.text("shell"), boot.status("shell")), (String::new(), 0));
    let filled = format!("a TWO {} b ONE c  d", mark(&one));
    assert_eq!(boot.text("text.filled"), filled, "what was put in is not searched, nor cleaned");

    let template = template_unit("unknown");
    assert_eq!(boot.unit_at("before", &template)["ActiveState"], "failed");
    boot.assert_error(&template, &["unknown", &unknown]);
    assert_eq!(boot.unit_at("before", &template)["ExecMainStatus"], "65");
    let template = template_unit("ghostly");
    assert_eq!(boot.unit_at("before", &template)["ExecMainStatus"], "65");
    boot.assert_error(&template, &["ghostly", "\"ghost\", which is not a secret of this host"]);
    let template = template_unit("needs-broken");
    assert_eq!(boot.unit_at("before", &template)["ActiveState"], "failed");
    boot.assert_error(&template, &["needs-broken", "broken", "vaultix-secret@broken.service"]);
    let template = template_unit("not-json");
    assert_eq!(boot.unit_at("before", &template)["ExecMainStatus"], "65");
    let reason = "the value of the secret \"binary\" cannot be written as json: it is not UTF-8";
    boot.assert_error(&template, &["not-json", reason]);
    assert!(boot.text("check").contains(reason), "{}", boot.text("check"));
    let mut failed = boot.failed("before");
    failed.sort();
    let templates = ["ghostly", "needs-broken", "not-json", "unknown"].map(template_unit);
    assert_eq!(failed, [&[secret_unit("broken")], &templates[..]].concat());

    assert_eq!(boot.text("changed"), "pw=<correct horse>");
    assert_eq!(boot.text("changed.mode"), "440 1 8");
    let run = |snapshot: &str| boot.unit_at(snapshot, "user.service")["InvocationID"].clone();
    assert_ne!(run("before"), run("after"), "its consumer was restarted");
    assert_eq!(run("after"), run("same"), "and not when nothing changed");
    assert_eq!(
        boot.text("user.log"),
        "start pw=<hunter2>\nstop pw=<correct horse>\nstart pw=<correct horse>\n\
         stop pw=<correct horse>",
        "once, after the template"
    );
    boot.assert_no_cycle();
}
