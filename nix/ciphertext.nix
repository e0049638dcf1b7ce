# secrets of a host → their ciphertexts for it, and which of them are missing.
{ lib, cfg }:
let
  inherit (builtins) pathExists;
  inherit (import ./cache-name.nix) name;
  pointer = import ./pointer.nix;
  inherit (import ./root.nix { inherit lib cfg; }) below cacheDirectory;

  isKnown = cfg.settings.flake != null;

  states = builtins.mapAttrs (
    _: secret:
    let
      # What is no key fails an assertion.
      value =
        if secret.key == null || pointer secret.key == null || secret.format == null then
          null
        else
          {
            pointer = pointer secret.key;
            inherit (secret) format;
          };
      entry = name secret.file cfg.settings.hostPubkey value;
    in
    rec {
      hasSource = isKnown && pathExists secret.file;
      place = below "${cacheDirectory}/${entry}";
      hasEntry = hasSource && pathExists place;
      file = builtins.path {
        path = place;
        name = "${entry}.age";
      };
    }
  ) (import ./placed.nix cfg.secrets);

  idsWhere = test: lib.optionals isKnown (lib.attrNames (lib.filterAttrs (_: test) states));
in
{
  # Ids whose master ciphertext is not in the flake; of the rest, those without one for this host.
  withoutSource = idsWhere (state: !state.hasSource);
  withoutEntry = idsWhere (state: state.hasSource && !state.hasEntry);

  # Each file on its own, under a name that depends on its content: nothing else in the flake changes the
  # profile. A missing one fails an assertion; a profile that is evaluated anyway contains the path where it would be.
  cipher =
    id:
    let
      state = states.${id};
    in
    if state.hasEntry then
      state.file
    else
      builtins.unsafeDiscardStringContext (
        if state.hasSource then state.place else below "${cacheDirectory}/${id}"
      );
}
