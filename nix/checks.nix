# everything that CI runs, for machines with nixpkgs.
{ pkgs, self }:
let
  inherit (pkgs.stdenv.hostPlatform) system;
  packages = self.packages.${system};

  # The sources as Git has them, looked at and thrown away.
  inSource =
    name: tools: script:
    pkgs.runCommand "vaultix-${name}" { nativeBuildInputs = tools; } ''
      cp -r ${self} source
      chmod -R u+w source
      cd source
      ${script}
      touch $out
    '';

  cargo =
    name: tools: command:
    packages.vaultix.overrideAttrs (old: {
      pname = "vaultix-${name}";
      src = self;
      # All members of the workspace are there.
      postPatch = "";
      outputs = [ "out" ];
      nativeBuildInputs = (old.nativeBuildInputs or [ ]) ++ tools;
      buildPhase = ''
        runHook preBuild
        ${command}
        runHook postBuild
      '';
      installPhase = "touch $out";
    });
in
{
  inherit (packages) vaultix vaultix-boot;

  nix-format = inSource "nix-format" [ pkgs.nixfmt ] "find . -name '*.nix' -exec nixfmt --check {} +";
  nix-lint =
    inSource "nix-lint"
      [
        pkgs.deadnix
        pkgs.statix
      ]
      ''
        deadnix --fail .
        statix check .
      '';
  nix-tests = inSource "nix-tests" [ pkgs.nix ] ''
    HOME=$PWD NIXPKGS_LIB=${self.inputs.nixpkgs} tests/nix/run
  '';

  rust-format = inSource "rust-format" [
    pkgs.cargo
    pkgs.rustfmt
  ] "cargo fmt --all --check";
  rust-lint = cargo "rust-lint" [
    pkgs.clippy
  ] "cargo clippy --workspace --all-targets --offline -- --deny warnings";
  rust-tests =
    cargo "rust-tests"
      [
        pkgs.age
        pkgs.git
        pkgs.openssh
      ]
      "cargo test --offline --package vaultix-generator --package vaultix-units --package vaultix --lib --bins";

  vm = pkgs.testers.runNixOSTest (import ./vm-test.nix { inherit self; });
}
