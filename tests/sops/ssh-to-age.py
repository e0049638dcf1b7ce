"""Public ed25519 key of ssh → the recipient of age that ssh-to-age prints for it.

ssh-to-age is in no Debian package. The point is moved from the Edwards curve to the Montgomery one, and written as Bech32
(RFC 7748, section 4.1; BIP 173).
"""
import base64
import sys

PRIME = 2**255 - 19
LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, one in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= one if top >> i & 1 else 0
    return check


blob = base64.b64decode(sys.stdin.read().split()[1])
y = int.from_bytes(blob[-32:], "little") & (1 << 255) - 1
u = (1 + y) * pow(1 - y, -1, PRIME) % PRIME
bits = int.from_bytes(u.to_bytes(32, "little"), "big") << 4
data = [bits >> 5 * i & 31 for i in reversed(range(52))]
prefix = [ord(letter) >> 5 for letter in "age"] + [0] + [ord(letter) & 31 for letter in "age"]
check = polymod(prefix + data + [0] * 6) ^ 1
data += [check >> 5 * i & 31 for i in reversed(range(6))]
print("age1" + "".join(LETTERS[value] for value in data))
