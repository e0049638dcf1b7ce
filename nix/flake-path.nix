# path that a flake names → the same from the flake's root, or null where it is not inside it. Twin of
# src/flake/path.rs: tests/vectors/flake-path.json has cases that both must pass. Needs no library.
let
  inherit (builtins) stringLength substring;

  parts = path: builtins.filter builtins.isString (builtins.split "/" path);

  # git has its own directory there, and tracks nothing of this name: so Nix sees nothing either.
  isGit = part: builtins.match "[.][gG][iI][tT]" part != null;
  isPlain =
    part:
    !isGit part
    && !builtins.elem part [
      ""
      "."
      ".."
    ];

  withoutDot =
    path: if substring 0 2 path == "./" then substring 2 (stringLength path) path else path;
  withoutSlash =
    path:
    let
      last = stringLength path - 1;
    in
    if last >= 0 && substring last 1 path == "/" then substring 0 last path else path;
in
rec {
  # A slash at the end stays: it tells a directory from a file. Linux knows no longer path.
  plain =
    path:
    let
      rest = withoutDot path;
    in
    if stringLength path < 4096 && builtins.all isPlain (parts (withoutSlash rest)) then
      rest
    else
      null;

  # The same for a path that has passed: without the slash.
  directory = path: withoutSlash (withoutDot path);
}
