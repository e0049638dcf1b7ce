# the command for the workstation, for `callPackage`.
{
  lib,
  rustPlatform,
  installShellFiles,
}:
let
  common = import ./source.nix { inherit lib; } [
    "Cargo.lock"
    "Cargo.toml"
    "completions"
    "docs/man"
    "generator"
    # What `vaultix init` begins with.
    "nix/template"
    "src"
    "units"
  ];
in
rustPlatform.buildRustPackage (
  common
  // {
    pname = "vaultix";

    # Tests and their tools are other members of the workspace. They are not in these sources.
    postPatch = ''
      sed -i 's|^members = .*|members = [".", "generator", "units"]|
        /^\[dev-dependencies\]/,/^\[lints\]/{/^\[lints\]/!d}' Cargo.toml
    '';
    cargoBuildFlags = [
      "--package"
      "vaultix"
    ];

    nativeBuildInputs = [ installShellFiles ];
    postInstall = ''
      installManPage docs/man/*.[158]
      installShellCompletion --cmd vaultix completions/*.{bash,fish,zsh}
    '';

    meta = {
      description = "Edits secrets for NixOS and encrypts them to hosts";
      license = [
        lib.licenses.mit
        lib.licenses.asl20
      ];
      mainProgram = "vaultix";
      platforms = lib.platforms.unix;
    };
  }
)
