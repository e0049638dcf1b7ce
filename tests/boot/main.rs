//! installed product + profiles → what real systemds do with them.
//!
//! Each scenario is one boot in a container and asserts many things; it runs on systemd 252 and 257.
//! Needs root. `cargo xtask test` installs what else it needs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::too_many_lines, reason = "a scenario is one story, told in order")]

#[path = "../prefix.rs"]
mod prefix;
mod support;

/// What arrives at boot, where, and when.
mod arrival;

/// What is needed before there are users.
mod early;

/// What a user tries by other ways.
mod again;

/// What is on a disk from an earlier boot.
mod earlier;

/// An identity that a host makes for itself, and what becomes of it.
mod enroll;

/// How much each unit may do.
mod exposure;

/// What fails, how it says so, and what does not fail with it.
mod failure;

/// What a fault at any system call leaves.
mod fault;

/// What others can see of a secret.
mod isolation;

/// What the owner of a secret can do to its file: read it.
mod tamper;

/// Host keys, right and wrong.
mod key;

/// Users who place their own secrets.
mod home;

/// What a host goes through later on.
mod life;

/// Very many, very large, very fast.
mod load;

/// Items with a path of their own.
mod path;

/// One process that places all items.
mod placing;

/// What an owner can do on the way to a path.
mod owner;

/// What `nix/profile.nix` writes, unchanged.
mod nix;

/// What restarting and reloading does.
mod restart;

/// Ciphertexts that are made to take time.
mod slow;

/// Another profile on a running host.
mod switch;

/// Where plaintexts must not be.
mod canary;

/// Texts with secrets in them.
mod template;

/// From an older release to this one.
mod upgrade;

/// Makes a test of each scenario for each system that it is listed for.
macro_rules! scenarios {
    ($($system:ident = $which:ident { $($module:ident :: $scenario:ident,)+ })+) => {
        $(mod $system {
            use xtask::system::System;
            $(#[test] fn $scenario() {
                crate::support::run_on(System::$which, crate::$module::$scenario);
            })+
        })+
    };
}

/// Lists the scenarios that run on both systems, and after them those that need the newer one.
macro_rules! on_both {
    ($($module:ident :: $scenario:ident,)+; $($newer:ident :: $new:ident,)+) => {
        scenarios! {
            bookworm = Bookworm { $($module :: $scenario,)+ }
            trixie = Trixie { $($module :: $scenario,)+ $($newer :: $new,)+ }
        }
    };
}

on_both! {
    arrival::every_secret_arrives,
    arrival::a_plain_service_waits,
    arrival::unusual_names_are_placed,
    arrival::a_thousand_secrets,
    arrival::every_kind_of_host_key,
    arrival::readable_until_services_stop,
    arrival::the_helper_has_few_rights,
    placing::a_slow_item_among_ten,
    placing::a_process_that_dies_is_no_failure_of_items,
    placing::units_start_once_the_boot_is_over,
    placing::a_path_below_a_late_mount,
    placing::the_network_finds_its_secret,
    placing::units_that_start_early_find_their_secrets,
    failure::four_of_ten,
    failure::a_bad_item_fails_alone,
    failure::an_invalid_profile,
    failure::no_profile,
    failure::no_mount,
    failure::turned_off,
    failure::turned_on_again,
    failure::a_private_key_is_not_printed,
    failure::a_directory_in_place_of_the_link,
    early::a_password_is_there_before_users,
    early::users_are_made_without_their_password,
    early::a_key_on_a_late_mount,
    key::each_key_is_tried,
    key::a_key_that_is_a_mount_point,
    enroll::a_fresh_host,
    enroll::a_key_is_replaced,
    enroll::a_sealed_host,
    template::templates_are_rendered,
    switch::every_kind_of_change,
    switch::first_activation,
    switch::ten_switches,
    switch::a_consumer_that_fails,
    switch::nixos_restarts_some_units_itself,
    switch::the_second_run_repeats_the_first,
    switch::bound_folders_see_every_switch,
    switch::what_no_switch_finished_is_removed,
    path::paths_of_their_own,
    path::old_paths_are_removed,
    path::consumers_are_notified_once_the_path_is_there,
    path::two_names_of_one_place,
    earlier::what_an_earlier_boot_left,
    owner::a_silent_ciphertext_waits_alone,
    owner::exchanged_links_lead_nowhere,
    owner::a_silent_file_system_waits_alone,
    life::a_late_key_is_enough,
    life::only_the_missing_key_is_waited_for,
    life::a_key_whose_file_system_comes_late,
    life::a_key_is_late_for_a_switch,
    life::rescue_and_the_mount,
    restart::consumers_are_notified_of_changes_only,
    restart::units_of_users_are_notified,
    restart::dependencies_of_their_own,
    restart::a_profile_that_was_replaced_meanwhile,
    restart::a_switch_whose_profile_is_replaced_meanwhile,
    restart::reload_of_systemd_keeps_all,
    nix::a_profile_that_nix_made,
    canary::no_plaintext_leaves_the_ramfs,
    isolation::other_users_never_see_a_secret,
    tamper::owners_can_only_read,
    tamper::no_lease_and_no_lock_stops_a_switch,
    slow::large_headers_cost_nobody_anything,
    load::many_secrets_and_many_switches,
    load::a_very_large_secret,
    load::a_ramfs_that_fills_the_memory,
    load::restarts_in_a_row_and_at_once,
    load::two_switches_at_once,
    load::accounts_are_being_written,
    load::a_clock_that_went_back,
    again::nothing_else_works,
    exposure::each_unit_may_do_less_than_before,
    upgrade::a_switch_loses_nothing,
    upgrade::a_restart_loses_nothing,
    ;
    // systemd 252 does not boot without CAP_SYS_ADMIN.
    failure::not_a_ramfs,
    failure::mounts_from_outside,
    // And has no soft reboot.
    life::soft_reboot,
}

/// What shows that a search finds what it looks for.
mod controls {
    use xtask::system::System;

    #[test]
    fn a_leak_is_seen() {
        crate::support::run_on(System::Bookworm, crate::canary::a_leak_is_seen);
    }

    #[test]
    fn exchanged_links_led_to_root() {
        crate::support::run_on(System::Bookworm, crate::owner::exchanged_links_led_to_root);
    }

    #[test]
    fn owners_could_write() {
        crate::support::run_on(System::Bookworm, crate::tamper::owners_could_write);
    }

    #[test]
    fn a_boot_with_a_leak_fails() {
        crate::support::run_on(System::Bookworm, crate::canary::a_boot_with_a_leak_fails);
    }
}

/// What needs root, but no other system.
mod enrolment {
    #[test]
    fn never_two_nor_half_an_identity() {
        crate::support::run_as_root(crate::enroll::never_two_nor_half_an_identity);
    }

    #[test]
    fn never_two_nor_half_a_sealed_identity() {
        crate::support::run_as_root(crate::enroll::never_two_nor_half_a_sealed_identity);
    }

    #[test]
    fn places_that_are_refused() {
        crate::support::run_as_root(crate::enroll::places_that_are_refused);
    }
}

/// Makes a test of each fault in the helper, on a ramfs but without any systemd.
macro_rules! faults {
    ($($fault:ident,)+) => {
        mod faults {
            $(#[test] fn $fault() {
                crate::support::run_as_root(crate::fault::$fault);
            })+
        }
    };
}

faults! {
    systemd_cannot_be_reached,
    memory_is_wiped_at_the_end,
    memory_is_wiped_of_post_quantum_keys,
    first_secret,
    whole_boot,
    whole_early_boot,
    first_activation,
    changed_secret,
    early_switch,
    whole_switch,
}
