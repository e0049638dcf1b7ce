//! texts → the same texts, with one value changed or removed.

use super::*;

/// What is done to a text: what is at a key becomes a value, or is removed.
type Case<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

/// Makes sure that each of `cases` gives the text that it names, or the reason that nothing does.
fn check(format: Format, cases: &[Case]) {
    for (text, key, value, expected) in cases {
        let pointer = Pointer::from_user(key).unwrap();
        let done = match value {
            Some(value) => set(text, format, &pointer, value),
            None => unset(text, format, &pointer),
        };
        let done = done.map_or_else(|reason| format!("error: {reason}"), |text| text.to_string());
        assert_eq!(done, *expected, "{text:?} {key} {value:?}");
    }
}

#[test]
fn json_keeps_all_but_the_value() {
    check(
        Format::Json,
        &[
            (
                "{\"a\":\"x\",\n \"b\": 1}\n",
                "a",
                Some("y\"\n"),
                "{\"a\":\"y\\\"\\n\",\n \"b\": 1}\n",
            ),
            ("{\"a\": 1, \"b\": true}", "a", Some("2.5"), "{\"a\": 2.5, \"b\": true}"),
            ("{\"a\": 1, \"b\": true}", "b", Some("false"), "{\"a\": 1, \"b\": false}"),
            ("{\"a\": 1}", "a", Some("true"), "{\"a\": \"true\"}"),
            ("{\"a\": 1}", "a", Some("0x1"), "{\"a\": \"0x1\"}"),
            ("{\"a\": 1}", "b", Some("2"), "{\"a\": 1, \"b\": \"2\"}"),
            ("{\"a\":1,\"b\":2}", "c", Some("2"), "{\"a\":1,\"b\":2,\"c\":\"2\"}"),
            (
                "{\n  \"a\": 1\n}\n",
                "b/c",
                Some("2"),
                "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": \"2\"\n  }\n}\n",
            ),
            ("{}", "a/b", Some("2"), "{\n  \"a\": {\n    \"b\": \"2\"\n  }\n}"),
            ("{\"a\": {}}", "a/b", Some("2"), "{\"a\": {\"b\": \"2\"}}"),
            ("{\"a\": [ ]}", "a/0", Some("2"), "{\"a\": [\"2\" ]}"),
            ("{\"a\": [1,  2]}", "a/2", Some("3"), "{\"a\": [1,  2,  \"3\"]}"),
            ("{\"a\": [1, 2]}", "a/3", Some("3"), "error: /a is a list with the keys 0 to 1"),
            ("{\"a\": [1, 2]}", "a", Some("3"), "error: /a has keys of its own; unset it first"),
            ("{\"a\": 1}", "a/b", Some("3"), "error: /a is a value, without keys"),
            ("{\n  \"a\": 1,\n  \"b\": 2\n}", "a", None, "{\n  \"b\": 2\n}"),
            ("{\n  \"a\": 1,\n  \"b\": 2\n}", "b", None, "{\n  \"a\": 1\n}"),
            ("{ \"a\": 1 }", "a", None, "{ }"),
            ("[1, {\"a\": 1}, 3]", "1", None, "[1, 3]"),
            ("{\"a\": 1}", "b", None, "error: the file has no key \"b\"; it has a"),
        ],
    );
}

