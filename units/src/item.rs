//! profile + id → a secret or a template, and what both have in common.

use vaultix_generator::profile::{Placement, Profile, Secret, Template};
use vaultix_generator::status::Status;
use vaultix_generator::unit::Kind;

use crate::failure::Failure;

/// A secret or a template.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    /// A secret.
    Secret(&'a Secret),
    /// A template.
    Template(&'a Template),
}

impl<'a> Item<'a> {
    /// Finds the item `id`.
    ///
    /// # Errors
    ///
    /// [`Status::Config`]: it does not exist, or is invalid in the profile.
    pub fn find(profile: &'a Profile, kind: Kind, id: &str) -> Result<Self, Failure> {
        let found = match kind {
            Kind::Secret => profile.secrets.get(id).map(|item| item.as_ref().map(Self::Secret)),
            Kind::Template => {
                profile.templates.get(id).map(|item| item.as_ref().map(Self::Template))
            }
        };
        let (kind, systemctl) = (kind.name(), profile.settings.systemctl.words());
        let missing = || {
            let reason = format!(
                "the profile has no {kind} with this id; to list them: {systemctl} list-units \"vaultix-{kind}@*\""
            );
            Failure::new(Status::Config, reason)
        };
        Ok(found.ok_or_else(missing)??)
    }

    /// Returns whether it is a secret or a template.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Secret(_) => Kind::Secret,
            Self::Template(_) => Kind::Template,
        }
    }

    /// Returns its id.
    #[must_use]
    pub fn id(self) -> &'a str {
        match self {
            Self::Secret(secret) => &secret.id,
            Self::Template(template) => &template.id,
        }
    }

    /// Returns where it goes.
    #[must_use]
    pub fn placement(self) -> &'a Placement {
        match self {
            Self::Secret(secret) => &secret.placement,
            Self::Template(template) => &template.placement,
        }
    }

    /// Returns its key in the journal: the name of its unit, which is short enough for a file name.
    #[must_use]
    pub fn key(self) -> String {
        self.kind().unit(self.id())
    }
}

/// Describes what a program does with an item, for an error: `decrypt secret "wifi"`.
#[must_use]
pub fn describe_task(kind: Kind, id: &str) -> String {
    match kind {
        Kind::Secret => format!("decrypt secret \"{id}\""),
        Kind::Template => format!("render template \"{id}\""),
    }
}
