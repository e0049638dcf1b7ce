//! a word that nobody knows + those that are known → the ones that may have been meant.

use std::collections::BTreeSet;

/// Letters of a word that are compared.
const MAX_LETTERS: usize = 128;

/// Most words that are suggested.
const MAX_WORDS: usize = 3;

/// Most letters in which two words may differ.
const MAX_DISTANCE: usize = 3;

/// Fewest letters of a word that is looked for inside of others.
const MIN_PART: usize = 3;

/// Returns those of `words` that are nearly `wanted`, the nearest first.
///
/// ```
/// use vaultix::cli::near;
/// assert_eq!(near("wfi", ["mail", "wifi"]), ["wifi"]);
/// assert_eq!(near("secrets/wfi.age", ["secrets/mail.age", "secrets/wifi.age"]), ["secrets/wifi.age"]);
/// ```
#[must_use]
pub fn near<'a>(wanted: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let ranked: BTreeSet<(usize, &str)> = words
        .into_iter()
        .filter(|word| *word != wanted)
        .filter_map(|word| Some((rank(wanted, word)?, word)))
        .collect();
    ranked.into_iter().map(|(_, word)| word).take(MAX_WORDS).collect()
}

/// Returns the question whether one of the `near` words was meant, if there is one.
#[must_use]
pub fn did_you_mean(near: &[&str]) -> Option<String> {
    match near {
        [] => None,
        [word] => Some(format!("did you mean {word}?")),
        [start @ .., last] => Some(format!("did you mean {} or {last}?", start.join(", "))),
    }
}

/// Returns whether `typed` looks like `word` with one slip of the fingers: two neighbouring letters exchanged, or one left out
/// or added inside. What differs at its start or end, or in a figure, is called like that on purpose.
///
/// ```
/// use vaultix::cli::is_slip;
/// assert!(is_slip("secrets/wfi.age", "secrets/wifi.age"));
/// assert!(!is_slip("secrets/web2.age", "secrets/web1.age"));
/// ```
#[must_use]
pub fn is_slip(typed: &str, word: &str) -> bool {
    let (typed, word) = where_they_differ(typed, word);
    let [typed, word] = [typed, word].map(|text| text.chars().collect::<Vec<char>>());
    let count = |same: &mut dyn Iterator<Item = bool>| same.take_while(|same| *same).count();
    let start = count(&mut typed.iter().zip(&word).map(|(a, b)| a == b));
    let shorter = typed.len().min(word.len()) - start;
    let end =
        count(&mut typed.iter().rev().zip(word.iter().rev()).map(|(a, b)| a == b).take(shorter));
    let middle = |text: &[char]| text.get(start..text.len() - end).unwrap_or_default().to_vec();
    match (&*middle(&typed), &*middle(&word)) {
        ([a, b], [c, d]) => a == d && b == c && a.is_alphabetic() && b.is_alphabetic(),
        ([letter], []) | ([], [letter]) => {
            letter.is_alphabetic() && start > 0 && end > 0 && start + end >= MIN_PART
        }
        _ => false,
    }
}

/// Returns how far `word` is from `wanted`; `None` if it is nothing like it.
fn rank(wanted: &str, word: &str) -> Option<usize> {
    let (wanted, word) = where_they_differ(wanted, word);
    let [wanted, word] = [wanted, word]
        .map(|text| text.to_lowercase().chars().take(MAX_LETTERS).collect::<Vec<char>>());
    let distance = distance(&wanted, &word);
    let is_near = distance <= MAX_DISTANCE && distance * 2 < wanted.len().max(word.len());
    let is_part =
        || wanted.len() >= MIN_PART && word.windows(wanted.len()).any(|part| part == wanted);
    if is_near { Some(distance) } else { is_part().then_some(MAX_DISTANCE + 1) }
}

