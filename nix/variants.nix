# node → its other configurations with secrets: what the host can be switched to, and what `nixos-rebuild build-vm` runs.
#
# They look for their ciphertexts in the same cache, so the desk has to know of them.
{ lib }:
node:
let
  inherit (node) config;

  specialisations = lib.mapAttrs' (name: it: {
    name = "specialisation ${name}";
    value = it.configuration;
  }) (config.specialisation or { });

  # Evaluated only where somebody has set something for it: each takes as long as the host itself.
  isSet = option: (node.options.virtualisation.${option}.highestPrio or unset) < unset;
  unset = (lib.mkOptionDefault null).priority;
  machines = lib.genAttrs (builtins.filter isSet [
    "vmVariant"
    "vmVariantWithBootLoader"
  ]) (option: config.virtualisation.${option});
in
lib.filterAttrs (_: variant: variant.vaultix.active or false) (specialisations // machines)
