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
}

impl LegacySecret {
    /// Takes the secret `id`, whose file is called the same.
    pub fn new(id: String) -> Self {
        let declared = vec![Declared { id: id.clone(), group: String::new() }];
        Self { stem: id, declared }
    }
}