#[test]
fn yaml_keeps_all_but_the_value() {
    check(
        Format::Yaml,
        &[
            ("a: &x {c: 1}\nb: {<<: *x}\n", "b/c", Some("w"), "a: &x {c: 1}\nb: {c: w, <<: *x}\n"),
            ("a:\n-\n- # c\n", "b", Some("w"), "a:\n-\n- # c\nb: w\n"),
            ("# c\na: x # d\nb:   1\n", "a", Some("w"), "# c\na: w # d\nb:   1\n"),
            ("a: x # d\nb: 1\n", "a", Some("w z"), "a: 'w z' # d\nb: 1\n"),
            ("a: \"x\" # d\n", "a", Some("w\n"), "a: \"w\\n\" # d\n"),
            ("a: 'x' # d\n", "a", Some("it's"), "a: 'it''s' # d\n"),
            ("a: x # d\nb: 1\n", "a", Some("w\nz\n"), "a: | # d\n  w\n  z\nb: 1\n"),
            ("a: x\nb: 1\n", "a", Some(" w\nz"), "a: |2-\n   w\n  z\nb: 1\n"),
            (
                "a:\n  b: |\n    x\n    w\n  # c\n  d: 1\n",
                "a/b",
                Some("z\n"),
                "a:\n  b: |\n    z\n  # c\n  d: 1\n",
            ),
            ("a: |+\n  x\n\n\nb: 1\n", "a", Some("z\ny\n\n"), "a: |+\n  z\n  y\n\nb: 1\n"),
            ("a: 1\n", "a", Some("2"), "a: 2\n"),
            ("a: 1\n", "a", Some("x"), "a: x\n"),
            ("a: x\n", "a", Some("2"), "a: '2'\n"),
            ("a: x\n", "a", Some("no"), "a: 'no'\n"),
            ("a: x\n", "a", Some(""), "a: ''\n"),
            ("a:\nb: 1\n", "a", Some("x"), "a: x\nb: 1\n"),
            ("a: # c\n\n# d\nb: 1\n", "a", Some("x"), "a: x # c\n\n# d\nb: 1\n"),
            ("a: # c\n\n# d\nb: 1\n", "a/e", Some("x"), "a: # c\n  e: x\n\n# d\nb: 1\n"),
            ("é: {a: 1}\nö: x\n", "ö", Some("w"), "é: {a: 1}\nö: w\n"),
            ("é: {a: 1}\n", "é/b c", Some("w z"), "é: {a: 1, 'b c': 'w z'}\n"),
            ("a: {}\n", "a/b/c", Some("w"), "a: {b: {c: w}}\n"),
            ("a: [1,\n  2, # c\n]\n", "a/2", Some("w"), "a: [1,\n  2,\n  w, # c\n]\n"),
            (
                "a:\n  b: 1 # c\n\n# d\ne: 1\n",
                "a/f",
                Some("x"),
                "a:\n  b: 1 # c\n  f: x\n\n# d\ne: 1\n",
            ),
            (
                "a:\n  b: |+\n    x\n\ne: 1\n",
                "a/f",
                Some("x"),
                "a:\n  b: |+\n    x\n\n  f: x\ne: 1\n",
            ),
            ("a:\n- b: 1\n- 2\nc: 1\n", "a/2", Some("x"), "a:\n- b: 1\n- 2\n- x\nc: 1\n"),
            (
                "a:\n- b: 1\n- 2\nc: 1\n",
                "a/2/d/e",
                Some("x"),
                "a:\n- b: 1\n- 2\n- d:\n    e: x\nc: 1\n",
            ),
            ("a:\n- b: 1\nc: 1\n", "a/0/d", Some("x"), "a:\n- b: 1\n  d: x\nc: 1\n"),
            ("a: 1", "b", Some("x"), "a: 1\nb: x"),
            ("", "a/b", Some("x\ny\n"), "a:\n  b: |\n    x\n    y\n"),
            ("# c\n---\n", "a", Some("x"), "# c\n---\na: x\n"),
            ("a: 1\r\nb: 2\r\n", "c", Some("x"), "a: 1\r\nb: 2\r\nc: x\r\n"),
            ("a: &x 1\nb: *x\n", "b", Some("2"), "a: &x 1\nb: 2\n"),
            (
                "a: &x 1\nb: *x\n",
                "a",
                Some("2"),
                "error: /a cannot be changed alone: an alias or << has it elsewhere",
            ),
            (
                "a: &x {c: 1}\nb: *x\n",
                "b/c",
                Some("2"),
                "error: /b is an alias: change what it stands for",
            ),
            (
                "a: &x {c: 1}\nb:\n  <<: *x\n",
                "b/c",
                Some("2"),
                "a: &x {c: 1}\nb:\n  <<: *x\n  c: '2'\n",
            ),
            (
                "a: &x {c: {d: 1}}\nb:\n  <<: *x\n",
                "b/c/d",
                Some("2"),
                "error: /b/c is merged: change it where it is",
            ),
            ("# c\na: 1 # d\n# e\nb: 2\n", "a", None, "# c\n# e\nb: 2\n"),
            ("a:\n  b: 1\nc: 2\n", "a", None, "c: 2\n"),
            ("a:\n  # c\n  b: 1\nc: 2\n", "a/b", None, "a: {}\n  # c\nc: 2\n"),
            ("a: 1\n", "a", None, "{}\n"),
            ("a:\n- b: 1\n  c: 2\n- 3\n", "a/0/b", None, "a:\n- c: 2\n- 3\n"),
            ("a:\n- b: 1\n  c: 2\n- 3\n", "a/0", None, "a:\n- 3\n"),
            ("a:\n- 3\n", "a/0", None, "a: []\n"),
            ("a: {b: 1, c: 2}\n", "a/b", None, "a: {c: 2}\n"),
            ("a: [1,\n  2, # c\n  3]\n", "a/1", None, "a: [1,\n  # c\n  3]\n"),
            (
                "a: &x 1\nb: *x\n",
                "a",
                None,
                "error: /a cannot be changed alone: an alias or << has it elsewhere",
            ),
            ("a: |\n  x\n\n\nb: 1\n", "a", None, "\n\nb: 1\n"),
        ],
    );
}

