//! text with placeholders + values → the filled text, made by a loop over its bytes.

use vaultix_generator::placeholder;
use vaultix_units::template::{Value, fill};

use crate::draw::Draw;

/// Possible values; others are placeholders.
const VALUES: [&[u8]; 5] = [b"", b"value", b" \n", b"\xff\0", b"{{"];

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
    let filled =
        fill(&text, |hash| value(hash).map(|value| value.map_or(Value::Itself, Value::Bytes)));
    let ours = filled.map(|plaintext| plaintext.expose().to_vec());
    assert_eq!(ours, model(&text, &value), "{}", String::from_utf8_lossy(&text));

    let shown = String::from_utf8_lossy(&text);
    let alone = read(shown.as_bytes()).filter(|(_, length)| *length == shown.len());
    assert_eq!(placeholder::hash(&shown), alone.as_ref().map(|(hash, _)| &**hash));
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
    format!("{open}{}{digits}{}{close}", blank(draw), blank(draw)).into_bytes()
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
            None => (&text[at..=at], 1),
            Some((hash, length)) => (value(&hash)?.unwrap_or(&text[at..at + length]), length),
        };
        filled.extend_from_slice(put);
        at += length;
    }
    Ok(filled)
}

/// Reads the placeholder that `text` begins with: its hash and its length.
fn read(text: &[u8]) -> Option<(String, usize)> {
    let mut at = 0;
    let mut take = |wanted: &dyn Fn(u8) -> bool, most: usize| {
        let count = text[at..].iter().take(most).take_while(|byte| wanted(**byte)).count();
        at += count;
        (count, at)
    };
    let is = |one: u8| move |byte| byte == one;
    let is_blank = |byte| byte == b' ' || byte == b'\t';
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (take(&is(b'{'), 2).0 == 2).then_some(())?;
    let (_, start) = take(&is_blank, usize::MAX);
    let (digits, end) = take(&is_digit, 64);
    (digits == 64).then_some(())?;
    take(&is_blank, usize::MAX);
    let (braces, whole) = take(&is(b'}'), 2);
    (braces == 2).then(|| (String::from_utf8(text[start..end].to_vec()).unwrap(), whole))
}
