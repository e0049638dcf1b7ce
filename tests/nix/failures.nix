# name → a module that makes ./good.nix invalid in one way.
#
# The messages are in messages/NAME.txt. generator/tests/nix.rs runs the profiles through the generator.
{ lib }:
let
  # A throw-away identity, from the documentation of the age crate.
  identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

  inputs = {
    self.outPath = "/nix/store/00000000000000000000000000000000-source";
    secrets.outPath = toString ./flake;
  };

  # The home of alice, with what is in `vaultix`.
  home = vaultix: {
    imports = [ (import ./home.nix { inherit lib; }).system ];
    home-manager.users.alice = {
      imports = [ ../../nix/home-module.nix ];
      inherit vaultix;
    };
  };
  file = ./flake/secrets/hello.age;
in
{
  # The secrets and their cache are in another repository.
  cache-input = {
    _module.args.inputs = inputs;
    vaultix.secrets.new = { };
  };

  cache-missing.vaultix.secrets.new = { };

  cache-stale.vaultix.settings.hostPubkey = lib.mkForce "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlrgSeCFlHTIgediv8iaOVr+4iigZa54kc9wKL+bHZG";

  clash-directory.vaultix.templates."web".content = "x";

  clash-id.vaultix.templates.password.content = "x";

  clash-name.vaultix.templates.x = {
    content = "x";
    name = "web/hello";
  };

  clash-path.vaultix.templates.x = {
    content = "x";
    path = "/var/lib/app/app.conf";
  };

  directories-overlap.vaultix.settings.decryptedMountPoint = "/run/vaultix/d";

  early-group.vaultix.secrets.password.group = "web";

  early-owner.vaultix.secrets.password.owner = "nginx";

  early-template =
    { config, ... }:
    {
      vaultix.beforeUserborn = [ "x" ];
      vaultix.templates.x.content = "${config.vaultix.placeholder.hello} ${config.vaultix.placeholder.password}";
    };

  early-unknown.vaultix.beforeUserborn = [ "pasword" ];

  flake-unknown.vaultix.settings.flake = lib.mkForce null;

  home-clash = home {
    secrets.mail = { inherit file; };
    templates.mail.content = "x";
  };

  home-early = {
    imports = [ (home { secrets.mail = { inherit file; }; }) ];
    vaultix.beforeUserborn = [ "alice/mail" ];
  };

  home-outside = home {
    secrets.mail = {
      inherit file;
      path = "/etc/profile.d/mail.sh";
    };
    templates.x = {
      content = "x";
      path = "/home/alice2/x";
    };
  };

  home-path = home {
    secrets.mail = {
      inherit file;
      path = "/run/vaultix/bob/mail";
    };
  };

  home-placeholder = home {
    templates.x.content = "{{ 81c4b7f7e0549f1514e9cae97cf40cf133920418d3dc71bedbf60ec9bd6148cb }}";
  };

  home-source = home { secrets.mail = { }; };

  # The root is in memory, and only /persist is not.
  enroll-memory = {
    fileSystems."/".fsType = "tmpfs";
    fileSystems."/persist" = {
      fsType = "ext4";
      neededForBoot = true;
    };
    vaultix.settings.enroll = true;
    vaultix.settings.hostPubkey = lib.mkForce "";
    vaultix.settings.hostKeys = [
      {
        path = "/persist/host.age";
        type = "age";
      }
      {
        path = "/var/lib/vaultix/host.age";
        type = "age";
      }
    ];
  };

  enroll-place = {
    vaultix.settings.enroll = true;
    vaultix.settings.hostPubkey = lib.mkForce "";
    vaultix.settings.hostKeys = [
      {
        path = "/etc/ssh/ssh_host_ed25519_key";
        type = "ed25519";
      }
    ];
  };

  enroll-sealed = {
    fileSystems."/".fsType = "tmpfs";
    vaultix.settings.enroll = true;
    vaultix.settings.hostPubkey = lib.mkForce "";
    vaultix.settings.hostKeys = [
      {
        path = "/var/lib/vaultix/host.cred";
        type = "credential";
      }
    ];
  };

  # `hello` is one of the host.
  home-template = home { templates.x.file = ./flake/app.conf; };

  home-unit = home {
    secrets.mail = {
      inherit file;
      restartUnits = [ "mail" ];
    };
  };

  home-value = home {
    secrets.mail = {
      inherit file;
      key = "smtp/password";
    };
  };

  id-empty.vaultix.secrets."" = {
    file = ./flake/secrets/hello.age;
    name = "x";
  };

  insert-hash.vaultix.secrets.hello.insert.token.content = "x";

  intermediary-early.vaultix = {
    beforeUserborn = [ "root" ];
    secrets.root.intermediary = true;
  };

  intermediary-template =
    { config, ... }:
    {
      vaultix.secrets.root.intermediary = true;
      vaultix.templates.x.content = config.vaultix.placeholderAs.url.root;
    };

  key-bound.fileSystems."/etc/ssh/ssh_host_ed25519_key".fsType = "none";

  key-late = {
    fileSystems."/persist".fsType = "ext4";
    vaultix.settings.hostKeys = [
      {
        path = "/persist/ssh/host_key";
        type = "ed25519";
      }
    ];
  };

  key-words.vaultix.settings.hostKeys = [
    {
      path = "/etc/ssh/ssh_host_ed25519_key";
      type = "ed25519";
    }
    {
      path = "/var/lib/vaultix/my host.cred";
      type = "credential";
    }
  ];

  # A sealed key takes another file.
  key-sealed = {
    fileSystems."/var/lib/systemd".fsType = "ext4";
    vaultix.settings.hostKeys = [
      {
        path = "/etc/ssh/ssh_host_ed25519_key";
        type = "ed25519";
      }
      {
        path = "/var/lib/vaultix/host.cred";
        type = "credential";
      }
    ];
  };

  key-network = {
    fileSystems."/srv/keys".fsType = "nfs";
    vaultix.beforeUserborn = lib.mkForce [ ];
    users.users.alice.hashedPasswordFile = lib.mkForce null;
    vaultix.settings.hostKeys = [
      {
        path = "/srv/keys/host_key";
        type = "ed25519";
      }
    ];
  };

  key-nonsense.vaultix.settings.hostPubkey = lib.mkForce "kHmR8ISMOgvDcsVkSpyYkpJ1UQ9wbYzQXgAK6P1iYlk=";

  key-empty.vaultix.settings.hostPubkey = lib.mkForce "";

  key-long.vaultix.settings.hostPubkey = lib.mkForce (lib.concatStrings (lib.genList (_: "age1") 9000));

  key-private.vaultix.settings.hostPubkey = lib.mkForce identity;

  key-private-block.vaultix.settings.hostPubkey = lib.mkForce ''
    -----BEGIN OPENSSH PRIVATE KEY-----
    b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
    -----END OPENSSH PRIVATE KEY-----
  '';

  key-private-comment.vaultix.settings.hostPubkey = lib.mkForce "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlrgSeCFlHTIgediv8iaOVr+4iigZa54kc9wKL+bHZG ${lib.toLower identity}";

  key-private-path.vaultix.settings.hostKeys = [
    {
      path = identity;
      type = "ed25519";
    }
  ];

  key-private-plugin.vaultix.settings.hostPubkey = lib.mkForce "AGE-PLUGIN-YUBIKEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72";

  key-private-spoilt.vaultix.settings.hostPubkey = lib.mkForce (
    lib.replaceStrings [ "SECRET" ] [ "SECRT" ] identity
  );

  value-empty.vaultix.secrets = {
    hello.key = [ ];
    password.key = "";
  };

  value-format.vaultix.secrets.hello.key = "smtp/password";

  value-pointer.vaultix.secrets.hello = {
    format = "json";
    key = "/smtp~2";
  };

  key-type.vaultix.settings.hostKeys = [
    {
      path = "/etc/ssh/ssh_host_rsa_key";
      type = "rsa";
    }
  ];

  # Nothing makes the key.
  key-unmade.services.openssh.enable = false;

  key-of-type.vaultix.settings.hostPubkey = lib.mkForce [ identity ];

  key-path-of-type.vaultix.settings.hostKeys = [
    {
      path = [ identity ];
      type = "ed25519";
    }
  ];

  name-reserved.vaultix.templates.x = {
    content = "x";
    name = ".vaultix/x";
  };

  # One misspelt, one switched off, and one that systemd makes while its service runs.
  owner-unknown = {
    users.users.off.enable = false;
    systemd.services.app.serviceConfig.DynamicUser = true;
    systemd.services.web.serviceConfig = {
      DynamicUser = "yes";
      User = "www";
    };
    vaultix.secrets = {
      hello = {
        owner = lib.mkForce "ngnix";
        group = "webb";
      };
      app = {
        inherit file;
        owner = "app";
      };
      number = {
        inherit file;
        owner = "1000";
        group = "100";
      };
      off = {
        inherit file;
        owner = "off";
      };
      "token.x" = {
        inherit file;
        owner = "ngnix";
        group = "www";
      };
    };
  };

  password-late.vaultix = {
    beforeUserborn = lib.mkForce [ ];
  };

  password-late-twin =
    { config, ... }:
    {
      vaultix.secrets.login.file = ./flake/secrets/hello.age;
      vaultix.templates.login = {
        content = "x";
        name = "other";
      };
      users.users.bob.hashedPasswordFile = config.vaultix.secrets.login.path;
    };

  path-in-generations.vaultix.templates.x = {
    content = "x";
    path = "/run/vaultix.d/1/x";
  };

  path-inside.vaultix.templates.x = {
    content = "x";
    path = "/run/vaultix/other";
  };

  path-late.vaultix.secrets.hello.path = "/run/vaultix-for-user/web/hello";

  placeholder-unknown.vaultix.templates.x.content =
    "{{ 81c4b7f7e0549f1514e9cae97cf40cf133920418d3dc71bedbf60ec9bd6148cb }}";

  placeholder-encoding =
    { config, ... }:
    {
      vaultix.templates.x.content = "${config.vaultix.placeholderAs.json.hello} ${
        lib.replaceStrings [ "json" ] [ "jsn" ] config.vaultix.placeholderAs.json.hello
      }";
    };

  template-file.vaultix.templates.x.file = ./flake/nowhere.conf;

  template-file-both.vaultix.templates.x = {
    content = "x";
    file = ./flake/app.conf;
  };

  template-file-encoding.vaultix.templates.x.file = ./flake/encoding.conf;

  template-file-unknown.vaultix.templates.x.file = ./flake/unknown.conf;

  source-input = {
    _module.args.inputs = inputs;
    vaultix.secrets.tls.file = ./flake/secrets/nowhere/tls.age;
  };

  source-missing.vaultix.secrets = {
    wifi = { };
    tls.file = ./flake/secrets/nowhere/tls.age;
  };

  source-missing-generated.vaultix.secrets = {
    wg.generator = "wireguard";
    api.generator = {
      kind = "command";
      command = [ "mint" ];
      dependencies = [ "wg" ];
    };
  };

  source-missing-some-generated.vaultix.secrets = {
    wg.generator = "wireguard";
    wifi = { };
  };

  unit-reload.vaultix.templates."app.conf".reloadUnits = [
    "nginx.service"
    "app@.service"
  ];

  unit-before.vaultix.secrets.hello = {
    reloadUnits = [ "run-vaultix.d.mount" ];
    restartUnits = [
      "nginx.service"
      "userborn.service"
    ];
  };

  before-disk = {
    fileSystems."/persist" = {
      fsType = "ext4";
      device = "/dev/mapper/data";
    };
    vaultix = {
      beforeUserborn = lib.mkForce [ ];
      settings.hostKeys = [
        {
          path = "/persist/ssh/host_key";
          type = "ed25519";
        }
      ];
      secrets.hello.before = [
        "cryptsetup-pre.target"
        "systemd-cryptsetup@data.service"
        "systemd-cryptsetup@other.service"
      ];
    };
    users.users.alice.hashedPasswordFile = lib.mkForce null;
  };

  before-name.vaultix.templates."app.conf".before = [ "systemd-cryptsetup@data" ];

  before-order.vaultix = {
    secrets.hello.before = [
      "dev-sda.device"
      "etc-ssh.mount"
      "graphical-session.target"
      "local-fs-pre.target"
      "run-vaultix.d.mount"
      "systemd-remount-fs.service"
      "vaultix.target"
    ];
    # Fine, but for the first.
    secrets.password.before = [
      "run.mount"
      "etc-ssh.mount"
      "local-fs-pre.target"
      "userborn.service"
    ];
    templates."app.conf".before = [ "userborn.service" ];
  };

  before-user = {
    systemd.user.services.mail = { };
    systemd.user.services.both = { };
    systemd.services.both = { };
    vaultix.secrets.hello.before = [
      "mail.service"
      "both.service"
    ];
  };

  unit-of-user.vaultix.secrets.hello.restartUserUnits.alice = [
    "mail.service"
    "mail"
  ];

  unit-restart.vaultix.secrets.hello.restartUnits = [ "nginx" ];

  reader-etc =
    { config, ... }:
    {
      environment.etc."app/token" = {
        mode = "0400";
        source = config.vaultix.secrets.hello.path;
      };
    };

  reader-initrd =
    { config, ... }:
    {
      boot.initrd.network.ssh.hostKeys = [ config.vaultix.secrets.hello.path ];
      boot.initrd.secrets = {
        "/run/vaultix/web/hello" = null;
        "/etc/key" = "/run/vaultix/other";
        "/etc/mine" = "/run/vaultix-mine/key";
      };
      boot.initrd.luks.devices = {
        data.keyFile = config.vaultix.secrets.hello.path;
        root.keyFile = "/keys/root";
        swap = { };
      };
    };

  reader-script =
    { config, ... }:
    {
      system.activationScripts = {
        token = {
          text = "install -m 600 ${config.vaultix.templates."app.conf".path} /srv/app.conf";
          deps = [ ];
        };
        # The usual way, which NixOS leaves a string, and what it makes of all.
        copy = "install -m 600 ${config.vaultix.secrets.hello.path} /srv/hello";
        script = "cat ${config.vaultix.secrets.hello.path}";
      };
    };

  reader-script-order.system.activationScripts = {
    mine = {
      text = "true";
      deps = [
        "agenixInstall"
        "etc"
      ];
    };
    etc.text = "";
  };

  # The text of the second is part of another, and the path of the third is copied alone.
  reader-trigger =
    { config, ... }:
    {
      vaultix.secrets.other.file = toString ./flake/secrets/hello.age;
      systemd.services = {
        app.restartTriggers = [ config.vaultix.secrets.other.file ];
        web.reloadTriggers = [ [ config.vaultix.secrets.other.file ] ];
        part.restartTriggers = [ "see ${config.vaultix.secrets.other.file}" ];
        path.restartTriggers = [ ./flake/secrets/hello.age ];
      };
    };

  reader-tmpfiles =
    { config, ... }:
    {
      systemd.tmpfiles.rules = [
        "C+ /srv/token 0400 root root - ${config.vaultix.secrets.hello.path}"
        "L+ /srv/link - - - - ${config.vaultix.secrets.hello.path}"
      ];
      systemd.tmpfiles.settings.app."/srv/other".C.argument = config.vaultix.secrets.hello.path;
    };

  reader-order.systemd = {
    services = {
      app = {
        requires = [ "sops-install-secrets.service" ];
        after = [
          "network.target"
          "sops-install-secrets.service"
        ];
      };
      fine.after = [ "network.target" ];
      late.unitConfig.After = "network.target agenix.service";
    };
    sockets.app.unitConfig.Requires = [ "agenix.service" ];
  };

  users-without-unit.services.userborn.enable = lib.mkForce false;
}