#[test]
fn toml_keeps_all_but_the_value() {
    check(
        Format::Toml,
        &[
            ("# c\na = \"x\" # d\nb=1\n", "a", Some("y\n"), "# c\na = \"y\\n\" # d\nb=1\n"),
            ("a = 'x' # d\n", "a", Some("y\\"), "a = 'y\\' # d\n"),
            ("a = 1\n", "a", Some("2"), "a = 2\n"),
            ("a = 1\n", "a", Some("x"), "a = \"x\"\n"),
            (
                "# c\na = 1\n\n# d\n[e]\nf = 2 # g\n\n[h]\n",
                "e/i",
                Some("x"),
                "# c\na = 1\n\n# d\n[e]\nf = 2 # g\ni = \"x\"\n\n[h]\n",
            ),
            ("# c\n[e]\nf = 2\n", "a", Some("x"), "a = \"x\"\n# c\n[e]\nf = 2\n"),
            ("a = 1\n", "b/c/d", Some("x"), "a = 1\n\n[b.c]\nd = \"x\"\n"),
            ("", "b/c", Some("x"), "[b]\nc = \"x\"\n"),
            ("a = { b = 1 }\n", "a/c", Some("x"), "a = { b = 1, c = \"x\" }\n"),
            ("a = [ 1,\n 2, ]\n", "a/2", Some("x"), "a = [ 1,\n 2,\n \"x\", ]\n"),
            ("[[a]]\nb = 1\n", "a/1/b", Some("x"), "[[a]]\nb = 1\n\n[[a]]\nb = \"x\"\n"),
            ("# c\na = 1 # d\n# e\nb = 2\n", "a", None, "# c\n# e\nb = 2\n"),
            ("a.b = 1\nc = 2\n", "a/b", None, "c = 2\n"),
            ("[a]\nb = 1\n[a.c]\nd = 1\n\n[e]\n", "a", None, "\n[e]\n"),
            ("a = { b = 1, c = 2 }\n", "a/c", None, "a = { b = 1 }\n"),
            ("[[a]]\nb = 1\n[[a]]\nb = 2\n", "a/0", None, "[[a]]\nb = 2\n"),
        ],
    );
}

#[test]
fn env_keeps_all_but_the_value() {
    check(
        Format::Env,
        &[
            ("# c\nexport A=x # d\nB='2'\n", "A", Some("y"), "# c\nexport A=y\nB='2'\n"),
            ("A='x'\n", "A", Some("y z"), "A='y z'\n"),
            ("A='x'\n", "A", Some("it's"), "A=\"it's\"\n"),
            ("A=\"x\"\n", "A", Some("a\"\\$`\nb"), "A=\"a\\\"\\\\\\$\\`\nb\"\n"),
            ("A=1\nA=2\n", "A", Some("3"), "A=1\nA=3\n"),
            ("A=1", "B", Some("x y"), "A=1\nB='x y'\n"),
            ("", "B", Some(""), "B=''\n"),
            (
                "A=1\n",
                "B C",
                Some("x"),
                "error: \"B C\" is no name of a variable: letters, digits and _",
            ),
            ("A=1\n", "A/B", Some("x"), "error: /A is a value, without keys"),
            ("A=1\n", "C/B", Some("x"), "error: a variable has no keys below it"),
            ("A=1\n# c\nexport A='2\n3' # d\nB=4\n", "A", None, "# c\nB=4\n"),
        ],
    );
}

#[test]
fn ini_keeps_all_but_the_value() {
    check(
        Format::Ini,
        &[
            ("; c\n[a]\n  b=x\n\n[d]\n", "a/b", Some("y;z"), "; c\n[a]\n  b=y;z\n\n[d]\n"),
            ("[a]\n  b=x\n; c\n\n[d]\n", "a/e", Some(" y"), "[a]\n  b=x\n  e=\" y\"\n; c\n\n[d]\n"),
            ("[a]\n[d]\n", "a/e", Some("y"), "[a]\ne = y\n[d]\n"),
            ("[a]\n", "d/e", Some("y\nz"), "[a]\n\n[d]\ne = \"\"\"y\nz\"\"\"\n"),
            ("", "d/e", Some("y"), "[d]\ne = y\n"),
            ("[a]\n", "d", Some("y"), "d = y\n[a]\n"),
            ("e: 1\n[a]\n", "d", Some("y"), "e: 1\nd: y\n[a]\n"),
            ("[a]\nb =\n  1\n  2\nc = 3\n", "a/b", Some("y"), "[a]\nb = y\nc = 3\n"),
            (
                "[a]\n",
                "a/b/c",
                Some("y"),
                "error: INI has sections and names in them, and nothing deeper",
            ),
            ("[a]\nb = 1 ; c\n# d\nc = 2\n", "a/b", None, "[a]\n# d\nc = 2\n"),
            ("x = 1\n[a]\nb = 1\n[c]\nd = 1\n", "a", None, "x = 1\n[c]\nd = 1\n"),
        ],
    );
}
