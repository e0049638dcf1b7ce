//! text → a string literal of Nix.

/// Returns `text` as a string literal: with quotes, and nothing in it that Nix would replace.
pub fn string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}
