//! `vaultix explain` → all that is known of one secret, and nothing of its text.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::Workspace;

/// Makes a workspace in git, with a secret that two hosts use in different ways.
fn workspace(name: &str) -> Workspace {
    let workspace = Workspace::with_secrets(name);
    let hash = "5".repeat(64);
    let web1 = workspace.key("host-web1.pub");
    workspace.profile_with("web1", web1.trim(), &[("wifi", "wifi"), ("mail", "mail")], |profile| {
        let wifi = &mut profile["secrets"]["wifi"];
        wifi["owner"] = json!("nginx");
        wifi["restartUnits"] = json!(["nginx.service"]);
        wifi["restartUserUnits"] = json!({ "alice": ["net.service"] });
        wifi["before"] = json!(["early.service"]);
        wifi["generator"] = json!({ "kind": "htpasswd", "user": "me", "dependencies": ["mail"] });
        profile["placeholder"] = json!({ "wifi": format!("{{{{ {hash} }}}}") });
        profile["templates"] = json!({ "app.conf": {
            "content": format!("psk = {{{{ {hash} json }}}}"), "path": "/etc/app.conf",
            "reloadUnits": ["app.service"],
        } });
    });
    workspace.sh("git init -q && printf 'keys\\n*.json\\n' >.gitignore").exits(0);
    workspace
}

/// Commits everything, as somebody who is called `author`.
fn commit(workspace: &Workspace, author: &str) {
    let time = "2020-02-02T02:02:02+01:00";
    let mut git = workspace.command("git");
    git.args(["-c", "user.email=a@b", "-c", &format!("user.name={author}")]);
    git.args(["commit", "-q", "-m", "x"]).env("GIT_COMMITTER_DATE", time);
    workspace.sh("git add .").exits(0);
    crate::support::run(&mut git).exits(0);
}

#[test]
fn all_that_is_known_of_a_secret_is_shown() {
    let workspace = workspace("explain");
    let explain =
        |line: &str| workspace.vaultix(&format!("-p web1.json -p db1.json explain {line}"));
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    let on_web1 = "host web1: ready; /run/vaultix/wifi, 0400 nginx:root; restarts nginx.service; comes before \
                   early.service; restarts net.service of user alice; in template app.conf at /etc/app.conf; reloads \
                   app.service\n";
    let whole = |changed: &str| {
        format!(
            "secret: wifi\nfile: secrets/wifi.age\nrecipients: X25519\ngenerator: htpasswd, from mail\n\
             changed: {changed}\n{on_web1}host db1: no copy; /run/vaultix/wifi, 0400 root:root\n"
        )
    };
    assert_eq!(explain("wifi").exits(0).stdout, whole("not committed yet"));
    // Whoever commits chooses a name, but says nothing to do.
    commit(&workspace, "me; to fix: rm x");
    let id = workspace.sh("git rev-parse --short=12 HEAD").stdout;
    let by =
        format!("2020-02-02T02:02:02+01:00 by me; to fix\\u{{3a}} rm x in commit {}", id.trim());
    assert_eq!(explain("secrets/wifi.age").exits(0).stdout, whole(&by));
    workspace.secret("secrets/wifi.age", "new text");
    workspace.vaultix("-p web1.json renc -i keys/me.txt").exits(0);
    let since = format!("{by}; and since then, not committed");
    assert_eq!(explain("./secrets/wifi.age").exits(0).stdout, whole(&since));

    let answer: Value = serde_json::from_str(&explain("wifi --json").exits(0).stdout).unwrap();
    let one = &answer[0];
    assert_eq!((answer.as_array().unwrap().len(), &one["ids"]), (1, &json!(["wifi"])));
    assert_eq!((&one["generator"], &one["dependencies"]), (&json!("htpasswd"), &json!(["mail"])));
    assert_eq!(
        (&one["changed"]["author"], &one["changed"]["uncommitted"]),
        (&json!("me; to fix: rm x"), &json!(true))
    );
    let host = &one["hosts"][0];
    assert_eq!(
        (&host["host"], &host["owner"], &host["cached"]),
        (&json!("web1"), &json!("nginx"), &json!(true))
    );
    assert_eq!(host["unit"], "vaultix-secret@wifi.service");
    assert_eq!(host["templates"][0]["reloadUnits"], json!(["app.service"]));

    let said = ["cannot find secret \"wfi\"", ": did you mean wifi?; to fix: vaultix status\n"];
    explain("wfi").exits(64).says(&said);
    explain("secrets/tls.age").exits(64);
}

