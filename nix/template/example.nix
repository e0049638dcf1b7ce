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

  # `ssh-keyscan -t ed25519 HOST` prints it after the host's name. As long as it is empty, this host gets no secrets.
  vaultix.settings.hostPubkey = "";

  # After `vaultix edit secrets/hello.age` and `git add secrets`, write here `hello = { };`, and
  # `vaultix renc` makes what this host decrypts to /run/vaultix/hello.
  vaultix.secrets = { };
}
