//! ten thousand pairs of a secret and a host → every copy under its name, while memory does not
//! grow with their number.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use age::ssh;
use pretty_assertions::assert_eq;
use sha2::{Digest, Sha256};
use xtask::canary::{marked, plain};

use crate::pty::Pty;
use crate::support::{Workspace, run};

/// Makes a workspace with `secrets` secrets that all of `hosts` hosts use. Returns it with `-p`
/// options for all of them.
fn fleet(name: &str, secrets: usize, hosts: usize) -> (Workspace, String) {
    let workspace = Workspace::new(name);
    let me = me(&workspace);
    let ids: Vec<String> = (0..secrets).map(|i| format!("s{i}")).collect();
    for id in &ids {
        workspace.write(
            &format!("secrets/{id}.age"),
            age::encrypt(&me, &marked(text(id).as_bytes())).unwrap(),
        );
    }
    let ids: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    let mut profiles = String::new();
    for host in 0..hosts {
        workspace.profile(&format!("h{host}"), &format!("{}.pub", key(host)), &ids);
        write!(profiles, "-p h{host}.json ").unwrap();
    }
    (workspace, profiles)
}

/// Returns our recipient.
fn me(workspace: &Workspace) -> age::x25519::Recipient {
    let me = workspace.key("me.txt");
    me.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().parse().unwrap()
}

/// Returns the text of a secret.
fn text(id: &str) -> String {
    format!("text of {id}")
}

/// Returns the name of the key file of a host.
fn key(host: usize) -> &'static str {
    ["host-web1", "host-db1"][host % 2]
}

/// Returns the name of the copy of `id` for `recipient`, computed independently of the product.
fn name(workspace: &Workspace, id: &str, recipient: &str) -> String {
    let source = Sha256::digest(workspace.read(&format!("secrets/{id}.age")));
    let recipient = recipient.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    format!("{:x}", Sha256::digest(format!("vaultix-v1\n{source:x}\n{recipient}\n")))
}

/// Returns what the cache should contain: texts by path.
fn wanted(workspace: &Workspace, secrets: usize, hosts: usize) -> BTreeMap<String, String> {
    let keys = [workspace.key("host-web1.pub"), workspace.key("host-db1.pub")];
    let copies = (0..secrets).flat_map(|i| {
        let id = format!("s{i}");
        let names = keys.clone().map(|key| name(workspace, &id, &key));
        (0..hosts).map(move |host| (format!("h{host}/{}", names[host % 2]), text(&id)))
    });
    copies.collect()
}

/// Returns what the cache contains, decrypted with the keys of the hosts.
fn found(workspace: &Workspace) -> BTreeMap<String, String> {
    let keys = ["host-web1", "host-db1"]
        .map(|name| ssh::Identity::from_buffer(workspace.key(name).as_bytes(), None).unwrap());
    let open = |(path, _): (String, u64)| {
        let host: usize = path[1..].split('/').next().unwrap().parse().unwrap();
        let ciphertext = fs::read(workspace.path(&format!("secrets/cache/{path}"))).unwrap();
        let text = age::decrypt(&keys[host % 2], &ciphertext).unwrap();
        (path, String::from_utf8(plain(&text)).unwrap())
    };
    workspace.tree("secrets/cache").into_iter().map(open).collect()
}

#[test]
fn ten_thousand_copies_are_all_there() {
    for (secrets, hosts) in [(1000, 10), (50, 200)] {
        let (workspace, profiles) = fleet(&format!("fleet-{secrets}-{hosts}"), secrets, hosts);
        let wanted = wanted(&workspace, secrets, hosts);
        assert_eq!(wanted.len(), 10_000);

        let plan = workspace.vaultix(&format!("{profiles} renc --dry-run")).exits(0);
        assert_eq!(plan.stderr, "10000 to re-encrypt, 0 up to date, 0 to remove\n");
        let mut lines: Vec<&str> = plan.stdout.lines().collect();
        let mut all: Vec<String> = (0..secrets)
            .flat_map(|i| {
                (0..hosts).map(move |host| format!("h{host}/s{i}: re-encrypt secrets/s{i}.age"))
            })
            .collect();
        lines.sort_unstable();
        all.sort_unstable();
        assert!(lines == all, "each pair stands in the plan, once");

        let done = workspace.vaultix(&format!("{profiles} renc -i keys/me.txt")).exits(0);
        assert_eq!(done.stdout, "");
        assert_eq!(done.stderr.lines().count(), 10_001, "a line for each copy, and the count");
        assert!(!done.stderr.contains(['\r', '\x1b']), "no progress where nobody watches");
        assert!(found(&workspace) == wanted, "each copy has its name, and opens to its text");
        workspace
            .vaultix(&format!("{profiles} check"))
            .exits(0)
            .says(&["10000 up to date, 0 problems"]);
    }
}

