//! the profile that Nix makes, to the letter → what a host does with it.

use xtask::system::System;

use crate::support::{Scenario, secret_unit, template_unit};

/// The profile that `tests/nix/run` compares with what Nix makes of options: an early secret with a consumer, and a
/// template of it at a path of its own, with an owner that is made at boot.
pub fn a_profile_that_nix_made(system: System) {
    let mut host = Scenario::new(system, "nix");
    let text = include_str!("../nix/profile/host.json");
    *host.profile() = serde_json::from_str(text).unwrap();
    host.encrypted("/nix/store/xyz-wifi.age", "hunter2");
    host.file("/etc/sysusers.d/app.conf", "u app 4711\n");
    host.consumer("iwd", "/run/vaultix-for-user/wifi");
    let boot = host.run(
        r"
        note wifi cat /run/vaultix-for-user/wifi
        note app cat /var/lib/app/app.conf
        note app.stat stat -L --format='%a %U %G' /var/lib/app/app.conf
        note link readlink /var/lib/app/app.conf
    ",
    );
    assert_eq!(boot.failed("final"), [""; 0]);
    assert_eq!(boot.text("wifi"), "hunter2");
    assert_eq!(boot.text("app"), "hunter2");
    assert_eq!(boot.text("app.stat"), "440 app app");
    assert_eq!(boot.text("link"), "/run/vaultix/app.conf");
    assert_eq!(boot.text("iwd.log").lines().next(), Some("start hunter2"));
    for unit in [secret_unit("wifi"), template_unit("app.conf")] {
        assert_eq!(boot.unit(&unit)["ActiveState"], "active", "{unit}");
    }
}
