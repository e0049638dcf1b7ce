# nixpkgs' lib → what the module and the flake's options make, for `run` to look at.
{ nixpkgsLib }:
let
  lib = import nixpkgsLib;
  host =
    modules:
    (import ./nixos.nix {
      inherit lib;
      modules = [ ./good.nix ] ++ modules;
    }).config;
  failed = config: map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
  messages = config: lib.concatStringsSep "\n" (failed config ++ config.warnings);

  good = host [ ];
  # Each kind of declaration that agenix documents.
  fromAgenix = host [
    ../../nix/agenix.nix
    (
      { config, ... }:
      {
        age.identityPaths = [
          "/persist/ssh_host_ed25519_key"
          "/persist/ssh_host_rsa_key"
          "/persist/host"
        ];
        age.secrets = {
          hello.file = ./flake/secrets/hello.age;
          other = {
            file = ./flake/secrets/hello.age;
            name = "app/other";
            path = "/var/lib/other/token";
            mode = "770";
            owner = "nginx";
            group = "web";
            symlink = false;
          };
        };
        systemd.services.app.serviceConfig.LoadCredential = "token:${config.age.secrets.hello.path}";
      }
    )
  ];
  # Two users, each with a secret of the same name.
  homes = import ./home.nix { inherit lib; };
  homely = host [
    homes.system
    {
      users.users.bob.group = "staff";
      home-manager.sharedModules = [ ../../nix/home-module.nix ];
      home-manager.users = {
        alice =
          { config, ... }:
          {
            # Also where another module brings it.
            imports = [ ../../nix/home-module.nix ];
            vaultix.secrets = {
              mail = {
                file = ./flake/secrets/hello.age;
                restartUnits = [ "mail.service" ];
                reloadUnits = [ "chat.service" ];
              };
              token = {
                file = ./flake/secrets/hello.age;
                name = "app/token";
                path = "${config.home.homeDirectory}/.config/app/token";
                mode = "0600";
                generator = {
                  kind = "command";
                  command = [ "mint" ];
                  dependencies = [
                    "mail"
                    "hello"
                  ];
                };
              };
            };
            vaultix.templates = {
              netrc.content = "login ${config.vaultix.placeholder.mail} ${config.vaultix.placeholderAs.url.token}";
              ini.file = ./flake/home.conf;
            };
            xdg.configFile."mail.conf".text = "passwordFile = ${config.vaultix.secrets.mail.path}";
          };
        bob.vaultix.secrets.mail = { };
        carol = { };
      };
      users.users.carol = { };
    }
  ];
  # A home of a host without our module, and a home of no host.
  strange = strangeOn "x86_64-linux";
  strangeOn =
    system: module:
    let
      inherit (import ./home.nix { inherit lib system; }) alone;
      home = alone [
        ../../nix/home-module.nix
        module
      ];
    in
    lib.concatMapStringsSep "\n" (a: a.message) (builtins.filter (a: !a.assertion) home.config.assertions);
  # A home of no host that has all it needs; its key is that of the flake's host, and so are its ciphertexts.
  aloneWith =
    modules:
    (homes.alone (
      [
        ../../nix/home-module.nix
        {
          vaultix.settings = {
            flake = ./flake;
            identifier = "machine";
            recipient = good.vaultix.settings.hostPubkey;
          };
        }
      ]
      ++ modules
    )).config;
  ofAlice = aloneWith [
    (
      { config, ... }:
      {
        vaultix.secrets = {
          mail = {
            file = ./flake/secrets/hello.age;
            restartUnits = [ "mail.service" ];
          };
          token = {
            file = ./flake/secrets/hello.age;
            path = "${config.xdg.configHome}/app/token";
          };
        };
        vaultix.templates.netrc.content = "login ${config.vaultix.placeholder.mail}";
      }
    )
  ];
  profileOf =
    home:
    builtins.fromJSON (
      builtins.unsafeDiscardStringContext home.xdg.configFile."vaultix/profile.json".source.text
    );
  unplaced = {
    vaultix.secrets.mail.file = ./flake/secrets/hello.age;
    vaultix.templates.netrc.content = "x";
  };
  contextOf = value: builtins.attrNames (builtins.getContext value);

  desk =
    arguments:
    import ../../nix/configure.nix {
      inherit lib;
      pkgsFor.x86_64-linux = {
        inherit lib;
        writeShellScriptBin = name: text: {
          type = "derivation";
          inherit name text;
        };
      };
      packagesOf = _: {
        vaultix = {
          type = "derivation";
          name = "vaultix";
          outPath = "/prefix";
          meta.mainProgram = "vaultix";
        };
      };
    } arguments;
  node = config: { inherit config; };
  fleet = {
    one = node good;
    two = node (host [ { networking.hostName = "two"; } ]);
    foreign = node { networking.hostName = "foreign"; };
    bare = { };
    idle =
      node
        (import ./nixos.nix {
          inherit lib;
          modules = [ ];
        }).config;
  };
  flake = desk {
    nodes = fleet;
    identity = "/home/me/identity.txt";
    extraPackages = [
      {
        type = "derivation";
        outPath = "/nix/store/with space";
      }
    ];
    pinentryPackage = {
      type = "derivation";
      outPath = "/pinentry's";
      meta.mainProgram = "pinentry";
    };
  };

  failures = import ./failures.nix { inherit lib; };

  # name → the message of a flake, or of a home
  flakeFailures = {
    home-alone = strange unplaced;
    home-alone-cache = strange {
      vaultix.settings = {
        flake = ./flake;
        identifier = "alice@laptop";
        recipient = good.vaultix.settings.hostPubkey;
      };
      vaultix.secrets = {
        mail.file = ./flake/secrets/hello.age;
        missing = { };
        elsewhere = {
          file = ./flake/secrets/hello.age;
          path = "/etc/token";
        };
      };
    };
    home-alone-private = strange {
      imports = [ unplaced ];
      vaultix.settings = {
        flake = ./flake;
        identifier = "alice@laptop";
        # From the documentation of the age crate.
        recipient = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        identities = [ "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33" ];
      };
    };
    home-alone-darwin = strangeOn "aarch64-darwin" {
      imports = [ unplaced ];
      vaultix.settings = {
        flake = ./flake;
        identifier = "alice@mac";
        recipient = good.vaultix.settings.hostPubkey;
      };
      vaultix.secrets = lib.mkForce { };
    };
    home-without-module = strange {
      imports = [ unplaced ];
      _module.args.osConfig.networking.hostName = "machine";
    };
    flake-private =
      let
        inherit
          (desk {
            extraRecipients = [
              "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"
              identity
            ];
            identity = [
              "/home/me/identity.txt"
              identity
            ];
            recipient = identity;
          })
          refusals
          ;
        # From the documentation of the age crate.
        identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
      in
      lib.concatStringsSep "\n" refusals;
    flake-type =
      let
        inherit
          (desk {
            extraRecipients = [ { key = identity; } ];
            identity = [ { key = identity; } ];
            recipient = { key = identity; };
          })
          refusals
          ;
        identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
      in
      lib.concatStringsSep "\n" refusals;
    flake-text =
      lib.concatStringsSep "\n"
        (desk {
          extraRecipients = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        }).refusals;
    flake-rules =
      lib.concatStringsSep "\n"
        (desk {
          rules = [
            {
              path = "/etc/secrets/";
              recipients = [ ];
            }
            {
              path = "secrets/../ops.age";
              recipients = [ "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq" ];
            }
            {
              path = "secrets/dev/";
              recipient = "x";
            }
            {
              path = "secrets/ops/";
              recipients = [ ];
            }
            {
              path = "./secrets/ops/";
              recipients = [ ];
            }
          ];
        }).refusals;
    flake-rules-private =
      let
        identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        of =
          rules:
          (desk {
            inherit rules;
          }).refusals;
      in
      lib.concatStringsSep "\n" (
        of [
          {
            path = "secrets/ops/";
            recipients = [ identity ];
          }
          {
            path = identity;
            recipients = [ ];
          }
          {
            path = "secrets/dev/";
            recipients = identity;
          }
          {
            path = "secrets/all/";
            recipients = [ { key = identity; } ];
          }
          {
            path = "secrets/x.age";
            recipients = [ ];
            ${identity} = true;
          }
          identity
        ]
        ++ of identity
      );
    flake-twins =
      (desk {
        nodes = fleet // {
          twin = node good;
        };
      }).errors.machine;
  };

  escapes = import ../../nix/escape.nix { inherit lib; };

  # name → whether it holds
  holds = {
    "a valid host has no failed assertion, and no warning" = failed good == [ ] && good.warnings == [ ];
    "a host without key and secrets is left alone" =
      fleet.idle.config.environment.etc == { } && fleet.idle.config.assertions == [ ];
    "keys of a host without sshd are those that it names, or that another program makes" =
      let
        off.services.openssh.enable = false;
        key = {
          path = "/keys/host";
          type = "ed25519";
        };
        made.options.services.openssh.generateHostKeys = lib.mkOption { default = true; };
      in
      failed (host [
        off
        { vaultix.settings.hostKeys = [ key ]; }
      ]) == [ ]
      && failed (host [
        off
        made
      ]) == [ ]
      && (host [ off ]).vaultix.settings.hostKeys == [ ];
    "users may be made by the script of NixOS where no item is early" =
      failed (host [
        {
          services.userborn.enable = lib.mkForce false;
          vaultix.beforeUserborn = lib.mkForce [ ];
          users.users.alice.hashedPasswordFile = lib.mkForce null;
        }
      ]) == [ ];
    "a path that only begins or ends like one of ours is another one" =
      (host [
        {
          system.activationScripts.other.text = "ls /run/vaultix-mine /run/vaultix.dump /mnt/run/vaultix";
        }
      ]).warnings == [ ];
    "a link of either kind is no copy, and neither is a file that is switched off" =
      (host [
        (
          { config, ... }:
          {
            environment.etc = {
              near = {
                mode = "direct-symlink";
                source = config.vaultix.secrets.hello.path;
              };
              off = {
                enable = false;
                mode = "0400";
                source = config.vaultix.secrets.hello.path;
              };
            };
          }
        )
      ]).warnings == [ ];
    "a copy of systemd-tmpfiles that waits for its secret draws no warning" =
      (host [
        (
          { config, ... }:
          {
            vaultix.secrets.hello.before = [ "systemd-tmpfiles-setup.service" ];
            systemd.tmpfiles.rules = [ "C /srv/token - - - - ${config.vaultix.secrets.hello.path}" ];
          }
        )
      ]).warnings == [ ];
    "a long script is read to its end" =
      builtins.length
        (host [
          (
            { config, ... }:
            {
              system.activationScripts.long = ''
                # ${lib.concatStrings (lib.genList (_: "0123456789abcdef") 100000)}
                cat ${config.vaultix.secrets.hello.path}
              '';
            }
          )
        ]).warnings == 1;
    "a host whose key is not set takes part, and only its own evaluation fails" =
      let
        keyless = host [ { vaultix.settings.hostPubkey = lib.mkForce ""; } ];
      in
      (desk { nodes.x = node keyless; }).profiles.machine.settings.hostPubkey == "" && failed keyless != [ ];
    "a host that makes its own identity has no items until its recipient is known, and a unit that makes it" =
      let
        waiting = host [
          {
            vaultix.settings.enroll = true;
            vaultix.settings.hostPubkey = lib.mkForce "";
          }
        ];
        profile = waiting.vaultix-debug;
        unit = waiting.systemd.units."vaultix-enroll.service";
      in
      failed waiting == [ ]
      && builtins.length waiting.warnings == 1
      && lib.hasInfix "ssh root@machine vaultix-decrypt enroll" (lib.head waiting.warnings)
      && profile.secrets == { }
      && profile.templates == { }
      && profile.placeholder == { }
      && profile.beforeUserborn == [ ]
      && profile.settings.hostKeys == [
        {
          path = "/var/lib/vaultix/host.age";
          type = "age";
        }
      ]
      && unit.wantedBy == [ "multi-user.target" ]
      && lib.hasInfix "/bin/vaultix-decrypt enroll --unit\n" unit.text
      && (desk { nodes.x = node waiting; }).profiles.machine.secrets != { }
      && !(good.systemd.units ? "vaultix-enroll.service");
    "once it is known, all is as on any other host" =
      let
        enrolled = host [
          {
            vaultix.settings.enroll = true;
            vaultix.settings.hostPubkey = lib.mkForce "age1pq1xyz";
          }
        ];
      in
      # But for the copies, which nobody has made.
      builtins.length (failed enrolled) == 1
      && lib.hasInfix "vaultix renc" (lib.head (failed enrolled))
      && enrolled.vaultix-debug.secrets != { }
      && (lib.head enrolled.vaultix-debug.settings.hostKeys).path == "/var/lib/vaultix/host.age"
      && !(enrolled.systemd.units ? "vaultix-enroll.service");
    "who waits for another tool that is there draws no warning" =
      (host [
        {
          systemd.services.sops-install-secrets = { };
          systemd.services.app.after = [ "sops-install-secrets.service" ];
        }
      ]).warnings == [ ];
    "declarations of agenix are ours" =
      failed fromAgenix == [ ]
      && fromAgenix.warnings == [ ]
      && fromAgenix.vaultix.secrets.other.unit == "vaultix-secret@other.service"
      && fromAgenix.vaultix-debug.secrets.other.mode == "770"
      && fromAgenix.age.secrets.hello.path == "/run/vaultix/web/hello"
      && fromAgenix.systemd.services.app.serviceConfig.LoadCredential == "token:/run/vaultix/web/hello";
    "identities of agenix are host keys where they fit" =
      map (key: key.path) fromAgenix.vaultix.settings.hostKeys == [
        "/persist/ssh_host_ed25519_key"
        "/persist/host"
      ]
      && map (key: key.path) (host [ ../../nix/agenix.nix ]).vaultix.settings.hostKeys == [
        "/etc/ssh/ssh_host_ed25519_key"
      ];
    "the directory of agenix is a link to ours" =
      lib.hasSuffix "/vaultix-decrypt link -- /run/agenix" fromAgenix.systemd.services.vaultix-agenix-link.serviceConfig.ExecStart
      && !(good.systemd.services ? vaultix-agenix-link);
    "a mount point of agenix is that of the ramfs, and what has no meaning is said to have none" =
      let
        config = host [
          ../../nix/agenix.nix
          {
            age.secretsMountPoint = "/run/secrets.d";
            age.secretsDir = "/run/secrets";
            age.ageBin = "/bin/rage";
          }
        ];
      in
      failed config == [ ]
      && config.vaultix.settings.decryptedMountPoint == "/run/secrets.d"
      && lib.hasSuffix " /run/secrets" config.systemd.services.vaultix-agenix-link.serviceConfig.ExecStart
      && builtins.length config.warnings == 1;
    "a host with a key and no secrets still has a profile, so that a switch removes the last ones" =
      (host [
        {
          vaultix.secrets = lib.mkForce { };
          vaultix.templates = lib.mkForce { };
          vaultix.beforeUserborn = lib.mkForce [ ];
          users.users.alice.hashedPasswordFile = lib.mkForce null;
        }
      ]).environment.etc
        ? "vaultix/profile.json";
    "a profile's context is the host's files in the cache and nothing else" =
      builtins.all (path: builtins.match ".*-[0-9a-f]{64}[.]age" path != null) (
        contextOf (builtins.toJSON good.vaultix-debug)
      )
      && builtins.length (contextOf (builtins.toJSON good.vaultix-debug)) == 2;
    "what is written to /etc is the profile" =
      good.environment.etc."vaultix/profile.json".source.text == builtins.toJSON good.vaultix-debug;
    "a text of a template keeps its context" =
      contextOf
        (host [ { vaultix.templates.x.content = "${builtins.toFile "x" "x"}"; } ])
        .vaultix-debug.templates.x.content != [ ];
    "a file of a template names secrets, and how their values are written" =
      let
        config = host [ { vaultix.templates.x.file = ./flake/app.conf; } ];
        mark = id: "{{ ${builtins.hashString "sha256" id} }}";
        as = encoding: id: "{{ ${builtins.hashString "sha256" id} ${encoding} }}";
      in
      failed config == [ ]
      &&
        config.vaultix-debug.templates.x.content
        == "# What names a secret, what looks like it, and what does not.\nas-it-is = ${mark "hello"}\njson = \"${as "json" "password"}\", \"${as "base64" "hello"}${mark "hello"}\"\nmail = me@vaultix.example, @vaultix@, @vaultix.json@, @vaultix:\nhello@\n";
    "each encoding has a placeholder for each secret, as the profile wants them" =
      builtins.attrNames good.vaultix.placeholderAs == lib.sort builtins.lessThan (import ../../nix/encodings.nix)
      && good.vaultix.placeholderAs.url.hello == "{{ ${builtins.hashString "sha256" "hello"} url }}"
      && failed (host [
        (
          { config, ... }:
          {
            vaultix.templates.x.content = lib.concatMapStrings (all: all.hello) (
              lib.attrValues config.vaultix.placeholderAs
            );
          }
        )
      ]) == [ ];
    "the desk's profile has no cipher and the host's no file" =
      flake.profiles.machine.secrets.hello ? file
      && !(flake.profiles.machine.secrets.hello ? cipher)
      && !(good.vaultix-debug.secrets.hello ? file);
    "a secret that only others are generated from is the desk's alone" =
      let
        config = host [
          homes.system
          {
            home-manager.users.alice.imports = [
              ../../nix/home-module.nix
              {
                vaultix.secrets.seed.intermediary = true;
                vaultix.secrets.token = {
                  file = ./flake/secrets/hello.age;
                  generator = {
                    kind = "command";
                    command = [ "mint" ];
                    dependencies = [
                      "seed"
                      {
                        host = "two";
                        secret = "root";
                      }
                    ];
                  };
                };
              }
            ];
            # In the way of nothing, and needed by nothing: it has no file.
            vaultix.secrets."web/hello" = {
              intermediary = true;
              name = "app.conf";
              before = [ "local-fs-pre.target" ];
            };
          }
        ];
        profile = (desk { nodes.x = node config; }).profiles.machine;
      in
      failed config == [ ]
      && builtins.attrNames config.vaultix-debug.secrets == [
        "alice/token"
        "hello"
        "password"
      ]
      && builtins.attrNames config.vaultix-debug.placeholder == builtins.attrNames config.vaultix-debug.secrets
      && builtins.attrNames profile.secrets."alice/seed" == [
        "file"
        "id"
        "intermediary"
      ]
      && profile.secrets."web/hello".intermediary
      && profile.secrets."alice/token".generator.dependencies == [
        "alice/seed"
        {
          host = "two";
          secret = "root";
        }
      ]
      && !(builtins.tryEval config.vaultix.secrets."web/hello".path).success
      && !(builtins.tryEval config.vaultix.secrets."web/hello".unit).success;
    "the desk's profile says the same as the host's besides" =
      let
        plain =
          profile:
          profile
          // {
            secrets = builtins.mapAttrs (
              _: secret:
              removeAttrs secret [
                "cipher"
                "file"
                "format"
                "generator"
                "key"
                "rotate"
              ]
            ) profile.secrets;
          };
      in
      plain flake.profiles.machine == plain good.vaultix-debug;
    "hosts without the module are passed over" =
      builtins.attrNames flake.profiles == [
        "machine"
        "two"
      ];
    "a vaultix.nix says what a flake's output does" =
      let
        withoutFlake =
          (import ../../default.nix {
            pkgs = {
              inherit lib;
              stdenv.hostPlatform.system = "x86_64-linux";
            };
          }).configure
            {
              nodes = fleet;
              identity = "/home/me/identity.txt";
            };
      in
      withoutFlake.profiles == flake.profiles && withoutFlake.settings == flake.settings;
    "two hosts with one identifier are refused" =
      !(builtins.tryEval (
        builtins.deepSeq
          (desk {
            nodes = fleet // {
              twin = node good;
            };
          }).profiles
          true
      )).success;
    "other configurations of a host are found, and evaluated only where there are some" =
      let
        machine = value: (host [ { vaultix.secrets.only-there.file = ./flake/secrets/hello.age; } ]) // value;
        options =
          modules:
          (lib.evalModules {
            modules = [
              {
                options.virtualisation = lib.genAttrs [ "vmVariant" "vmVariantWithBootLoader" ] (
                  _:
                  lib.mkOption {
                    type = lib.types.raw;
                    default = throw "a virtual machine was evaluated";
                  }
                );
              }
            ]
            ++ modules;
          }).options;
        node = modules: {
          config = good // {
            specialisation.work.configuration = machine { };
            specialisation.bare.configuration = { };
            virtualisation = builtins.mapAttrs (_: option: option.value) (options modules).virtualisation;
          };
          options = options modules;
        };
        found = modules: (desk { nodes.x = node modules; }).variants.machine;
        vm = found [ { virtualisation.vmVariant = machine { }; } ];
      in
      builtins.attrNames (found [ ]) == [ "specialisation work" ]
      &&
        builtins.attrNames vm == [
          "specialisation work"
          "vmVariant"
        ]
      && lib.all (
        variant:
        variant.identifier == "machine" && variant.profile.secrets ? only-there && variant.cache != null
      ) (builtins.attrValues vm)
      && flake.variants.machine == { };
    "a host can be evaluated where others cannot" =
      let
        inherit
          (desk {
            nodes = fleet // {
              broken = throw "boo";
              nameless = node (host [ { networking.hostName = lib.mkForce ""; } ]);
            };
          })
          hosts
          ;
        fails = name: !(builtins.tryEval (builtins.deepSeq hosts.${name} true)).success;
      in
      builtins.attrNames hosts == [
        "bare"
        "broken"
        "foreign"
        "idle"
        "nameless"
        "one"
        "two"
      ]
      && hosts.bare == null
      && hosts.two == {
        identifier = "two";
        profile = flake.profiles.two;
        cache = flake.caches.two;
        variants = { };
      }
      && fails "broken"
      && fails "nameless";
    "a missing file does not fail the workspace's profile" =
      (desk {
        nodes.x = node (host [ { vaultix.secrets.wifi = { }; } ]);
      }).profiles.machine.secrets.wifi.file == "${toString ./flake}/secrets/wifi.age";
    "which value of a file a secret is, is for the desk alone, and for the name of its copy" =
      let
        config = host [
          {
            vaultix.secrets = {
              hello = {
                key = "smtp/~";
                format = "toml";
              };
              words = {
                file = ./flake/secrets/mail.yml.age;
                key = [
                  "a/b"
                  "0"
                ];
              };
              whole.file = ./flake/secrets/mail.yml.age;
            };
          }
        ];
        inherit ((desk { nodes.x = node config; }).profiles.machine) secrets;
        copy = id: builtins.baseNameOf config.vaultix-debug.secrets.${id}.cipher;
      in
      secrets.hello.key == "/smtp/~0"
      && secrets.hello.format == "toml"
      && secrets.words.key == "/a~1b/0"
      && secrets.words.format == "yaml"
      && !(secrets.whole ? key)
      && !(secrets.whole ? format)
      && !(config.vaultix-debug.secrets.words ? key)
      && !(config.vaultix-debug.secrets.words ? format)
      # printf '%s\n' vaultix-v1 DIGEST RECIPIENT /smtp/~0 toml | sha256sum
      && copy "hello" == "aa9782fd478c4771bf2b2ae229ad0cf6408b1ee41b9a1040a2c9b800057987bd"
      && copy "words" == "54eded1556c88c1887009f593844f0b46af28413409be2289153ee9e8ff38efa";
    "a generator is for the desk alone, and says what was set" =
      let
        config = host [
          {
            vaultix.secrets.hello.generator = "alnum";
            vaultix.secrets.login = {
              file = ./flake/secrets/nowhere.age;
              generator = {
                kind = "htpasswd";
                user = "me";
                dependencies = [ "hello" ];
              };
            };
          }
        ];
        inherit ((desk { nodes.x = node config; }).profiles.machine) secrets;
      in
      secrets.hello.generator == { kind = "alnum"; }
      &&
        secrets.login.generator == {
          kind = "htpasswd";
          user = "me";
          dependencies = [ "hello" ];
        }
      && !(secrets.password ? generator)
      && !(config.vaultix-debug.secrets.hello ? generator);
    "a generator that is none is refused" =
      lib.all
        (
          generator:
          !(builtins.tryEval (
            builtins.deepSeq
              (host [ { vaultix.secrets.hello = { inherit generator; }; } ]).vaultix.secrets.hello.generator
              true
          )).success
        )
        [
          "alnun"
          { kind = "alnun"; }
          {
            kind = "alnum";
            lenght = 9;
          }
          {
            kind = "alnum";
            length = 0;
          }
        ];
    "a private key is refused where a flake needs public ones" =
      !(builtins.tryEval
        (desk {
          extraRecipients = [
            "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"
          ];
        }).settings
      ).success;
    "a path that is called like a key is none" =
      failed (host [
        {
          vaultix.settings.hostKeys = [
            {
              path = "/etc/age-secret-key-of-web1/private-key-1";
              type = "ed25519";
            }
          ];
        }
      ]) == [ ];
    "settings evaluate no host" =
      (desk { nodes = throw "a host was evaluated"; }).settings == {
        identity = null;
        recipient = [ ];
        extraRecipients = [ ];
        rules = [ ];
        cache = "./secrets/cache";
        defaultSecretDirectory = "./secrets";
        nixArgs = [ ];
      };
    "rules are what the desk reads" =
      let
        rules = [
          {
            path = "secrets/ops/";
            recipients = [ "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq" ];
          }
          {
            path = "secrets/ops/root.age";
            recipients = [ ];
          }
        ];
      in
      (desk { inherit rules; }).settings.rules == rules;
    "rules of agenix may be those of the flake, as a page shows it" =
      let
        nixpkgs = { inherit lib; };
        secretsNix = {
          "ops/db.age".publicKeys = [
            "ssh-ed25519 AAAA alice"
            "ssh-ed25519 AAAB root@web1"
          ];
          "wifi.age".publicKeys = [ "ssh-ed25519 AAAA alice" ];
        };
      in
      (desk {
        rules = nixpkgs.lib.mapAttrsToList (file: rule: {
          path = "secrets/${file}";
          recipients = builtins.filter (key: !nixpkgs.lib.hasInfix "root@" key) rule.publicKeys;
        }) secretsNix;
      }).settings.rules == [
        {
          path = "secrets/ops/db.age";
          recipients = [ "ssh-ed25519 AAAA alice" ];
        }
        {
          path = "secrets/wifi.age";
          recipients = [ "ssh-ed25519 AAAA alice" ];
        }
      ];
    "paths of rules are those of the vectors" = lib.all (
      { path, plain, ... }:
      let
        desk' = desk {
          rules = [
            {
              inherit path;
              recipients = [ ];
            }
          ];
        };
      in
      if plain == null then
        builtins.length desk'.refusals == 1
      else
        desk'.refusals == [ ] && (import ../../nix/rules.nix { inherit lib; }).plain path == plain
    ) (lib.importJSON ../vectors/flake-path.json);
    "directories of a flake are those of the vectors" = lib.all (
      { path, directory, ... }:
      let
        desk' = desk {
          cache = path;
          defaultSecretDirectory = path;
        };
        settings = {
          inherit (desk'.settings) cache defaultSecretDirectory;
        };
      in
      if directory == null then
        !(builtins.tryEval settings.cache).success
        && !(builtins.tryEval settings.defaultSecretDirectory).success
      else
        settings == {
          cache = path;
          defaultSecretDirectory = path;
        }
    ) (lib.importJSON ../vectors/flake-path.json);
    "a misspelt option is refused" = !(builtins.tryEval (desk { identiy = "x"; }).settings).success;
    "an identity that is a file of the flake's is taken" =
      (desk { identity = ./flake/identity.txt; }).settings.identity == toString ./flake/identity.txt;
    "several identities are a list, and one alone is a text" =
      (desk {
        identity = [
          "~/a"
          ./flake/identity.txt
        ];
      }).settings.identity == [
        "~/a"
        (toString ./flake/identity.txt)
      ]
      && (desk { identity = [ "~/a" ]; }).settings.identity == "~/a"
      && (desk { identity = null; }).settings.identity == null;
    "recipients may be in files of the flake" =
      let
        text = builtins.readFile ./flake/host_key.pub;
        rule = recipients: {
          path = "secrets/ops/";
          inherit recipients;
        };
        desk' = desk {
          recipient = ./flake/host_key.pub;
          extraRecipients = [ ./flake/host_key.pub ];
          rules = [ (rule [ ./flake/host_key.pub ]) ];
        };
      in
      desk'.settings.recipient == [ text ]
      && desk'.settings.extraRecipients == [ text ]
      && desk'.settings.rules == [ (rule [ text ]) ];
    "a file with a private key is refused where a flake needs public ones" = lib.all (
      settings: builtins.length (desk settings).refusals == 1
    ) [
      { recipient = ./flake/identity.txt; }
      { extraRecipients = [ ./flake/identity.txt ]; }
      {
        rules = [
          {
            path = "secrets/ops/";
            recipients = [ ./flake/identity.txt ];
          }
        ];
      }
    ];
    "a command quotes what it sets and passes arguments on" =
      flake.app.x86_64-linux.renc.text == lib.concatStringsSep "\n" [
        "export PATH='/nix/store/with space/bin'\${PATH:+:$PATH}"
        "export PINENTRY_PROGRAM='/pinentry'\\''s/bin/pinentry'"
        "exec /prefix/bin/vaultix renc \"$@\""
        ""
      ];
    "a flake's folders hold for its hosts" =
      let
        config = host [
          {
            vaultix.settings.flake = lib.mkForce {
              outPath = ./flake;
              vaultix.cache = "keys/cache";
              vaultix.defaultSecretDirectory = "./keys/";
            };
            vaultix.secrets.x = { };
          }
        ];
      in
      config.vaultix.settings.cache == "keys/cache"
      && config.vaultix.secrets.x.file == "${toString ./flake}/keys/x.age";
    "each host may have a folder of its own, as a page shows it" =
      (host [
        (
          { config, ... }:
          let
            host = config.networking.hostName;
          in
          {
            vaultix.settings.defaultSecretDirectory = "./secrets/generated/${host}";
          }
        )
        { vaultix.secrets.x = { }; }
      ]).vaultix.secrets.x.file == "${toString ./flake}/secrets/generated/machine/x.age"
      &&
        lib.hasInfix
          "vaultix.settings.defaultSecretDirectory = \"./secrets/generated/\${host}\";"
          (builtins.readFile ../../docs/migration-agenix-rekey.md);
    "units are named as systemd-escape does" =
      map escapes.escape [
        "wifi/home psk"
        ".a-b"
        "é€\n"
      ] == [
        ''wifi-home\x20psk''
        ''\x2ea\x2db''
        ''\xc3\xa9\xe2\x82\xac\x0a''
      ];
    "every byte of UTF-8 is escaped" =
      # The first and last code points of what begins with another byte.
      escapes.escape (
        builtins.fromJSON ''"\u0080\u00bf\u00c0\u07ff\u0800\u0fff\ud7ff\ue000\ufffd\ud800\udc00\ud8bf\udfff\ud8c0\udc00\ud9bf\udfff\ud9c0\udc00\udabf\udfff\udac0\udc00\udbbf\udfff\udbc0\udc00\udbff\udfff"''
      )
      == ''\xc2\x80\xc2\xbf\xc3\x80\xdf\xbf\xe0\xa0\x80\xe0\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf0\xbf\xbf\xbf\xf1\x80\x80\x80\xf1\xbf\xbf\xbf\xf2\x80\x80\x80\xf2\xbf\xbf\xbf\xf3\x80\x80\x80\xf3\xbf\xbf\xbf\xf4\x80\x80\x80\xf4\x8f\xbf\xbf'';
    "a unit's name may have 255 bytes" =
      let
        id = lib.concatStrings (lib.genList (_: "a") 232);
      in
      escapes.unit "secret" id == "vaultix-secret@${id}.service"
      &&
        builtins.match "vaultix-secret@sha256-[0-9a-f]{32}[.]service" (escapes.unit "secret" "${id}a")
        != null;
    "a secret and a template know their units" =
      good.vaultix.secrets.hello.unit == "vaultix-secret@hello.service"
      && good.vaultix.templates."app.conf".unit == "vaultix-template@app.conf.service";
    "a key of age goes with the file that holds it" =
      failed (host [
        {
          vaultix.settings.hostPubkey = lib.mkForce "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq\n";
          vaultix.settings.hostKeys = [
            {
              path = "/etc/host.txt";
              type = "age";
            }
          ];
          vaultix.secrets = lib.mkForce { };
          vaultix.templates = lib.mkForce { };
          vaultix.beforeUserborn = lib.mkForce [ ];
          users.users.alice.hashedPasswordFile = lib.mkForce null;
        }
      ]) == [ ];
    "only host keys that fit are listed" =
      good.vaultix-debug.settings.hostKeys == [
        {
          path = "/etc/ssh/ssh_host_ed25519_key";
          type = "ed25519";
        }
      ];
    "a comment is left out of the profile" =
      builtins.match "ssh-ed25519 [^ ]+" good.vaultix-debug.settings.hostPubkey != null;
    "a name that leaves its directory is refused" =
      lib.all
        (
          name:
          !(builtins.tryEval
            (host [ { vaultix.secrets.hello.name = lib.mkForce name; } ]).vaultix.secrets.hello.name
          ).success
        )
        [
          "/etc/x"
          "a/../../x"
          "a//b"
          "./a"
          "a/"
          ""
        ];
    "a name may hold dots and directories" =
      let
        name = "..a/.b/c..d";
      in
      (host [ { vaultix.secrets.hello.name = lib.mkForce name; } ]).vaultix.secrets.hello.path
      == "/run/vaultix/${name}";
    "a mode with bits that no secret has a use for is refused" =
      lib.all
        (
          mode:
          !(builtins.tryEval
            (host [ { vaultix.secrets.hello.mode = lib.mkForce mode; } ]).vaultix.secrets.hello.mode
          ).success
        )
        [
          "4400"
          "0400zzz"
          "40"
          "0900"
        ];
    "both units of a switch are required by the target that a switch restarts" =
      lib.all (name: good.systemd.units.${name}.requiredBy == [ "sysinit-reactivation.target" ])
        [
          "vaultix-switch-early.service"
          "vaultix-switch.service"
        ];
    "boot waits for no mount point that it does not wait for itself, whatever is below" =
      (host [
        {
          fileSystems = {
            "/" = {
              fsType = "ext4";
              options = [ "nofail" ];
            };
            "/data".fsType = "ext4";
            "/early" = {
              fsType = "nfs";
              neededForBoot = true;
            };
            "/home".fsType = "nfs4";
            # With the host key.
            "/etc/ssh" = {
              fsType = "ext4";
              options = [ "nofail" ];
            };
            "/srv/a" = {
              fsType = "ext4";
              options = [ "noatime,nofail" ];
            };
            "/srv/b" = {
              fsType = "ext4";
              options = [ "x-systemd.automount" ];
            };
            "/srv/c" = {
              fsType = "none";
              options = [
                "bind"
                "_netdev"
              ];
            };
          };
        }
      ]).vaultix-debug.settings.lateMounts == [
        "/home"
        "/srv/a"
        "/srv/b"
        "/srv/c"
      ]
      && good.vaultix-debug.settings.lateMounts == [ ];
    "secrets come before the network, unless it is said otherwise" =
      good.vaultix-debug.settings.beforeNetwork
      && !(host [ { vaultix.settings.beforeNetwork = false; } ]).vaultix-debug.settings.beforeNetwork;
    "nothing is left to fill in where a unit names a program" = lib.all (
      unit: builtins.match ".*@[A-Za-z]+@.*" unit.text == null
    ) (lib.attrValues good.systemd.units);
    "the template's file system has a type, which NixOS asks for" =
      (import ../../nix/template/example.nix).fileSystems."/" ? fsType;
    "the programs of a host are in its path, with their manual pages" =
      map (package: package.name) good.environment.systemPackages == [ "vaultix-boot" ];
    "secrets of homes are secrets of the host, each in a directory of its user" =
      builtins.attrNames homely.vaultix-debug.secrets == [
        "alice/mail"
        "alice/token"
        "bob/mail"
        "hello"
        "password"
      ]
      && homely.vaultix.secrets."alice/mail".unit == "vaultix-secret@alice-mail.service"
      && homely.home-manager.users.alice.xdg.configFile."mail.conf".text == "passwordFile = /run/vaultix/alice/mail"
      && homely.vaultix.secrets."bob/mail".path == "/run/vaultix/bob/mail"
      && homely.vaultix.secrets."bob/mail".group == "staff"
      && homely.vaultix.secrets."bob/mail".file == "${toString ./flake}/secrets/bob/mail.age"
      && homely.vaultix.secrets."alice/token".group == "users";
    "only bob's secret lacks a file, and nothing else is wrong with the homes" =
      builtins.length (failed homely) == 1 && lib.hasInfix "secrets/bob/mail.age" (messages homely);
    "what a home declares is in the profile as the boot tests expect it" =
      lib.all (
        id:
        removeAttrs homely.vaultix-debug.secrets.${id} [ "cipher" ]
        == (lib.importJSON ../vectors/home.json).secrets.${id}
      ) [ "alice/mail" "alice/token" ]
      && homely.vaultix-debug.templates."alice/netrc" == (lib.importJSON ../vectors/home.json).templates."alice/netrc";
    "a file of a home's template names secrets of the home" =
      homely.vaultix-debug.templates."alice/ini".content
      == "token = {{ ${builtins.hashString "sha256" "alice/token"} json }}\n";
    "a generator in a home depends on secrets of the home, and on others of the host" =
      (desk { nodes.x = node homely; }).profiles.machine.secrets."alice/token".generator.dependencies == [
        "alice/mail"
        "hello"
      ];
    "a placeholder that the host has changed is that of the home" =
      let
        config = host [
          homes.system
          {
            vaultix.placeholder."alice/mail" = "{{ ${builtins.hashString "sha256" "x"} }}";
            home-manager.users.alice =
              { config, ... }:
              {
                imports = [ ../../nix/home-module.nix ];
                vaultix.secrets.mail.file = ./flake/secrets/hello.age;
                vaultix.templates.x.content = config.vaultix.placeholder.mail;
              };
          }
        ];
      in
      failed config == [ ]
      && config.vaultix.templates."alice/x".content == "{{ ${builtins.hashString "sha256" "x"} }}";
    "a host with secrets of homes alone has a profile, and a home that declares none changes nothing" =
      let
        of =
          secrets:
          (import ./nixos.nix {
            inherit lib;
            modules = [
              homes.system
              {
                users.users.alice = { };
                home-manager.users.alice = {
                  imports = [ ../../nix/home-module.nix ];
                  vaultix = { inherit secrets; };
                };
              }
            ];
          }).config;
      in
      (of { mail = { }; }).vaultix.active && !(of { }).vaultix.active && failed (of { }) == [ ];
    "the module in a home of no host is silent as long as nothing is declared" = strange { } == "";
    "a home of no host has a path for each of its items, known at evaluation" =
      (homes.alone [
        ../../nix/home-module.nix
        unplaced
      ]).config.vaultix.secrets.mail.path == "/home/alice/.local/state/vaultix/mail";
    "a home of no host has a profile, units and a step before its services are started" =
      failed ofAlice == [ ]
      && ofAlice.xdg.configFile."systemd/user".recursive
      && lib.hasInfix "--user --profile" ofAlice.xdg.configFile."systemd/user".source.script
      && ofAlice.home.activation.vaultixSwitch.before == [ "reloadSystemd" ]
      && ofAlice.home.activation.vaultixSwitch.after == [ "linkGeneration" ]
      && ofAlice.home.activation.vaultixCheck.before == [ "writeBoundary" ]
      && lib.hasInfix "systemctl --user start vaultix-switch.service" (
        builtins.replaceStrings [ "'" ] [ "" ] ofAlice.home.activation.vaultixSwitch.data
      );
    "the profile of a home of no host is that of its user" =
      let
        profile = profileOf ofAlice;
      in
      profile.settings.hostIdentifier == "machine"
      && profile.settings.decryptedDir == "/home/alice/.local/state/vaultix"
      && profile.settings.systemctl == "/usr/bin/systemctl"
      &&
        profile.settings.hostKeys == [
          {
            path = "/home/alice/.config/vaultix/home.age";
            type = "ed25519";
          }
        ]
      && profile.beforeUserborn == [ ]
      && profile.secrets.mail.restartUnits == [ "mail.service" ]
      && profile.secrets.token.path == "/home/alice/.config/app/token"
      && lib.hasPrefix builtins.storeDir profile.secrets.mail.cipher
      && !(profile.secrets.mail ? file)
      && profile.templates.netrc.content == "login {{ ${builtins.hashString "sha256" "mail"} }}";
    "a file of a home is where a host would look for it" =
      (aloneWith [ { vaultix.secrets.mail = { }; } ]).vaultix.secrets.mail.file
      == "${toString ./flake}/secrets/alice/mail.age";
    "the desk treats homes of no host as hosts, and others as none" =
      let
        found = desk {
          nodes.alice = node good;
          homes = {
            alice.config = aloneWith [
              {
                vaultix.settings.identifier = lib.mkForce "alice@laptop";
                vaultix.secrets.mail.file = ./flake/secrets/hello.age;
              }
            ];
            idle.config = (homes.alone [ ../../nix/home-module.nix ]).config;
            foreign.config = { };
          };
        };
      in
      builtins.attrNames found.profiles == [
        "alice@laptop"
        "machine"
      ]
      && found.profiles."alice@laptop".secrets.mail.file == toString ./flake/secrets/hello.age
      && found.caches."alice@laptop" == "${toString ./flake}/secrets/cache"
      && found.variants."alice@laptop" == { }
      && builtins.attrNames found.hosts == [
        "alice"
        "home alice"
      ];
    "homes are those of the flake, if it says nothing else" =
      builtins.attrNames
        (desk {
          localFlake.homeConfigurations.alice.config = ofAlice;
        }).profiles == [ "machine" ];
    "a home of no host that has no item any more still has a profile, which removes the last" =
      (profileOf (aloneWith [ ])).secrets == { };
    "no home may choose an owner, a group, or units of the system" =
      lib.all
        (
          field:
          !(builtins.tryEval (
            builtins.deepSeq
              (homes.alone [
                ../../nix/home-module.nix
                { vaultix.secrets.mail = field; }
              ]).config.vaultix.secrets
              true
          )).success
        )
        [
          { owner = "root"; }
          { group = "wheel"; }
          { before = [ "nginx.service" ]; }
          { restartUserUnits.bob = [ "mail.service" ]; }
          { declaredAs = "x"; }
        ];
    "every option is described" =
      lib.all (option: option.internal || option.description != null)
        (import ../../nix/docs.nix { inherit lib; }).options;
  };
in
{
  # One line for each statement.
  summary = lib.concatStringsSep "\n" (
    lib.mapAttrsToList (statement: ok: "${if ok then "holds" else "broken"}: ${statement}") holds
  );

  # Names of invalid configurations, one per line; all messages of a host that has one.
  failures = lib.concatStringsSep "\n" (lib.attrNames (failures // flakeFailures));
  messages = builtins.mapAttrs (_: module: messages (host [ module ])) failures // flakeFailures;

  # The profile that each would give, one per line after its name: generator/tests/nix.rs reads them.
  profiles = lib.concatStrings (
    lib.mapAttrsToList (
      name: module:
      let
        profile = (import ../../nix/profile.nix).host (id: "/cache/${id}.age") (host [ module ]).vaultix;
      in
      "${name} ${builtins.unsafeDiscardStringContext (builtins.toJSON profile)}\n"
    ) (removeAttrs failures [ "key-long" ])
  );

  options = (import ../../nix/docs.nix { inherit lib; }).markdown;
}
