//! text with placeholders + values → the filled text, made by a loop over its bytes.

use vaultix_generator::placeholder::{self, Encoding};
use vaultix_units::encoding::Encoded;
use vaultix_units::template::{Value, fill};

use crate::draw::Draw;

/// Possible values; others are placeholders.
const VALUES: [&[u8]; 7] = [
    b"",
    b"value",
    b" \n",
    b"\xff\0",
    b"{{",
    b"it's \"$x\" & <`\\`>\r\t",
    "\u{e9}\u{1}\u{ffff}".as_bytes(),
];

/// Encodings that a placeholder may ask for, and what is none.
const ENCODINGS: [&str; 11] =
    ["", "", "json", "url", "shell", "base64", "hex", "environment", "xml", "Json", "hex hex"];

/// Fills a text, and compares the result with the model.
pub fn check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let values: Vec<Option<Vec<u8>>> = (0..3).map(|_| value(&mut draw)).collect();
    let fails = draw.one_in(4);
    let text = if draw.one_in(3) { draw.rest().to_vec() } else { text(&mut draw) };

    let value = |hash: &str| match hash.as_bytes()[0] {
        b'f' if fails => Err(hash.to_owned()),
        first => Ok(values[usize::from(first % 3)].as_deref()),
    };
    let filled = fill(&text, |hash, encoding| {
        let Some(value) = value(hash)? else { return Ok(Value::Itself) };
        let Some(name) = encoding else { return Ok(Value::Bytes(value)) };
        let encoding = Encoding::parse(name).map_err(|_| name.to_owned())?;
        Encoded::new(value, encoding).map(Value::Encoded).map_err(|_| name.to_owned())
    });
    let ours: Result<_, String> = filled.map(|plaintext| plaintext.expose().to_vec());
    assert_eq!(ours, model(&text, &value), "{}", String::from_utf8_lossy(&text));

    let shown = String::from_utf8_lossy(&text);
    let alone = read(shown.as_bytes())
        .filter(|(_, encoding, length)| encoding.is_empty() && *length == shown.len());
    assert_eq!(placeholder::hash(&shown), alone.as_ref().map(|(hash, ..)| &**hash));
}

/// Returns a value; `None` for a placeholder that stays.
fn value(draw: &mut Draw) -> Option<Vec<u8>> {
    match draw.below(4) {
        0 => None,
        1 => Some(placeholder(draw)),
        _ => Some(draw.pick(&VALUES).to_vec()),
    }
}

/// Returns a placeholder, or nearly one.
fn placeholder(draw: &mut Draw) -> Vec<u8> {
    let digit = *draw.pick(b"0123456789abcdefAg");
    let length = *draw.pick(&[64, 64, 64, 64, 63, 65, 128]);
    let blank = |draw: &mut Draw| *draw.pick(&[" ", "", "\t", "  ", "\n"]);
    let digits = char::from(digit).to_string().repeat(length);
    let open = *draw.pick(&["{{", "{{", "{{", "{", "{{{", "{{{{"]);
    let close = *draw.pick(&["}}", "}}", "}}", "}", "}}}"]);
    let (before, after) = (blank(draw), blank(draw));
    let encoding = draw.pick(&ENCODINGS);
    format!("{open}{before}{digits}{after}{encoding}{}{close}", blank(draw)).into_bytes()
}

/// Returns placeholders with texts between them.
fn text(draw: &mut Draw) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..draw.below(8) {
        text.extend(draw.text().bytes());
        text.extend(placeholder(draw));
    }
    text
}

/// Fills `text` byte by byte.
fn model<'a>(
    text: &[u8],
    value: &impl Fn(&str) -> Result<Option<&'a [u8]>, String>,
) -> Result<Vec<u8>, String> {
    let mut filled = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (put, length) = match read(&text[at..]) {
            None => (vec![text[at]], 1),
            Some((hash, encoding, length)) => {
                let put = match value(&hash)? {
                    Some(value) => encoded(value, &encoding).ok_or(encoding)?,
                    None => text[at..at + length].to_vec(),
                };
                (put, length)
            }
        };
        filled.extend(put);
        at += length;
    }
    Ok(filled)
}

/// Returns `value` as the encoding `name` has it; `None` if there is no such encoding, or it cannot be written so.
fn encoded(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8(value.to_vec()).ok();
    let each = |write: fn(&u8) -> String| value.iter().map(write).collect::<Vec<_>>().concat();
    let encoded = match name {
        "" => return Some(value.to_vec()),
        "json" => {
            let quoted = serde_json::to_string(&text?).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        }
        "url" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            value
                .iter()
                .map(|&byte| match byte {
                    byte if plain(byte) => char::from(byte).to_string(),
                    byte => format!("%{byte:02X}"),
                })
                .collect()
        }
        "shell" if value.contains(&0) => return None,
        "shell" => {
            let parts: Vec<&[u8]> = value.split(|&byte| byte == b'\'').collect();
            return Some([b"'", &parts.join(&br"'\''"[..])[..], b"'"].concat());
        }
        "base64" => {
            const DIGITS: &[u8; 64] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let bits = each(|byte| format!("{byte:08b}"));
            let mut digits: String = bits
                .as_bytes()
                .chunks(6)
                .map(|six| format!("{:0<6}", String::from_utf8_lossy(six)))
                .map(|six| char::from(DIGITS[usize::from_str_radix(&six, 2).unwrap()]))
                .collect();
            digits += &"=".repeat((4 - digits.len() % 4) % 4);
            digits
        }
        "hex" => each(|byte| format!("{byte:02x}")),
        "environment" => {
            let text = text.filter(|text| !text.contains('\0'))?;
            let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$");
            format!("\"{}\"", escaped.replace('`', r"\`"))
        }
        "xml" => {
            let text = text?;
            if text.chars().any(|one| one < ' ' && !"\t\n\r".contains(one))
                || text.contains(['\u{fffe}', '\u{ffff}'])
            {
                return None;
            }
            let mut text = text.replace('&', "&amp;");
            for (one, escaped) in [('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")] {
                text = text.replace(one, escaped);
            }
            text.replace('\t', "&#9;").replace('\n', "&#10;").replace('\r', "&#13;")
        }
        _ => return None,
    };
    Some(encoded.into_bytes())
}

/// Reads the placeholder that `text` begins with: its hash, the encoding that it asks for, empty if it asks for none, and
/// its length.
fn read(text: &[u8]) -> Option<(String, String, usize)> {
    let mut at = 0;
    let mut take = |wanted: &dyn Fn(u8) -> bool, most: usize| {
        let count = text[at..].iter().take(most).take_while(|byte| wanted(**byte)).count();
        at += count;
        (count, at)
    };
    let is = |one: u8| move |byte| byte == one;
    let is_blank = |byte| byte == b' ' || byte == b'\t';
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_plain = |byte| !b"{}\n".contains(&byte);
    (take(&is(b'{'), 2).0 == 2).then_some(())?;
    let (_, start) = take(&is_blank, usize::MAX);
    let (digits, end) = take(&is_digit, 64);
    (digits == 64).then_some(())?;
    let (blanks, word) = take(&is_blank, usize::MAX);
    let (letters, last) = take(&is_plain, usize::MAX);
    (blanks > 0 || letters == 0).then_some(())?;
    let (braces, whole) = take(&is(b'}'), 2);
    (braces == 2).then_some(())?;
    let encoding = String::from_utf8(text[word..last].to_vec()).ok()?;
    let hash = String::from_utf8(text[start..end].to_vec()).unwrap();
    Some((hash, encoding.trim_end_matches([' ', '\t']).to_owned(), whole))
}
