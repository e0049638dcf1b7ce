//! a secret of an older scheme → the file that it will be, and what declares it.

/// A secret of an older scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacySecret {
    /// Its new file, from the directory for new secrets, without the ending.
    pub stem: String,
    /// What declares it: ids belong to hosts, so there may be several.
    pub declared: Vec<Declared>,
}

/// A declaration of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The secret's id.
    pub id: String,
    /// Which declarations it belongs with, in words; empty where there is only one group.
    pub group: String,
    /// Which value of the file it is, if not the whole.
    pub key: Option<String>,
}

impl LegacySecret {
    /// Takes the secret `id`, whose file is called the same.
    pub fn new(id: String) -> Self {
        let declared = vec![Declared { id: id.clone(), group: String::new(), key: None }];
        Self { stem: id, declared }
    }

    /// Takes the file `id` with several secrets: ids and keys.
    pub fn with_keys(id: String, secrets: Vec<(String, String)>) -> Self {
        let declared = |(id, key)| Declared { id, group: String::new(), key: Some(key) };
        Self { stem: id, declared: secrets.into_iter().map(declared).collect() }
    }
}
