# profile making on plain values, with builtins alone: for a nix without nixpkgs.
let
  makers = import ../../nix/profile.nix;
  cfg = {
    settings = {
      decryptedDir = "/run/vaultix";
      decryptedDirForUser = "/run/vaultix-for-user";
      decryptedMountPoint = "/run/vaultix.d";
      hostIdentifier = "machine";
      hostPubkey = "ssh-ed25519 AAAA root@machine\n";
      hostKeys = [
        {
          path = "/etc/ssh/ssh_host_ed25519_key";
          type = "ed25519";
          bits = 4096;
        }
      ];
      keepGenerations = 1;
      beforeNetwork = true;
      lateMounts = [ "/home" ];
      # What a host must never get.
      flake = throw "the flake was looked at";
      cache = throw "the cache was looked at";
    };
    secrets.wifi = {
      id = "wifi";
      file = "/nix/store/xyz-source/secrets/wifi.json.age";
      key = [
        "psk"
        "a/b"
      ];
      format = "json";
      name = "wifi";
      path = "/run/vaultix-for-user/wifi";
      mode = "0400";
      owner = "root";
      group = "root";
      symlink = true;
      allowDisk = false;
      insert."81c4b7f7e0549f1514e9cae97cf40cf133920418d3dc71bedbf60ec9bd6148cb" = {
        order = 0;
        content = "text";
        more = throw "more was looked at";
      };
      cleanPlaceholder = false;
      intermediary = false;
      rotate = "90d";
      generator = {
        kind = "alnum";
        length = 63;
        dependencies = [ ];
        user = null;
        command = [ ];
        _module = throw "the module was looked at";
      };
      restartUnits = [ "iwd.service" ];
      reloadUnits = [ ];
      restartUserUnits.alice = [ "mail.service" ];
      reloadUserUnits = { };
      before = [ "cryptsetup-pre.target" ];
      unit = throw "the unit was looked at";
    };
    secrets.root = {
      file = "/nix/store/xyz-source/secrets/root.age";
      key = null;
      intermediary = true;
      rotate = null;
      path = throw "the path of a secret that is nowhere was looked at";
      generator = {
        kind = "command";
        length = null;
        user = null;
        command = [ "mint" ];
        dependencies = [
          "wifi"
          {
            host = "db";
            secret = "root";
            _module = throw "the module was looked at";
          }
        ];
      };
    };
    templates."app.conf" = {
      content = "{{ debdc6fdb6c19c94ff78b653767bfac108d84ed51a54a58a72866dc635b15729 }}";
      trim = true;
      name = "app.conf";
      path = "/var/lib/app/app.conf";
      mode = "0440";
      owner = "app";
      group = "app";
      symlink = true;
      restartUnits = [ ];
      reloadUnits = [ "app.service" ];
      restartUserUnits = { };
      reloadUserUnits = { };
      before = [ ];
      unit = throw "the unit was looked at";
    };
    placeholder.wifi = "{{ debdc6fdb6c19c94ff78b653767bfac108d84ed51a54a58a72866dc635b15729 }}";
    placeholder.unknown = throw "a placeholder of no secret was looked at";
    beforeUserborn = [ "wifi" ];
    package = throw "the package was looked at";
  };
in
{
  host = builtins.toJSON (makers.host (id: "/nix/store/xyz-${id}.age") cfg);
  workspace = builtins.toJSON (makers.workspace cfg);
}
