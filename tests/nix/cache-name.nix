# a folder with the vectors' sources as files 0, 1, … → the vectors whose name comes out otherwise.
{ sources }:
let
  vectors = builtins.fromJSON (builtins.readFile ../vectors/cache-name.json);
  inherit (import ../../nix/cache-name.nix) name;
  wrong =
    at:
    let
      vector = builtins.elemAt vectors at;
      found = name (sources + "/${toString at}") vector.recipient (
        if vector ? pointer then { inherit (vector) pointer format; } else null
      );
    in
    if found == vector.name then [ ] else [ "${vector.note}: ${found} instead of ${vector.name}\n" ];
in
{
  # The sources in hex, one a line.
  hex = builtins.concatStringsSep "\n" (map (vector: vector.sourceHex) vectors);
  wrong = builtins.concatStringsSep "" (
    builtins.concatMap wrong (builtins.genList (at: at) (builtins.length vectors))
  );
}
