# a machine boots, has its secrets and its users, and switches; another has a secret that cannot be decrypted.
#
# Keys, secrets and cache are those of tests/nix/flake.
{ self }:
let
  flake = ../tests/nix/flake;

  common =
    { config, ... }:
    {
      imports = [ self.nixosModules.default ];
      services.userborn.enable = true;
      users.users.alice = {
        isNormalUser = true;
        hashedPasswordFile = config.vaultix.secrets.password.path;
      };
      users.users.app = {
        isSystemUser = true;
        group = "app";
      };
      users.groups.app = { };

      # In the store, for all to read: a test has nothing to hide.
      environment.etc."vaultix-host-key" = {
        source = flake + "/host_key";
        mode = "0400";
      };
      vaultix = {
        settings = {
          inherit flake;
          hostIdentifier = "machine";
          hostPubkey = flake + "/host_key.pub";
          hostKeys = [
            {
              path = "/etc/vaultix-host-key";
              type = "ed25519";
            }
          ];
        };
        beforeUserborn = [ "password" ];
        secrets.password = { };
        secrets.hello = {
          owner = "app";
          mode = "0440";
          restartUnits = [ "reader.service" ];
        };
        templates."app.conf" = {
          content = "greeting = ${config.vaultix.placeholder.hello}";
          path = "/var/lib/app/app.conf";
        };
      };
      # An ordinary service, without any order of its own.
      systemd.services.reader = {
        wantedBy = [ "multi-user.target" ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          StandardOutput = "append:/var/log/reader";
        };
        script = "cat ${config.vaultix.secrets.hello.path}; echo";
      };
    };
in
{
  name = "vaultix";

  nodes = {
    machine = {
      imports = [ common ];
      system.switch.enable = true;
    };
    # What `machine` switches to.
    next = {
      imports = [ common ];
      vaultix.secrets.hello.file = flake + "/secrets/changed.age";
    };
    faulty = {
      imports = [ common ];
      vaultix.secrets.broken = { };
    };
  };

  testScript =
    { nodes, ... }:
    ''
      machine.start()
      faulty.start()

      with subtest("secrets are there when services start"):
          machine.wait_for_unit("multi-user.target")
          machine.succeed("test hello = $(cat /run/vaultix/hello)")
          machine.succeed("test 'app:app 440' = \"$(stat -L -c '%U:%G %a' /run/vaultix/hello)\"")
          machine.succeed("test ramfs = $(findmnt -n -o FSTYPE /run/vaultix.d)")
          machine.succeed("test 'greeting = hello' = \"$(cat /var/lib/app/app.conf)\"")
          machine.succeed("test hello = $(cat /var/log/reader)")
          machine.succeed("systemctl is-active ${nodes.machine.vaultix.secrets.hello.unit}")

      with subtest("a user has the password of an early secret"):
          machine.succeed("test -n \"$(cat ${nodes.machine.vaultix.secrets.password.path})\"")
          machine.succeed("grep -F \"alice:$(cat ${nodes.machine.vaultix.secrets.password.path}):\" /etc/shadow")

      with subtest("nothing failed"):
          machine.succeed("test 0 = $(systemctl --failed --no-legend | wc -l)")

      with subtest("a switch replaces what changed and restarts who reads it"):
          machine.succeed("${nodes.next.system.build.toplevel}/bin/switch-to-configuration test")
          machine.succeed("test changed = $(cat /run/vaultix/hello)")
          machine.succeed("test 'greeting = changed' = \"$(cat /var/lib/app/app.conf)\"")
          machine.wait_until_succeeds("test changed = $(tail -n 1 /var/log/reader)")

      with subtest("a secret that cannot be decrypted fails alone"):
          faulty.wait_for_unit("multi-user.target")
          faulty.fail("systemctl is-active ${nodes.faulty.vaultix.secrets.broken.unit}")
          faulty.succeed("test 65 = $(systemctl show -P ExecMainStatus ${nodes.faulty.vaultix.secrets.broken.unit})")
          faulty.succeed("test hello = $(cat /run/vaultix/hello)")
          faulty.fail("test -e /run/vaultix/broken")
          faulty.succeed("journalctl -u ${nodes.faulty.vaultix.secrets.broken.unit} | grep -F broken")

      with subtest("and a switch to it is refused before anything is touched"):
          machine.fail("${nodes.faulty.system.build.toplevel}/bin/switch-to-configuration test")
          machine.succeed("test changed = $(cat /run/vaultix/hello)")
    '';
}
