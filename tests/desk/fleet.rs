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
    let me = workspace.key("me.txt");
    let me = me.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let me: age::x25519::Recipient = me.parse().unwrap();
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
