#!/usr/bin/env bash
# Prints cache-name.json: names of cache files by sha256sum(1) and awk(1) alone, which neither of the two
# programs under test uses. Needs jq.  tests/vectors/cache-name.sh >tests/vectors/cache-name.json
set -euo pipefail

# bytes HEX
bytes() {
  # shellcheck disable=SC2059 # The format is the bytes.
  printf "$(sed 's/../\\x&/g' <<<"$1")"
}

# case_of NOTE SOURCE_IN_HEX RECIPIENT [POINTER FORMAT]
case_of() {
  local key name value=()
  [[ $# -lt 5 ]] || value=("$4" "$5")
  key=$(printf %s "$3" | tr '\r\n\t' '   ' |
    awk '{ if ($1 ~ /^(ssh|ecdsa|sk)-/ && NF > 1) print $1 " " $2; else print $1 }')
  name=$(printf '%s\n' vaultix-v1 "$(bytes "$2" | sha256sum | cut -d' ' -f1)" "$key" "${value[@]}" |
    sha256sum | cut -d' ' -f1)
  jq -n --arg note "$1" --arg hex "$2" --arg recipient "$3" --arg name "$name" \
    --arg pointer "${4-}" --arg format "${5-}" \
    '{ note: $note, sourceHex: $hex, recipient: $recipient }
      + (if $format == "" then {} else { pointer: $pointer, format: $format } end) + { name: $name }'
}

blob=AAAAC3NzaC1lZDI1NTE5AAAAIAlrgSeCFlHTIgediv8iaOVr+4iigZa54kc9wKL+bHZG
ssh="ssh-ed25519 $blob"
rsa='ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7'
age=age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
text=$(printf 'age-encryption.org/v1\n-> X25519 abc\n' | od -An -v -tx1 | tr -d ' \n')
{
  case_of 'an ssh key without a comment' "$text" "$ssh"
  case_of 'its comment does not count' "$text" "$ssh root@web1"
  case_of 'nor do more words, tabs and blanks' "$text" "ssh-ed25519 "$'\t'" $blob   me on my laptop"
  case_of 'nor does the newline at the end of a file' "$text" "$ssh root@web1"$'\n'
  case_of 'nor does an empty comment' "$text" "$ssh "
  case_of 'nor does a carriage return' "$text" "$ssh"$'\r\n'
  case_of 'a key of another type' "$text" "$rsa root@web1"
  case_of 'a recipient of age' "$text" "$age"
  case_of 'a recipient of age with a newline' "$text" "$age"$'\n'
  case_of 'a recipient of age with a word behind it' "$text" "$age web1"
  case_of 'one more byte in the source' "${text}00" "$ssh"
  case_of 'a binary source with NUL, 0xff and bytes that are no UTF-8' 00ff00fe0d0a80c3280a "$ssh"
  case_of 'a source without a newline' ff "$age"
  case_of 'a source that is one newline' 0a "$ssh"
  case_of 'an empty source' '' "$ssh"
  case_of 'a value in the source' "$text" "$ssh root@web1" /smtp/password yaml
  case_of 'the same value, read as another format' "$text" "$ssh" /smtp/password json
  case_of 'another value' "$text" "$ssh" /smtp/user yaml
  case_of 'a key with a slash and a tilde' "$text" "$age" '/a~1b/~0c/0' toml
  case_of 'an empty key' "$text" "$ssh" / env
  case_of 'a key with a newline' "$text" "$ssh" $'/a\njson' ini
  case_of 'a key that is no ASCII' "$text" "$ssh" '/é/🔑' ini
} | jq -s .
