#!/usr/bin/env bash
# nothing → the throw-away keys in this folder, made again. Needs age, ssh-keygen, gpg and script(1).
set -euo pipefail
cd "$(dirname "$0")"
rm -f -- *.txt *.age *.asc ssh-* host-*

pass='correct horse'

age-keygen -o me.txt
age-keygen -o other.txt
cat me.txt other.txt >both.txt

# under_passphrase OUT ARGS...: `age -p` types only on a terminal.
under_passphrase() {
    printf '%s\n%s\n' "$pass" "$pass" |
        script --quiet --return --echo never --command "age -p ${*:2} -o $1 me.txt" /dev/null >/dev/null
}
under_passphrase me-passphrase.age
under_passphrase me-passphrase-armored.age -a

ssh-keygen -q -t ed25519 -N '' -C me -f ssh-ed25519
ssh-keygen -q -t rsa -b 2048 -N '' -C me -f ssh-rsa
ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -C me -f ssh-rsa-pem
ssh-keygen -q -t ed25519 -N "$pass" -C me -f ssh-ed25519-passphrase
ssh-keygen -q -t rsa -b 2048 -N "$pass" -C me -f ssh-rsa-passphrase
ssh-keygen -q -t ecdsa -N '' -C me -f ssh-ecdsa
ssh-keygen -q -t ed25519 -N '' -C root@web1 -f host-web1
ssh-keygen -q -t ed25519 -N '' -C root@db1 -f host-db1
ssh-keygen -q -t rsa -b 2048 -N '' -C root@old1 -f host-old1
age-keygen -o host-age.txt

# Post-quantum ones need age 1.3 or newer, and so does a file for one of them that age itself has made.
age-keygen -pq -o me-pq.txt
age-keygen -pq -o other-pq.txt
age -r "$(age-keygen -y me-pq.txt)" -o for-me-pq.age README

# A key of GnuPG, with its private half.
gnupg=$(mktemp -d)
export GNUPGHOME=$gnupg
trap 'gpgconf --kill all; rm -rf -- "$gnupg"' EXIT
gpg --quiet --batch --passphrase '' --quick-gen-key me future-default default never
gpg --quiet --batch --armor --export-secret-keys --output gnupg.asc
