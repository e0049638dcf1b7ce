# options of the flake output `vaultix` → what `vaultix` and `nix run` read from it: settings, profiles, apps.
#
# One module for both ways into a flake, so that both check types: flake-module.nix and configure.nix.
{
  # Value of `nodes` where none is given.
  defaultNodes,
  # The same of `homes`.
  defaultHomes ? { },
  # system → { pkgs, vaultix }
  systems,
}:
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  inherit (import ./message.nix) failure list;
  inherit (import ./private.nix { inherit lib; }) asText
    isNoText
    isPrivate
    message
    public
    typeMessage
    ;
  inherit (import ./types.nix { inherit lib; }) belowFlake readRecipient;
  rules = import ./rules.nix { inherit lib; };

  discreetList = import ./discreet-list.nix { inherit lib; };
  # Lists of recipients, of which no value is shown that is none.
  recipients = discreetList {
    name = "recipients";
    description = "list of recipients as strings, or of files that contain some";
    read = asText readRecipient;
    other = value: "<${builtins.typeOf value}>";
  };
  # The same, where one alone need not be a list.
  someRecipients = discreetList {
    name = "someRecipients";
    description = "recipient as a string, or a file that contains some, or a list of these";
    read = asText readRecipient;
    other = asText readRecipient;
  };
  # Paths of files, where one alone need not be a list.
  somePaths = discreetList {
    name = "somePaths";
    description = "string or absolute path, or list of these";
    read = asText toString;
    other = value: if value == null then [ ] else asText toString value;
  };
  refuseRecipients =
    option: texts:
    lib.optional (lib.any isPrivate texts) (message option public)
    ++ map (text: typeMessage option text "set it to a list of public keys as texts") (
      builtins.filter isNoText texts
    );

  # Hosts without the module have no secrets; a node that is not a NixOS host does not have the option.
  isHost = node: node.config.vaultix.active or false;
  # A home that is no part of a host is like one.
  homes = lib.mapAttrs' (name: cfg: {
    name = if config.nodes ? ${name} then "home ${name}" else name;
    value.config.vaultix = cfg // {
      active = true;
    };
  }) (lib.filterAttrs (_: cfg: cfg != null) (builtins.mapAttrs (_: asHost) config.homes));
  asHost = home: home.config.vaultix.asHost or null;
  nodes = config.nodes // homes;
  hosts = lib.filterAttrs (_: isHost) nodes;
  byIdentifier = builtins.groupBy (name: hosts.${name}.config.vaultix.settings.hostIdentifier) (
    builtins.attrNames hosts
  );
  twins = lib.filterAttrs (_: names: builtins.length names > 1) byIdentifier;

  variantsOf = import ./variants.nix { inherit lib; };
  # What the desk needs to know of a host, or of another configuration of one.
  describe = cfg: {
    identifier = cfg.settings.hostIdentifier;
    profile = (import ./profile.nix).workspace cfg;
    cache =
      if cfg.settings.flake == null then null else (import ./root.nix { inherit lib cfg; }).cacheRoot;
  };
