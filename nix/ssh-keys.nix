# a host's configuration → its ssh host keys that NixOS makes; none if it makes none.
config:
let
  ssh = config.services.openssh;
in
# Newer releases can make them for others, without sshd.
if ssh.enable || ssh.generateHostKeys or false then ssh.hostKeys else [ ]
