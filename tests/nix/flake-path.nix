# the vectors whose path comes out otherwise, alone or where Nix looks for copies and secrets.
let
  flakePath = import ../../nix/flake-path.nix;
  vectors = builtins.fromJSON (builtins.readFile ../vectors/flake-path.json);
  root =
    directory:
    import ../../nix/root.nix {
      lib = { };
      cfg.settings = {
        flake = "/flake";
        cache = directory;
        defaultSecretDirectory = directory;
        hostIdentifier = "web1";
      };
    };
  places =
    { path, directory, ... }:
    let
      found = root path;
    in
    [
      found.cacheRoot
      (found.below found.cacheDirectory)
      (found.defaultFile "wifi")
    ]
    == [
      "/flake/${directory}"
      "/flake/${directory}/web1"
      "/flake/${directory}/wifi.age"
    ];
  isWrong =
    vector:
    flakePath.plain vector.path != vector.plain || vector.directory != null && !places vector;
in
{
  count = toString (builtins.length vectors);
  wrong = builtins.concatStringsSep "" (
    map (vector: "${builtins.toJSON vector}\n") (builtins.filter isWrong vectors)
  );
}
