//! ciphertexts that are made to take time and memory → they fail alone, and nobody waits.

use serde_json::json;
use xtask::system::System;

use crate::support::{Scenario, secret_unit};

/// Returns an age file of about so many bytes whose header is `stanza` over and over.
fn header(stanza: &str, size: usize) -> Vec<u8> {
    let word = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
    let stanzas = stanza.repeat(size / stanza.len());
    let mut file = format!("age-encryption.org/v1\n{stanzas}--- {word}\n").into_bytes();
    file.resize(file.len() + 64, b'x');
    file
}

/// Headers of every size, small stanzas and such as the host's key is tried on: nine other secrets arrive at boot, and a
/// switch in which only another one has changed brings that.
pub fn large_headers_cost_nobody_anything(system: System) {
    let mut host = Scenario::new(system, "headers");
    host.nixos();
    host.file("/etc/users", "");
    host.key("/etc/host-key", "age");
    let good: Vec<String> = (1..=9).map(|number| format!("good{number}")).collect();
    for id in &good {
        host.secret(id, format!("{id} v1"));
    }
    let word = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
    let fitting = format!("-> X25519 {word}\n{word}\n");
    let long = format!("-> {}\n\n", "k".repeat(300));
    let mib = 1 << 20;
    // 77: it was read, and the key was tried. 65: it was not.
    let bad = [
        ("small48", header("-> a b\n\n", 16_000), "77"),
        ("small240", header("-> a b\n\n", 240_000), "65"),
        ("fits48", header(&fitting, 48_000), "77"),
        ("fits240", header(&fitting, 240_000), "77"),
        ("large", header(&long, mib - 512), "77"),
        ("above", header(&long, mib + 512), "65"),
        ("ten-thousand", header("-> a\n\n", 60_000), "65"),
        ("arguments", header(&format!("-> a{}\n\n", " b".repeat(500_000)), mib), "77"),
    ];
    for (id, file, _) in &bad {
        host.ciphertext(id, Some(file), json!({}));
    }
    let mut profile = host.profile().clone();
    profile["secrets"]["good1"]["cipher"] = host.store("v2", "good1 v2").into();
    host.next("two", &profile);
    let boot =
        host.run("note boot.texts grep -r --exclude-dir=.vaultix '' /run/vaultix/\nswitch two");
    let has = |step: &str, id: &str, text: &str| {
        let line = format!("/run/vaultix/{id}:{text}");
        let texts = boot.text(&format!("{step}.texts"));
        assert!(texts.lines().any(|it| it == line), "{step}: {line} in {texts}");
    };
    for id in &good {
        has("boot", id, &format!("{id} v1"));
        assert_eq!(boot.unit_at("boot", &secret_unit(id))["ActiveState"], "active", "{id}");
    }
    has("two", "good1", "good1 v2");
    for (id, _, status) in &bad {
        let unit = boot.unit_at("boot", &secret_unit(id));
        assert_eq!(unit["ExecMainStatus"], *status, "{id}: {}", unit["Result"]);
        boot.assert_error("vaultix-switch.service", &[id]);
    }
    let long: Vec<usize> =
        boot.journal().iter().map(|line| line.message.len()).filter(|len| *len > 5000).collect();
    assert_eq!(long, [0; 0], "no message is as long as what it is about");
}
