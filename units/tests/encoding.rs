//! values in each encoding → python's own readers of it, which give the values back.

use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use pretty_assertions::assert_eq;
use vaultix_generator::escape::hex;
use vaultix_generator::placeholder::Encoding;
use vaultix_units::encoding::Encoded;

/// Reads lines of an encoding and the hex digits of an encoded value, and prints the hex digits of the value.
const DECODER: &str = r#"
import base64, html, json, shlex, sys, urllib.parse
import xml.etree.ElementTree as xml

def environment(text):
    # The rules for double quotes, which are those of a shell. That systemd's own are the same, the boot tests show.
    assert text[0] == text[-1] == '"'
    (word,) = shlex.split(text.replace('\\$', '$').replace('\\`', '`')) if text != '""' else ('',)
    return word

def in_xml(text):
    one = xml.fromstring(f'<a b="{text}">{text}</a>')
    two = xml.fromstring(f"<a b='{text}'/>")
    assert (one.text or '') == one.get('b') == two.get('b') == html.unescape(text)
    return one.get('b')

def word(text):
    (word,) = shlex.split('x=' + text)
    return word[2:]

TEXT = {
    'json': lambda text: json.loads('"' + text + '"'),
    'shell': word,
    'environment': environment,
    'xml': in_xml,
}
BYTES = {
    'url': urllib.parse.unquote_to_bytes,
    'base64': lambda text: base64.b64decode(text, validate=True),
    'hex': bytes.fromhex,
}
for line in sys.stdin:
    encoding, digits = line.split(' ')
    # Bytes that are not UTF-8 pass through as lone surrogates.
    text = bytes.fromhex(digits).decode('utf-8', 'surrogateescape')
    value = BYTES[encoding](text) if encoding in BYTES else TEXT[encoding](text).encode('utf-8', 'surrogateescape')
    print(value.hex())
"#;

/// Returns values with all that may be special somewhere, each alone and in pairs, and all bytes.
fn values() -> Vec<Vec<u8>> {
    let special =
        "\"'`$\\&<>%+#;=!*?~{}()[]|/:@,. \t\n\rax0\u{7f}\u{80}\u{e9}\u{2028}\u{feff}\u{1f511}";
    let mut values =
        vec![Vec::new(), special.into(), "two\nlines\n".into(), "  both ends\t\r\n".into()];
    values.push("\\u0041 %41 &amp; $HOME ${HOME} `id` $(id) \\n".into());
    values.push((0..=255).collect());
    values.push((1..=255).collect());
    values.extend((0..=255).map(|byte| vec![b'a', byte]));
    for one in special.chars() {
        values.extend(special.chars().map(|other| format!("{one}{other}").into_bytes()));
    }
    values
}

#[test]
fn other_programs_read_what_was_encoded() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"), "no python3");
        eprintln!("SKIPPED: reading what was encoded takes python3");
        return;
    }
    let mut lines = String::new();
    let mut expected = Vec::new();
    for value in values() {
        for encoding in Encoding::ALL {
            // Which values are refused is tested where encodings are.
            let Ok(encoded) = Encoded::new(&value, encoding) else { continue };
            let mut text = Vec::new();
            encoded.append_to(&mut text);
            writeln!(lines, "{} {}", encoding.name(), hex(&text)).unwrap();
            expected.push(format!("{} {}", encoding.name(), hex(&value)));
        }
    }
    for encoding in Encoding::ALL {
        let count = expected.iter().filter(|line| line.starts_with(encoding.name())).count();
        assert!(count > 900, "{count} values in {encoding:?}");
    }
    let mut python = Command::new("python3")
        .args(["-c", DECODER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let asked = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    asked.join().unwrap();
    assert!(output.status.success());
    let decoded = String::from_utf8(output.stdout).unwrap();
    let names = expected.iter().map(|line| line.split_once(' ').unwrap().0);
    let decoded: Vec<String> =
        names.zip(decoded.lines()).map(|(name, line)| format!("{name} {line}")).collect();
    assert_eq!(decoded, expected);
}