/// Returns `one` and `other` without the directory and the ending that both have: these say nothing of how near they are.
fn where_they_differ<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    let same = |(a, b): &(char, char)| a == b;
    let start: usize =
        one.chars().zip(other.chars()).take_while(same).map(|(letter, _)| letter.len_utf8()).sum();
    let start = one.get(..start).and_then(|text| text.rfind('/')).map_or(0, |at| at + 1);
    let [one, other] = [one, other].map(|text| text.get(start..).unwrap_or(text));
    let end = one.rfind('.').and_then(|at| one.get(at..)).filter(|end| other.ends_with(end));
    let short = |text: &'a str| end.and_then(|end| text.strip_suffix(end)).unwrap_or(text);
    (short(one), short(other))
}

/// Returns how many letters have to be added, removed, replaced, or exchanged with their neighbour to make `other` of `one`.
fn distance(one: &[char], other: &[char]) -> usize {
    // The rows of the usual table: the last but one, the last, and this one.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut left = None;
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut previous = None;
        for (j, found) in other.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j) + usize::from(letter != found);
            let mut best = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if left == Some(found) && previous == Some(letter) {
                best = best.min(at(&before, j.wrapping_sub(1)) + 1);
            }
            row.push(best);
            previous = Some(found);
        }
        left = Some(letter);
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("wifi", "wifi", 0),
            ("wfi", "wifi", 1),
            ("wiifi", "wifi", 1),
            ("wofi", "wifi", 1),
            ("wiif", "wifi", 1),
            ("wbe1", "web1", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            let [a, b] = [one, other].map(|text| text.chars().collect::<Vec<_>>());
            assert_eq!(distance(&a, &b), expected, "{one} {other}");
            assert_eq!(distance(&b, &a), expected, "{other} {one}");
        }
    }

    #[test]
    fn what_is_like_a_word_is_near_it() {
        let words = ["wifi", "wifi-home", "mail", "db", "secrets/a.age", "x/Wifi"];
        for (wanted, expected) in [
            ("wfi", &["wifi"][..]),
            ("WIFI", &["wifi", "x/Wifi", "wifi-home"]),
            ("home", &["wifi-home"]),
            ("web", &[]),
            ("d", &[]),
            ("secrets/b.age", &[]),
            ("mial", &["mail"]),
            ("", &[]),
        ] {
            assert_eq!(near(wanted, words), expected, "{wanted}");
        }
        assert!(near("wifi", ["wifi"]).is_empty(), "what was typed is no suggestion");
    }

    #[test]
    fn a_slip_is_inside_a_word() {
        for (typed, word, expected) in [
            ("wfi", "wifi", true),
            ("wiifi", "wifi", true),
            ("mial", "mail", true),
            ("amil", "mail", true),
            ("pasword", "password", true),
            ("wifi", "wifi", false),
            ("mail-a", "mail-b", false),
            ("main", "mail", false),
            ("later", "late", false),
            ("web12", "web2", false),
            ("web21", "web12", false),
            ("ab", "acb", false),
            ("", "a", false),
            ("é1", "1é", false),
        ] {
            assert_eq!(is_slip(typed, word), expected, "{typed} {word}");
            assert_eq!(is_slip(word, typed), expected, "{word} {typed}");
        }
    }

    #[test]
    fn a_directory_and_an_ending_make_nothing_near() {
        let near = |wanted, word| !near(wanted, [word]).is_empty();
        assert!(near("secrets/wfi.age", "secrets/wifi.age"));
        assert!(!near("secrets/wifi.age", "secrets/mail.age"));
        assert!(near("secrts/wifi.age", "secrets/wifi.age"));
        assert!(near("é/wfi.age", "é/wifi.age"));
    }

    #[test]
    fn a_few_words_are_suggested() {
        assert_eq!(did_you_mean(&[]), None);
        assert_eq!(did_you_mean(&["a"]).unwrap(), "did you mean a?");
        assert_eq!(did_you_mean(&["a", "b", "c"]).unwrap(), "did you mean a, b or c?");
        assert_eq!(near("wif", ["wif1", "wif2", "wif3", "wif4"]), ["wif1", "wif2", "wif3"]);
    }
}
