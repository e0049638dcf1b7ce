# the options themselves → docs/options.md.
{ lib }:
let
  inherit (lib) concatMapStrings concatStringsSep;

  declared =
    modules:
    builtins.filter (option: option.visible && !lib.hasPrefix "_module" option.name) (
      lib.optionAttrSetToDocList
        (lib.evalModules { modules = modules ++ [ { _module.check = false; } ]; }).options
    );

  host = declared [
    ../nix/options.nix
    {
      # Only declarations are looked at; texts stand for every default that is computed.
      _module.args.pkgs = throw "docs.nix: the default of an option needs a defaultText";
    }
  ];
  agenix = builtins.filter (option: builtins.match "age[.](ageBin|identityPaths|secretsDir)" option.name != null) (declared [
    ./agenix.nix
    {
      _module.args.pkgs = throw "docs.nix: the default of an option needs a defaultText";
    }
  ]);
  home = declared [ ./home-module.nix ];
  desk = map (option: option // { name = "vaultix.${option.name}"; }) (declared [
    (import ./flake-options.nix {
      defaultNodes = { };
      systems = { };
    })
  ]);

  # The two roles that descriptions use, as plain Markdown.
  plain =
    text:
    concatMapStrings (part: if builtins.isList part then "`${lib.last part}`" else part) (
      builtins.split "[{](option|file|manpage)[}]`([^`]*)`" text
    );
  code =
    value:
    if (value._type or null) == "literalMD" then
      plain value.text
    else if lib.hasInfix "\n" (lib.trim value.text) then
      "\n\n  ```nix\n  ${builtins.replaceStrings [ "\n" ] [ "\n  " ] (lib.trim value.text)}\n  ```"
    else
      "`${lib.trim value.text}`";
  line =
    title: value:
    if lib.hasPrefix "\n" value then "- ${title}:${value}\n" else "- ${title}: ${value}\n";

  entry =
    option:
    "### `${option.name}`\n\n${plain (lib.trim (option.description.text or option.description))}\n\n"
    + line "type" option.type
    + (
      if option ? default then
        line "default" (code option.default)
      else
        lib.optionalString (!option.readOnly) (line "default" "none, must be set")
    )
    + lib.optionalString option.readOnly "- read only\n"
    + lib.optionalString (option ? example) (line "example" (code option.example));

  shown = builtins.filter (option: !option.internal);
  section =
    title: text: options:
    "## ${title}\n\n${text}\n\n${concatStringsSep "\n" (map entry (shown options))}";
in
{
  options = host ++ home ++ agenix ++ desk;

  markdown = ''
    # Options

    Made from the options themselves: `tests/nix/run` fails when this page is older than they are, and `BLESS=1 tests/nix/run` writes it.

  ''
  + section "Of a host" "From `nixosModules.default`, in the configuration of a NixOS host." host
  + "\n"
  +
    section "Of a home"
      "From `homeModules.default`, in a home of home-manager, on a NixOS host or alone: [home-manager.md](home-manager.md)."
      home
  + "\n"
  +
    section "Of a host that comes from agenix"
      "From `nixosModules.agenix`, which has all of the above as well. `age.secrets` is another name of `vaultix.secrets`, and `age.secretsMountPoint` of `vaultix.settings.decryptedMountPoint`."
      agenix
  + "\n"
  +
    section "Of a flake"
      "The output `vaultix`, set by `flakeModules.default` under `flake.vaultix` or by the arguments of `configure`, which also takes `localFlake` (the flake itself: where `nodes` come from when not given) and `systems` (those to make commands for)."
      desk;
}
