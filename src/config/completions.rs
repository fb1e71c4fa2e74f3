//! Shell completions and manual pages, made from the command line.

use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::command_line::command;
use crate::version::version;

const NAME: &str = env!("CARGO_PKG_NAME");

/// The completion script for a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command(), NAME, &mut script);
    // clap_complete 4.6 spells the name of a program with dashes in two ways for bash, so that the
    // script never finds its own states.
    let other_spelling = NAME.replace('-', "__subcmd__");
    String::from_utf8_lossy(&script).replace(&other_spelling, &NAME.replace('-', "__"))
}

/// The manual page of one command, or that of the whole program.
pub(super) fn manual(name: Option<&str>) -> String {
    let mut whole = command().disable_help_subcommand(true);
    // Gives each command its full name, which is the name of its page.
    whole.build();
    let one = name.and_then(|name| whole.find_subcommand(name)).cloned();
    let mut page = Vec::new();
    Man::new(one.unwrap_or(whole))
        // An empty date would be left out, and the next field would take its place.
        .date("\"\"")
        .source(format!("{NAME} {}", version()))
        .manual("User Commands")
        .render(&mut page)
        .expect("writing to memory cannot fail");
    String::from_utf8_lossy(&page).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::command_line::COMMANDS;

    #[test]
    fn every_command_has_a_manual_page_under_its_full_name() {
        for name in COMMANDS {
            let page = manual(Some(name));

            assert!(page.contains(&format!(".TH screen-record-gateway-{name} 1 ")), "{page}");
        }
    }
}
