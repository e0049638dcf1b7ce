# sources → the two packages: `vaultix` for the desk, `vaultix-boot` for a host.
{ pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv) hostPlatform;

  # Only what is built from, so that a change elsewhere builds nothing. Not lib.fileset, which asks more of
  # nix than the rest of this flake does.
  source = lib.cleanSourceWith {
    name = "vaultix-source";
    src = ../.;
    filter =
      path: _:
      let
        inside = lib.removePrefix "${toString ../.}/" (toString path);
      in
      # What `vaultix init` begins with.
      inside == "nix"
      || lib.hasPrefix "nix/template" inside
      || lib.elem (lib.head (lib.splitString "/" inside)) [
        "Cargo.lock"
        "Cargo.toml"
        "completions"
        "docs"
        "fuzz"
        "generator"
        "src"
        "tests"
        "units"
      ];
  };

  common = {
    inherit ((lib.importTOML ../Cargo.toml).workspace.package) version;
    src = source;
    cargoLock.lockFile = ../Cargo.lock;
    strictDeps = true;
    # The tests are a check of their own, and need tools that a package does not.
    doCheck = false;
  };

  meta = {
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
  };

  # Static programs start faster and need no library at boot. Elsewhere musl has no Rust.
  bootPackages =
    if
      hostPlatform.isLinux && (hostPlatform.isx86_64 || hostPlatform.isAarch64 || hostPlatform.isRiscV64)
    then
      pkgs.pkgsStatic
    else
      pkgs;
in
{
  vaultix = pkgs.rustPlatform.buildRustPackage (
    common
    // {
      pname = "vaultix";
      cargoBuildFlags = [
        "--package"
        "vaultix"
      ];
      nativeBuildInputs = [ pkgs.installShellFiles ];
      postInstall = ''
        for page in docs/man/*.[158]; do
          [ ! -e "$page" ] || installManPage "$page"
        done
        for script in completions/*.{bash,fish,zsh}; do
          [ ! -e "$script" ] || installShellCompletion --cmd vaultix "$script"
        done
      '';
      meta = meta // {
        description = "Edits secrets for NixOS and encrypts them to hosts";
        mainProgram = "vaultix";
        platforms = lib.platforms.unix;
      };
    }
  );

  vaultix-boot = bootPackages.rustPlatform.buildRustPackage (
    common
    // {
      pname = "vaultix-boot";
      # Each alone: one call for both would unite the features of what they share.
      buildPhase = ''
        runHook preBuild
        cargoBuildFlags="--package vaultix-generator" cargoBuildHook
        cargoBuildFlags="--package vaultix-units" cargoBuildHook
        runHook postBuild
      '';
      # The generator finds the helper from its own place, ../../../bin.
      installPhase = ''
        runHook preInstall
        built=target/${bootPackages.stdenv.hostPlatform.rust.cargoShortTarget}/release
        install -D -m 0755 -t $out/bin $built/vaultix-decrypt
        install -D -m 0755 -t $out/lib/systemd/system-generators $built/vaultix-generator
        # Every unit names them: `systemctl help vaultix-secret@wifi` opens one.
        install -D -m 0644 -t $out/share/man/man5 docs/man/vaultix-profile.5
        install -D -m 0644 -t $out/share/man/man8 docs/man/*.8
        runHook postInstall
      '';
      meta = meta // {
        description = "Places a host's secrets at boot and at every switch";
        mainProgram = "vaultix-decrypt";
        platforms = lib.platforms.linux;
      };
    }
  );
}
