# One host. To replace: the public key, the file system, and the name `example` here and in flake.nix.
{
  networking.hostName = "example";
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "25.11";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.systemd-boot.enable = true;

  # Its host key decrypts the secrets.
  services.openssh.enable = true;

  vaultix.settings.hostPubkey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlrgSeCFlHTIgediv8iaOVr+4iigZa54kc9wKL+bHZG";

  # After `vaultix edit secrets/hello.age` and `git add secrets`, write here `hello = { };`, and
  # `vaultix renc` makes what this host decrypts to /run/vaultix/hello.
  vaultix.secrets = { };
}
