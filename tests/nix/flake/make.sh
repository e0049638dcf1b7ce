#!/usr/bin/env bash
# Makes the keys, secrets and cache of this folder again, with age(1), ssh-keygen(1) and sha256sum(1).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf identity.txt host_key host_key.pub secrets
mkdir -p secrets/cache/machine
age-keygen -o identity.txt 2>/dev/null
ssh-keygen -q -t ed25519 -N '' -C machine -f host_key
recipient=$(cut -d' ' -f1,2 host_key.pub)

# secret NAME TEXT: encrypts TEXT to the master identity and to the host.
secret() {
  local name
  printf %s "$2" | age -r "$(age-keygen -y identity.txt)" -o "secrets/$1.age"
  name=$(printf 'vaultix-v1\n%s\n%s\n' "$(sha256sum <"secrets/$1.age" | cut -d' ' -f1)" "$recipient" |
    sha256sum | cut -d' ' -f1)
  printf %s "$2" | age -r "$recipient" -o "secrets/cache/machine/$name"
  if [[ $1 == broken ]]; then truncate -s -5 "secrets/cache/machine/$name"; fi
}

secret hello 'hello'
secret changed 'changed'
# The password "secret", by mkpasswd.
# shellcheck disable=SC2016
secret password '$6$vaultixtests$Uc90i9vXvm52yaNxYeZhg9n4sQEZlPrf4RsnQ6RFvZUK0nna/3PA72nAvre6KCMviK92W7BLWC/hs/U5F/QTe0'
secret broken 'its ciphertext for the host is cut short'
# In no cache.
printf new | age -r "$(age-keygen -y identity.txt)" -o secrets/new.age
printf 'a/b: [new]\n' | age -r "$(age-keygen -y identity.txt)" -o secrets/mail.yml.age
