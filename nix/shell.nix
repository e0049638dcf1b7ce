# what a developer needs.
{ pkgs }:
pkgs.mkShell {
  packages = [
    pkgs.cargo
    pkgs.clippy
    pkgs.rustc
    pkgs.rustfmt

    pkgs.deadnix
    pkgs.nixfmt
    pkgs.statix

    pkgs.age
    pkgs.cargo-deny
    pkgs.git
    pkgs.jq
    pkgs.openssh
  ];
}
