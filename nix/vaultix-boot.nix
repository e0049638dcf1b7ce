# the two programs for a host, for `callPackage`.
{
  lib,
  stdenv,
  pkgsStatic,
  rustPlatform,
  glibc,
  testers,
  # What the programs are linked with, statically: they start faster than with shared libraries, and need none at boot.
  # "glibc" takes the ordinary compiler, where Rust for musl cannot be had; the programs are half as large again.
  libc ? if hasMusl then "musl" else "glibc",
  hasMusl ?
    stdenv.hostPlatform.isLinux
    && (
      stdenv.hostPlatform.isx86_64 || stdenv.hostPlatform.isAarch64 || stdenv.hostPlatform.isRiscV64
    ),
}:
assert lib.assertOneOf "libc" libc [
  "musl"
  "glibc"
];
let
  common = import ./source.nix { inherit lib; } [
    "Cargo.lock"
    "Cargo.toml"
    "docs/man"
    "generator"
    "units"
  ];
  isMusl = libc == "musl";
  platform = if isMusl then pkgsStatic.rustPlatform else rustPlatform;
  target = (if isMusl then pkgsStatic.stdenv else stdenv).hostPlatform.rust.cargoShortTarget;
in
platform.buildRustPackage (
  common
  // {
    pname = "vaultix-boot";

    # The rest of the workspace is not in these sources: what follows `[package]` is the command for the workstation.
    postPatch = ''
      sed -i 's|^members = .*|members = ["generator", "units"]|
        s|^default-members = .*|default-members = ["generator", "units"]|
        /^\[package\]/,$d' Cargo.toml
    '';
    buildInputs = lib.optional (!isMusl) glibc.static;
    env.RUSTFLAGS = "-Ctarget-feature=+crt-static -Crelocation-model=static";
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
      built=target/${target}/release
      install -D -m 0755 -t $out/bin $built/vaultix-decrypt
      install -D -m 0755 -t $out/lib/systemd/system-generators $built/vaultix-generator
      # Every unit names them: `systemctl help vaultix-secret@wifi` opens one.
      install -D -m 0644 -t $out/share/man/man5 docs/man/vaultix-profile.5
      install -D -m 0644 -t $out/share/man/man8 docs/man/*.8
      runHook postInstall
    '';
    # Symbols too: a program that dies says so in words, and has none for a debugger.
    stripAllList = [
      "bin"
      "lib"
    ];

    passthru.tests.vm = testers.runNixOSTest (
      import ./vm-test.nix { self.nixosModules.default = ./module.nix; }
    );

    meta = {
      description = "Places a host's secrets at boot and at every switch";
      license = [
        lib.licenses.mit
        lib.licenses.asl20
      ];
      mainProgram = "vaultix-decrypt";
      platforms = lib.platforms.linux;
    };
  }
)
