//! a host with an older release + an upgrade → it runs this one.

use xtask::previous::PREVIOUS;
use xtask::system::System;

use crate::support::{Scenario, secret_unit};

/// A host boots with the programs of the previous release, and an upgrade puts those of this one into their place.
pub fn the_previous_release_boots(system: System) {
    let mut host = Scenario::previous(system, "previous", PREVIOUS);
    host.secret("token", "hunter2");
    let boot = host.run(
        r"
        note before systemctl show --property=ExecStart vaultix-secret@token.service vaultix-switch.service
        note token cat /run/vaultix/token
        upgrade
        systemctl daemon-reload
        note after systemctl show --property=ExecStart vaultix-secret@token.service vaultix-switch.service
        ",
    );
    assert_eq!(boot.text("token"), "hunter2");
    assert_eq!(boot.unit_at("boot", &secret_unit("token"))["ActiveState"], "active");
    for (snapshot, place) in [("before", "/opt/previous/bin/"), ("after", "/opt/vaultix/bin/")] {
        let text = boot.text(snapshot);
        assert_eq!(text.matches("path=").count(), 2, "{text}");
        assert_eq!(text.matches(&format!("path={place}vaultix-decrypt")).count(), 2, "{text}");
    }
}