#[test]
fn each_host_has_its_values_of_one_file_and_nothing_else() {
    const VALUES: usize = 1000;
    const HOSTS: usize = 20;
    let workspace = Workspace::new("fleet-values");
    let marked = |text: &str| String::from_utf8(marked(text.as_bytes())).unwrap();
    let mut file = format!("shared: {}\n", marked("of all"));
    for i in 0..VALUES {
        writeln!(file, "v{i}: {}", marked(&text(&i.to_string()))).unwrap();
    }
    workspace
        .write("secrets/all.yaml.age", age::encrypt(&me(&workspace), file.as_bytes()).unwrap());
    let mut profiles = String::new();
    let (mut wanted, mut names) = (BTreeMap::new(), BTreeMap::new());
    let source = Sha256::digest(workspace.read("secrets/all.yaml.age"));
    for host in 0..HOSTS {
        let own = (0..VALUES)
            .filter(|i| i % HOSTS == host)
            .map(|i| (format!("v{i}"), text(&i.to_string())));
        let own: Vec<(String, String)> =
            own.chain([("shared".to_owned(), "of all".to_owned())]).collect();
        let ids: Vec<(&str, &str)> = own.iter().map(|(id, _)| (id.as_str(), "all.yaml")).collect();
        let recipient = workspace.key(&format!("{}.pub", key(host)));
        let recipient = recipient.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        workspace.profile_with(&format!("h{host}"), &recipient, &ids, |profile| {
            for (id, _) in &own {
                profile["secrets"][id]["key"] = format!("/{id}").into();
            }
        });
        write!(profiles, "-p h{host}.json ").unwrap();
        for (id, text) in own {
            let name = format!("vaultix-v1\n{source:x}\n{recipient}\n/{id}\nyaml\n");
            let name = format!("h{host}/{:x}", Sha256::digest(name));
            names.insert(name.clone(), id);
            wanted.insert(name, text);
        }
    }
    let done = workspace.vaultix(&format!("{profiles} renc -v -i keys/me.txt")).exits(0);
    assert_eq!(done.stderr.matches("decrypting secrets/all.yaml.age").count(), 1, "once for all");
    let found: BTreeMap<String, String> = found(&workspace);
    assert!(found == wanted, "each host has its values, and opens nothing else: {names:?}");
    let other = ssh::Identity::from_buffer(workspace.key(key(1)).as_bytes(), None).unwrap();
    for (path, _) in workspace.tree("secrets/cache/h0") {
        let ciphertext = fs::read(workspace.path(&format!("secrets/cache/h0/{path}"))).unwrap();
        assert!(age::decrypt(&other, &ciphertext).is_err(), "another host opens {path}");
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_copies() {
    let (workspace, profiles) = fleet("fleet-memory", 1000, 10);
    // Peak memory in KiB.
    let memory = |options: &str| -> f64 {
        let line = format!("vaultix {profiles} renc -q -i keys/me.txt {options}");
        let mut time = workspace.command("time");
        let done = run(time.args(["--format", "%M"]).args(line.split_whitespace())).exits(0);
        done.stderr.lines().last().unwrap().parse().unwrap()
    };
    let few = memory("--host h0 --cache one");
    let many = memory("");
    let grown = many / few;
    assert!(grown < 2.0, "{few} KiB for 1000 copies, {many} KiB for 10000");
}

#[test]
fn progress_is_shown_on_a_terminal() {
    let (workspace, profiles) = fleet("fleet-progress", 250, 10);
    let renc = format!("{profiles} renc -i keys/me.txt");
    let mut pty = Pty::start(&mut workspace.vaultix_command(&renc));
    pty.expect("\r\x1b[Kre-encrypting: ");
    pty.expect(" of 2500 (");
    pty.expect("/s)");
    let (exit, shown) = pty.end();
    assert_eq!(exit, 0, "{shown}");
    assert!(shown.ends_with("2500 re-encrypted, 0 up to date, 0 removed\r\n"));

    let mut pty = Pty::start(&mut workspace.vaultix_command(&format!("{renc} -q --cache other")));
    pty.expect("2500 re-encrypted");
    let (_, shown) = pty.end();
    assert_eq!(shown, "2500 re-encrypted, 0 up to date, 0 removed\r\n");
}
