//! files that their owners change, lease and stretch → nothing of that reaches anybody else.

use serde_json::json;
use xtask::system::System;

use crate::support::{Scenario, placeholder, template_unit};

/// What the user 4242 does to the file of the secret `db`; with the times it had, as one who hides it.
const TAMPER: &str = "
tamper() {
    touch -r /run/vaultix/db /run/times
    setpriv --reuid=4242 --regid=4242 --clear-groups sh -c '
        chmod 600 /run/vaultix/db; printf \"x\\nINJECTED\" >/run/vaultix/db; chmod 400 /run/vaultix/db'
    touch -r /run/times /run/vaultix/db
}
";

/// The owner of a secret writes into its file, and into that of nobody else.
pub fn an_owner_writes_into_his_own_file_alone(system: System) {
    let mut host = Scenario::new(system, "tamper");
    host.nixos();
    host.file("/etc/users", "");
    host.secret_with("db", "12345678", json!({ "owner": "4242" }));
    host.profile()["placeholder"] = json!({ "db": placeholder("db") });
    host.profile()["templates"] =
        json!({ "conf": { "content": format!("User=app\nPassword={}", placeholder("db")) } });
    let mut profile = host.profile().clone();
    profile["templates"]["conf"]["content"] =
        format!("# new\nUser=app\nPassword={}", placeholder("db")).into();
    host.next("template", &profile);
    profile["secrets"]["db"]["owner"] = "5353".into();
    host.next("owner", &profile);
    let boot = host.run(&format!(
        r"
        {TAMPER}
        tamper
        note restart systemctl restart vaultix-template@conf.service
        note restart.conf cat /run/vaultix/conf
        switch_to template
        settle
        note template.conf cat /run/vaultix/conf
        note template.db cat /run/vaultix/db
        tamper
        switch_to owner
        settle
        note owner.db cat /run/vaultix/db
        tamper
        note again systemctl restart vaultix-secret@db.service
        settle
        note again.db cat /run/vaultix/db
        note again.conf cat /run/vaultix/conf
        "
    ));
    assert_eq!(boot.text("restart.conf"), "User=app\nPassword=12345678", "it is left as it was");
    assert_eq!(boot.status("restart"), 1);
    boot.assert_error(
        &template_unit("conf"),
        &[
            "the secret \"db\" is not as it was placed",
            "systemctl restart 'vaultix-secret@db.service'",
        ],
    );
    let rendered = "# new\nUser=app\nPassword=12345678";
    assert_eq!(boot.text("template.conf"), rendered, "a switch decrypts again what was changed");
    assert_eq!(boot.text("template.db"), "12345678");
    assert_eq!(boot.text("owner.db"), "12345678", "its next owner gets what was encrypted");
    assert_eq!(boot.status("again"), 0);
    assert_eq!(boot.text("again.db"), "12345678");
    assert_eq!(boot.text("again.conf"), rendered);
}

/// A file that its owner has made larger than all memory, or keeps under a lease, stops neither its own item nor others.
pub fn no_file_of_an_owner_stops_a_switch(system: System) {
    let mut host = Scenario::new(system, "stretch");
    host.nixos();
    host.file("/etc/users", "");
    host.secret_with("db", "db-v1", json!({ "owner": "4242" }));
    host.secret_with("leased", "leased-v1", json!({ "owner": "4242" }));
    host.secret_with("token", "token-v1", json!({ "path": "/run/home/token", "owner": "4242" }));
    let mut profile = host.profile().clone();
    for id in ["db", "leased", "token"] {
        profile["secrets"][id]["cipher"] =
            host.store(&format!("{id}-v2"), format!("{id}-v2")).into();
    }
    profile["secrets"]["third"] = json!({ "cipher": host.store("third", "third-v1") });
    host.next("two", &profile);
    host.file(
        "/lease.pl",
        "use Fcntl; $SIG{IO} = 'IGNORE'; open(my $file, '+<', '/run/vaultix/leased') or die;\n\
         fcntl($file, 1024, F_WRLCK) or die 'no lease'; open(F, '>', '/run/leased'); close F; sleep 1000;\n",
    );
    let boot = host.run(
        r"
        as() { setpriv --reuid=4242 --regid=4242 --clear-groups -- $@; }
        chmod 777 /run
        chown 4242 /run/home
        as chmod 600 /run/vaultix/db /run/vaultix/leased
        as truncate -s 100T /run/vaultix/db
        as rm /run/home/token
        as truncate -s 15T /run/home/token
        as perl /lease.pl &
        await /run/leased
        note two timeout 30 bash -c '. /prelude; switch_to two'
        settle
        note two.db tail -n 1 /run/vaultix/db
        note two.leased cat /run/vaultix/leased
        note two.third cat /run/vaultix/third
        note two.token stat --format=%s /run/home/token
        note two.generations ls /run/vaultix.d
        # It would be searched for plaintexts to its end.
        rm /run/home/token
        ",
    );
    assert_eq!(boot.text("two.db"), "db-v2");
    assert_eq!(boot.text("two.leased"), "leased-v2");
    assert_eq!(boot.text("two.third"), "third-v1");
    assert_eq!(boot.text("two.token"), "16492674416640", "what is not ours stays");
    assert_eq!(boot.status("two"), 4, "and the item that cannot go there fails, alone");
    boot.assert_error("vaultix-switch.service", &["\"token\"", "a file that is not ours"]);
    assert_eq!(boot.text("two.generations").lines().count(), 1, "the old one is gone");
}