#[test]
fn what_cannot_be_known_is_not_guessed() {
    let workspace = workspace("explain-unknown");
    let explain =
        |line: &str| workspace.vaultix(&format!("-p web1.json -p db1.json explain {line}"));
    // Different files by one id, and one that is not there.
    workspace.profile("db1", "host-db1.pub", &[("wifi", "mail"), ("new", "later")]);
    workspace.profile_with("new1", "", &[("wifi", "mail")], |_| {});
    let shown = explain("wifi").exits(0).stdout;
    assert_eq!(shown.matches("secret: wifi\n").count(), 2, "{shown}");
    assert!(shown.contains("\n\nsecret: wifi\nfile: secrets/wifi.age\n"), "{shown}");
    let shown = explain("new -p new1.json").exits(0).stdout;
    assert!(
        shown.contains("file: secrets/later.age, which does not exist\nhost db1: no copy"),
        "{shown}"
    );
    let shown = explain("secrets/mail.age -p new1.json").exits(0).stdout;
    assert!(
        shown.contains("secret: mail, wifi\n") && shown.contains("host new1: no key yet"),
        "{shown}"
    );
    workspace.write("secrets/mail.age", "damaged");
    let shown = explain("mail").exits(0).stdout;
    assert!(shown.contains("recipients: unreadable\n"), "{shown}");

    // Where a clone ends, everything seems to have changed.
    commit(&workspace, "me");
    workspace
        .sh("touch more && git add more && git -c user.name=a -c user.email=a@b commit -q -m y")
        .exits(0);
    workspace.sh("git clone -q --depth 1 \"file://$PWD\" clone && cp *.json clone").exits(0);
    let shown = workspace.sh("cd clone && vaultix -p web1.json explain wifi").exits(0).stdout;
    assert!(shown.contains("file: secrets/wifi.age\n") && !shown.contains("changed: "), "{shown}");
    let shown = workspace.sh(
        "git clone -q . whole && cp *.json whole && cd whole && vaultix -p web1.json explain wifi",
    );
    assert!(shown.exits(0).stdout.contains("changed: 2020-02-02"));
    let answer = workspace.sh("cd clone && vaultix -p web1.json explain wifi --json").exits(0);
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(answer[0]["changed"], Value::Null);
}

#[test]
fn a_repository_does_not_name_the_program_that_checks_signatures() {
    let workspace = workspace("explain-signed");
    let program = "#!/bin/sh\ncat >/dev/null\ncase \"$*\" in *--verify*) touch \"$(dirname \"$0\")/ran\" ;; esac\n\
                   printf '\\n[GNUPG:] SIG_CREATED \\n' >&2\n\
                   printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'\n";
    workspace.write("gpg", program);
    workspace
        .sh("chmod +x gpg && git config gpg.program \"$PWD/gpg\" && git config log.showSignature true && git add secrets \
             && git -c user.name=a -c user.email=a@b commit -q -S -m x && rm -f ran")
        .exits(0);
    let shown = workspace.vaultix("-p web1.json explain wifi").exits(0).stdout;
    assert!(shown.contains("changed: 20") && !workspace.path("ran").exists(), "{shown}");
    // As a control: git runs it.
    workspace.sh("git log -1 >/dev/null").exits(0);
    assert!(workspace.path("ran").exists());
}
