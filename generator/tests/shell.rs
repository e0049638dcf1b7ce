//! `escape::shell` → what bash reads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use vaultix_generator::escape::{line, shell};

#[test]
fn a_shell_reads_the_original_text() {
    let odd: Vec<&[u8]> = vec![
        b"",
        b"plain/path.age",
        b"two words",
        b"it's",
        b"$HOME `id` $(id)",
        b"a\\b",
        b"\"",
        b"~",
        b"*?[a]",
        b"a\nb\t7",
        b"\x1b[31m1",
        "\u{202e}3".as_bytes(),
        "\u{e4}'\u{200b}".as_bytes(),
        b"\xff0\xfe",
        b"#!&;|<>(){}=",
    ];
    for bytes in odd {
        let word = shell(OsStr::from_bytes(bytes));
        assert_eq!(line(&word), word, "it is seen as it is");
        let script = format!("printf %s {word}");
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(output.stdout, bytes, "{word}");
    }
}