in
{
  options = {
    nodes = mkOption {
      type = types.lazyAttrsOf types.raw;
      default = defaultNodes;
      defaultText = literalExpression "self.nixosConfigurations";
      example = literalExpression "(colmena.lib.makeHive self.outputs.colmena).nodes";
      description = ''
        The hosts: attributes with a `.config`.

        Those that do not import the module are skipped.
      '';
    };

    homes = mkOption {
      type = types.lazyAttrsOf types.raw;
      default = defaultHomes;
      defaultText = literalExpression "self.homeConfigurations";
      description = ''
        The homes of home-manager that belong to no NixOS host: attributes with a `.config`. `vaultix` treats each as a host.

        Those that do not import the module, or declare nothing, are skipped.
      '';
    };

    identity = mkOption {
      type = somePaths;
      default = [ ];
      example = "/home/me/identity.txt";
      description = ''
        File with the master identity, which decrypts every secret on your workstation.

        A string, so that it stays out of the Nix store: an absolute path, one that begins with `~/`, or one relative to the flake. A file with a passphrase, or the stub of a hardware key, may also be a file of the flake. Without one, `vaultix` needs `--identity`.

        A list names several, such as one for each member of a team or each machine. Any that decrypts a secret is used, and those that are not on this machine are passed over. Secrets are encrypted to all of them: if not all are on each machine, set {option}`recipient`.
      '';
    };

    recipient = mkOption {
      type = someRecipients;
      default = [ ];
      example = "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq";
      description = ''
        The recipients of {option}`identity`, as `vaultix recipient` prints them: with a list of identities, those of all.

        With it, a new secret needs no identity: nothing is unlocked, and it need not be on this machine. It is compared with the identity whenever that can be read, and refused if it is not the recipient of that. An identity that is passed with `--identity` is used with its own recipient, unless it is one of these.
      '';
    };

    extraRecipients = mkOption {
      type = recipients;
      default = [ ];
      example = literalExpression "[ \"age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq\" ./team.pub ]";
      description = ''
        Recipients that secrets are encrypted to besides the master identity's own.

        Each is a text, or a file of the flake. A text may have several lines, with a recipient on each; empty lines and those that begin with `#` do not count.

        Each of their identities can decrypt all secrets: a spare key in a safe, a second operator. Files in {option}`rules` have the recipients that are named there instead.
        `vaultix rekey` updates existing files.
      '';
    };

    rules = mkOption {
      inherit (rules) type;
      default = [ ];
      example = literalExpression ''
        [
          { path = "secrets/ops/"; recipients = [ "ssh-ed25519 AAAA… alice" "ssh-ed25519 AAAA… bob" ]; }
          { path = "secrets/ops/root.age"; recipients = [ "ssh-ed25519 AAAA… alice" ]; }
        ]
      '';
      description = ''
        Recipients for some files, used instead of {option}`extraRecipients`: for teams in which not everyone may read everything.

        `path` is relative to the root of the flake. If it ends with `/`, the rule is for everything below that directory, otherwise for exactly this file. The rule with the longest path counts. A file that is reached through a link is the one that the link leads to, if there is a rule for that.

        The recipients of {option}`identity` always belong to them. An empty list means: nobody else. If each member of a team has an own key at the same path, such as `~/.ssh/id_ed25519`, name the keys of all members, your own as well: the identity is that of whoever runs the command.

        `vaultix rekey` updates existing files. It passes over those whose rule does not name your key, if their copies for hosts are up to date.
      '';
    };

    cache = mkOption {
      type = belowFlake;
      default = "./secrets/cache";
      description = ''
        Where `vaultix renc` puts the ciphertexts for hosts, relative to the root of the flake.

        Commit it: a host is built from it.
      '';
    };

    defaultSecretDirectory = mkOption {
      type = belowFlake;
      default = "./secrets";
      description = ''
        Where the files of secrets without `file` are, relative to the root of the flake.

        With it, `vaultix.secrets.wifi = { }` means {file}`secrets/wifi.age`.
      '';
    };

    extraPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.age-plugin-yubikey ]";
      description = ''
        Packages to add to `PATH`, such as age plugins.

        For `nix run`; an installed `vaultix` uses your own `PATH`.
      '';
    };

    pinentryPackage = mkOption {
      type = types.nullOr types.package;
      default = null;
      example = literalExpression "pkgs.pinentry-qt";
      description = ''
        Program that asks for passphrases and PINs.

        For `nix run`; with `null`, the one in `PINENTRY_PROGRAM` or `PATH`, or else the terminal.
      '';
    };

    nixArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "--impure" ];
      description = ''
        What nix is also told when `vaultix` evaluates the hosts, as in `nix eval --impure`.

        Each of you allows it once, with the line that `vaultix` prints: whoever may change the flake could otherwise have nix read any file of yours. `VAULTIX_NIX_ARGS`, and what follows `--` in `vaultix renc -- --impure`, need no such permission.
      '';
    };

    app = mkOption {
      type = types.lazyAttrsOf (types.lazyAttrsOf types.package);
      readOnly = true;
      default = builtins.mapAttrs (
        _: system:
        import ./app.nix {
          inherit lib;
          inherit (system) pkgs vaultix;
          inherit (config) extraPackages pinentryPackage;
        }
      ) systems;
      defaultText = literalExpression "<system>.<command>";
      description = ''
        The commands of `vaultix` as packages, by system.

        `nix run .#vaultix.app.x86_64-linux.renc` works without installing anything.
      '';
    };

    settings = mkOption {
      type = types.raw;
      readOnly = true;
      default =
        if config.refusals != [ ] then
          throw (lib.concatStringsSep "\n" config.refusals)
        else
          {
            inherit (config)
              recipient
              extraRecipients
              cache
              defaultSecretDirectory
              nixArgs
              ;
            # Older programs read a text here.
            identity =
              if config.identity == [ ] then
                null
              else if builtins.length config.identity == 1 then
                builtins.head config.identity
              else
                config.identity;
            rules = map rules.setting config.rules;
          };
      defaultText = literalExpression "{ identity, recipient, extraRecipients, rules, cache, defaultSecretDirectory, nixArgs }";
      description = ''
        What `vaultix` evaluates first, without evaluating any host.

        Folders are strings, relative to the root of the flake.
      '';
    };

    profiles = mkOption {
      type = types.raw;
      readOnly = true;
      default = builtins.mapAttrs (
        identifier: names:
        if config.errors ? ${identifier} then
          throw config.errors.${identifier}
        else
          config.hosts.${builtins.head names}.profile
      ) byIdentifier;
      defaultText = literalExpression "<hostIdentifier>.<profile>";
      description = ''
        The profiles of all hosts, for `vaultix renc` and the like.

        `file` of a secret is its path in the copy of the flake that Nix evaluates, below
        {file}`/nix/store`.
      '';
    };

    caches = mkOption {
      type = types.raw;
      readOnly = true;
      default = builtins.mapAttrs (_: names: config.hosts.${builtins.head names}.cache) byIdentifier;
      defaultText = literalExpression "<hostIdentifier>.<path>";
      description = ''
        Where each host looks for its ciphertexts.

        With `vaultix.settings.flake = inputs.secrets` on hosts, that is a path in the input: `vaultix` reads and
        writes the cache of that repository.
      '';
    };

    variants = mkOption {
      type = types.raw;
      readOnly = true;
      default = builtins.mapAttrs (
        _: names: config.hosts.${builtins.head names}.variants
      ) byIdentifier;
      defaultText = literalExpression "<hostIdentifier>.<variant>.{ identifier, profile, cache }";
      description = ''
        The same for other configurations of each host: its specialisations, and `virtualisation.vmVariant` where something is set for that. `vaultix renc` makes what they need as well.
      '';
    };

    hosts = mkOption {
      type = types.raw;
      readOnly = true;
      default = builtins.mapAttrs (
        _: node:
        if isHost node then
          describe node.config.vaultix
          // {
            variants = builtins.mapAttrs (_: variant: describe variant.vaultix) (variantsOf node);
          }
        else
          null
      ) nodes;
      defaultText = literalExpression "<node>.{ identifier, profile, cache, variants }";
      description = ''
        What {option}`profiles`, {option}`caches` and {option}`variants` are made from, by the names of {option}`nodes`; `null` for those without the module.

        Each can be evaluated alone: where one of them does not evaluate, `vaultix` asks for the others here.
      '';
    };

    refusals = mkOption {
      type = types.listOf types.str;
      readOnly = true;
      internal = true;
      default =
        refuseRecipients "vaultix.extraRecipients" config.extraRecipients
        ++ refuseRecipients "vaultix.recipient" config.recipient
        ++ rules.refusals config.rules
        ++ map (text: typeMessage "vaultix.identity" text "set it to the path of a file, as a text") (
          builtins.filter isNoText config.identity
        )
        ++ lib.optional (lib.any isPrivate config.identity) (
          message "vaultix.identity" "set it to the path of a file outside the flake that contains it: identity = \"/home/me/identity.txt\""
        );
      description = "Why there are no `settings`.";
    };

    errors = mkOption {
      type = types.lazyAttrsOf types.str;
      readOnly = true;
      internal = true;
      default = builtins.mapAttrs (
        identifier: names:
        failure {
          what = "cannot distinguish the hosts ${list names}";
          because = "each has \"${identifier}\" as vaultix.settings.hostIdentifier, and therefore the same cache";
          fix = "set networking.hostName or vaultix.settings.hostIdentifier to another one, or remove one from vaultix.nodes";
        }
      ) twins;
      description = "Why there is no profile, by identifier.";
    };
  };
}
