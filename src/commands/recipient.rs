//! `vaultix recipient`: identities → their recipients, to be named by others.

use vaultix_generator::escape;

use crate::cli::Recipient;
use crate::error::{Error, Exit, Result, Status};
use crate::flake::workspace;
use crate::keys::master::Master;
use crate::keys::recipient::ParsedRecipient;
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;

/// Prints the recipients of the identities, a line for each.
///
/// # Errors
///
/// When there is no identity, it stays locked, or only a plugin knows its recipient.
pub fn run(args: &Recipient) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let cannot = || Error::new(Status::Usage, "cannot print a recipient");
    let mut files = workspace::identities(&args.identities, &report)?;
    if files.is_empty() {
        return Err(cannot()
            .because("there is no identity")
            .fix("vaultix recipient --identity FILE, or set vaultix.identity in the flake"));
    }
    // Their own, not what the flake says.
    files.recipients.clear();
    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, &report);
    let found = Master::read(&files, &interrupt)?.own(&prompt)?;
    let unknown = found.iter().find_map(|one| match one {
        ParsedRecipient::PluginIdentity(identity) => Some(identity.plugin().to_owned()),
        _ => None,
    });
    if let Some(plugin) = unknown {
        return Err(cannot()
            .because(format!(
                "only the plugin {plugin} knows it, and no comment in the file names it"
            ))
            .fix(format!(
                "add it to the file as a comment, \"# recipient: age1{plugin}1…\"; see {}",
                escape::shell(format!("age-plugin-{plugin} --help"))
            )));
    }
    report::answer_lines(found.iter().map(ParsedRecipient::text))?;
    Ok(Exit::Done)
}
