//! a structured file, made of odd pieces + changes → each value but one stays what it was.

use vaultix::structured::{Document, Format, Pointer, set, unset};

use crate::draw::Draw;

/// What files are made from, besides odd texts.
const PIECES: [&str; 56] = [
    "a: ",
    "b: ",
    "- ",
    "  ",
    "    ",
    "\n",
    "\n",
    "\n  ",
    "\n    ",
    "\r\n",
    "# c\n",
    " # c",
    "a = ",
    "b=",
    "a.b = ",
    "[a]\n",
    "[a.b]\n",
    "[[a]]\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ", ",
    ":",
    "\"a\": ",
    "\"b\": ",
    "\"x\"",
    "'x'",
    "x",
    "1",
    "1.5",
    "true",
    "null",
    "~",
    "|\n",
    "|+\n",
    ">-\n",
    "|2-\n",
    "&x ",
    "*x",
    "<<: *x",
    "? ",
    "---\n",
    "...\n",
    "!!t ",
    "\"\"\"",
    "'''",
    "\\",
    "\\\n",
    "export A=",
    "A=",
    "é",
    "\u{feff}",
    "; c\n",
    "a: {b: [1, 2]}",
];

/// Whole files, which are changed a little.
const FILES: [(Format, &str); 5] = [
    (
        Format::Json,
        "{\n  \"a\": {\"b\": [1, \"x\", {}]},\n  \"c\": null,\n  \"d\": \"\\u00e9\"\n}\n",
    ),
    (
        Format::Yaml,
        "# c\na: &x\n  b: 1 # d\n  c: |\n    x\n    y\n\n  d: 'e'\nf:\n  - g: \"h\"\n    i: >-\n      j\n  - <<: *x\n    b: k\n\
         l: {m: n, o: [p, q]}\nr:\n",
    ),
    (
        Format::Toml,
        "# c\na = \"b\" # d\ne.f = 1\n[g]\nh = [ 1,\n 2, # i\n]\nj = { k = 'l' }\n[[m]]\nn = 1979-05-27\n[[m]]\n[o.p]\nq = '''\nr'''\n",
    ),
    (Format::Env, "# c\nexport A=b\nC='d\ne' f\nG=\"h\\\"i\" # j\nK=\n"),
    (
        Format::Ini,
        "a = b\n; c\n[d]\n  e=f\n  g : \"h\"\n[i]\nj =\n  k\n  l\nm = \"\"\"n\no\"\"\"\n",
    ),
];

/// Reads a file, changes and removes one of its values, and compares what is left.
pub fn check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    pointer(&mut draw);
    let (format, text) = if draw.one_in(4) {
        (draw.pick(&Format::NAMES).1, pieces(&mut draw))
    } else {
        let (format, text) = *draw.pick(&FILES);
        (format, changed(&mut draw, text))
    };
    let Ok(document) = Document::parse(text.as_bytes(), format) else { return };
    let keys = document.keys();
    for key in &keys {
        // A list or map may have a number that JSON does not have.
        let _ = document.get(key);
    }
    let value = match draw.below(6) {
        0 => "5".to_owned(),
        1 => "false".to_owned(),
        2 => "x\ny\n".to_owned(),
        _ => draw.text(),
    };
    let key = match draw.below(4) {
        0 => Pointer::from_words((0..=draw.below(2)).map(|_| draw.text()).collect()).unwrap(),
        _ if keys.is_empty() => return,
        _ => keys[draw.below(keys.len().min(256))].clone(),
    };
    if let Ok(new) = set(text.as_bytes(), format, &key, value.as_bytes()) {
        let after = Document::parse(&new, format).unwrap();
        assert_eq!(*after.get(&key).unwrap(), value.as_bytes(), "{text:?} {key}");
        same(&document, &after, &key, &text);
    }
    if let Ok(new) = unset(text.as_bytes(), format, &key) {
        let after = Document::parse(&new, format).unwrap();
        if !is_in_list(&document, &key) {
            assert!(!after.keys().contains(&key), "{text:?} {key}");
            same(&after, &document, &key, &text);
        }
    }
}

/// Reads back a pointer, and compares it with what RFC 6901 says.
fn pointer(draw: &mut Draw) {
    let words: Vec<String> = (0..=draw.below(3)).map(|_| draw.text()).collect();
    let pointer = Pointer::from_words(words.clone()).unwrap();
    let mut text = String::new();
    for word in &words {
        text.push('/');
        for one in word.chars() {
            match one {
                '~' => text.push_str("~0"),
                '/' => text.push_str("~1"),
                _ => text.push(one),
            }
        }
    }
    assert_eq!(pointer.to_string(), text);
    assert_eq!(Pointer::from_user(&text).unwrap(), pointer);
    if words.iter().all(|word| !word.contains('/')) && !words[0].is_empty() {
        assert_eq!(Pointer::from_user(&words.join("/")).unwrap(), pointer);
    }
}

/// Makes sure that all values of `before` that are not at, above or below `key` are the same in `after`.
fn same(before: &Document, after: &Document, key: &Pointer, text: &str) {
    let key = key.to_string();
    for other in before.keys() {
        let shown = other.to_string();
        let is_related = |one: &str, two: &str| one == two || one.starts_with(&format!("{two}/"));
        if !is_related(&shown, &key) && !is_related(&key, &shown) {
            let value = |document: &Document| document.get(&other).ok().map(|value| value.to_vec());
            assert_eq!(value(before), value(after), "{text:?} {key}: {shown}");
        }
    }
}

/// Returns whether `key` is in a list, in which removing it moves others.
fn is_in_list(document: &Document, key: &Pointer) -> bool {
    let words = key.words();
    let above = Pointer::from_words(words[..words.len() - 1].to_vec());
    above.is_ok_and(|above| document.get(&above).is_ok_and(|json| json.starts_with(b"[")))
        || words.len() == 1 && document.keys().iter().any(|key| key.to_string() == "/0")
}

fn pieces(draw: &mut Draw) -> String {
    (0..draw.below(40)).map(|_| *draw.pick(&PIECES)).collect()
}

/// Returns `text` with a few pieces put into it, or lines removed.
fn changed(draw: &mut Draw, text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..draw.below(4) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = places[draw.below(256) % places.len()];
        if draw.one_in(4) {
            let end = places[draw.below(256) % places.len()].max(at).min(at + 9);
            if text.is_char_boundary(end) {
                text.replace_range(at..end, "");
            }
        }
        text.insert_str(at.min(text.len()), draw.pick::<&str>(&PIECES));
    }
    text
}
