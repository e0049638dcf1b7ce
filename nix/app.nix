# the command, with what it needs at run time → one package for each verb, for `nix run`.
{
  lib,
  pkgs,
  vaultix,
  extraPackages,
  pinentryPackage,
}:
let
  path = lib.optionalString (
    extraPackages != [ ]
  ) "export PATH=${lib.escapeShellArg (lib.makeBinPath extraPackages)}\${PATH:+:$PATH}\n";

  pinentry = lib.optionalString (
    pinentryPackage != null
  ) "export PINENTRY_PROGRAM=${lib.escapeShellArg (lib.getExe pinentryPackage)}\n";
in
# The command itself finds the flake, evaluates it and knows every option.
lib.genAttrs
  [
    "renc"
    "edit"
    "generate"
    "view"
    "check"
    "status"
    "rekey"
    "import"
  ]
  (
    verb:
    pkgs.writeShellScriptBin "vaultix-${verb}" "${path}${pinentry}exec ${lib.getExe vaultix} ${verb} \"$@\"\n"
  )
