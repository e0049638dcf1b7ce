//! TOML → its values, and where they are.

pub mod edit;

use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Key, Table, Value};
use zeroize::Zeroizing;

use crate::structured::Malformed;
use crate::structured::node::{Content, Entry, MAX_DEPTH, Node, Origin, Slot};

/// Reads `text`.
pub fn read(text: &str) -> Result<Slot, Malformed> {
    let document = toml_edit::Document::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        Malformed::at(text, at, error.message())
    })?;
    let node = Reader { text }.table(document.as_table(), 1)?;
    Ok(Slot { node, place: 0..text.len(), origin: Origin::Own })
}

type Made<T> = Result<T, String>;

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn item(&self, item: &Item, depth: usize) -> Made<Slot> {
        let node = match item {
            Item::None => Node::new(Content::Map(Vec::new())),
            Item::Value(value) => return self.value(value, depth),
            Item::Table(table) => self.table(table, depth),
            Item::ArrayOfTables(tables) => self.tables(tables, depth),
        }?;
        Ok(Slot { node, place: item.span().unwrap_or_default(), origin: Origin::Own })
    }

    fn table(&self, table: &Table, depth: usize) -> Made<std::sync::Arc<Node>> {
        ensure_shallow(depth)?;
        let mut entries = Vec::new();
        for (name, item) in table {
            let slot = self.item(item, depth + 1)?;
            entries.push(entry(name, table.key(name), slot));
        }
        Node::new(Content::Map(entries))
    }

    fn tables(&self, tables: &ArrayOfTables, depth: usize) -> Made<std::sync::Arc<Node>> {
        ensure_shallow(depth)?;
        let slot = |table: &Table| {
            let node = self.table(table, depth + 1)?;
            Ok(Slot { node, place: table.span().unwrap_or_default(), origin: Origin::Own })
        };
        Node::new(Content::List(tables.iter().map(slot).collect::<Made<_>>()?))
    }

    fn value(&self, value: &Value, depth: usize) -> Made<Slot> {
        let place = value.span().unwrap_or_default();
        let content = match value {
            Value::String(text) => Content::Text(Zeroizing::new(text.value().clone())),
            Value::Array(array) => Content::List(self.array(array, depth)?),
            Value::InlineTable(table) => Content::Map(self.inline(table, depth)?),
            _ => {
                let text = self.text.get(place.clone()).unwrap_or_default();
                Content::Literal(Zeroizing::new(text.to_owned()))
            }
        };
        Ok(Slot { node: Node::new(content)?, place, origin: Origin::Own })
    }

    fn array(&self, array: &Array, depth: usize) -> Made<Vec<Slot>> {
        ensure_shallow(depth)?;
        array.iter().map(|value| self.value(value, depth + 1)).collect()
    }

    fn inline(&self, table: &InlineTable, depth: usize) -> Made<Vec<Entry>> {
        ensure_shallow(depth)?;
        let mut entries = Vec::new();
        for (name, value) in table {
            let slot = self.value(value, depth + 1)?;
            entries.push(entry(name, table.key(name), slot));
        }
        Ok(entries)
    }
}

fn entry(name: &str, key: Option<&Key>, slot: Slot) -> Entry {
    let name_place = key.and_then(Key::span).unwrap_or_default();
    Entry { name: name.to_owned(), name_place, slot }
}

fn ensure_shallow(depth: usize) -> Made<()> {
    if depth > MAX_DEPTH {
        return Err(format!("it is more than {MAX_DEPTH} levels deep"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::structured::{Document, Format, Pointer};

    #[test]
    fn a_value_is_taken_as_the_file_writes_it() {
        let text = "a.b = 0x1F # c\n'd e' = \"\\u00e9\\n\"\n[f]\ng = 1979-05-27 07:32:00\nh = { i = [ true, 1_0.50 ], j = '''\nk''' }\n[[l]]\nm = inf\n[[l]]\nm = -1\n[l.n]\n";
        let document = Document::parse(text.as_bytes(), Format::Toml).unwrap();
        for (key, expected) in [
            ("a/b", "0x1F"),
            ("a", "{\"b\":31}"),
            ("d e", "\u{e9}\n"),
            ("f/g", "1979-05-27 07:32:00"),
            ("f", "{\"g\":\"1979-05-27 07:32:00\",\"h\":{\"i\":[true,10.5],\"j\":\"k\"}}"),
            ("f/h/i/1", "1_0.50"),
            ("l/0/m", "inf"),
            ("l/1", "{\"m\":-1,\"n\":{}}"),
        ] {
            let value = document.get(&Pointer::from_user(key).unwrap()).unwrap();
            assert_eq!(String::from_utf8_lossy(&value), expected, "{key}");
        }
        assert!(document.get(&Pointer::from_user("l").unwrap()).is_err());
    }

    #[test]
    fn what_is_no_toml_is_refused_without_its_text() {
        for (text, line) in [
            ("a = 1\nb = hunter2\n", 2),
            ("a = 1\na = 'hunter2'\n", 2),
            ("\n\na = \"hunter2\n", 3),
            ("a = {\n b = 1,\n c hunter2 }", 3),
            ("[a]\n[a]\nb = 'hunter2'", 2),
        ] {
            let refused = Document::parse(text.as_bytes(), Format::Toml).err().unwrap().to_string();
            assert!(refused.starts_with(&format!("line {line}: ")), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        for text in [
            format!("a = {}", "[".repeat(100_000)),
            format!("a = {}", "{b=".repeat(100_000)),
            format!("{}b = 1", "a.".repeat(100_000)),
            format!("[{}b]", "a.".repeat(100_000)),
            format!("a = {}1{}", "[".repeat(64), "]".repeat(64)),
        ] {
            assert!(Document::parse(text.as_bytes(), Format::Toml).is_err());
        }
    }
}
