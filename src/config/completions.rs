//! Shell completions and manual pages, made from the command line.

use std::fmt::Write as _;

use clap::{Arg, Command};
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
    Man::new(in_paragraphs(one.unwrap_or(whole)))
        // An empty date would be left out, and the next field would take its place.
        .date("\"\"")
        .source(format!("{NAME} {}", version()))
        .manual("User Commands")
        .render(&mut page)
        .expect("writing to memory cannot fail");
    String::from_utf8_lossy(&page).into_owned()
}

/// The same command for a manual page: help in one paragraph, and a usage that does not list every flag.
fn in_paragraphs(mut command: Command) -> Command {
    let usage = command.render_usage().to_string();
    let after = command.get_after_help().map(|text| paragraph(&text.to_string()));
    let command =
        command.override_usage(usage.trim_start_matches("Usage: ").to_owned()).mut_args(|arg| {
            match arg.get_long_help().map(ToString::to_string) {
                Some(help) => Arg::long_help(arg, paragraph(&help)),
                None => arg,
            }
        });
    match after {
        Some(after) => command.after_help(after),
        None => command,
    }
}

/// Makes each line a sentence.
fn paragraph(text: &str) -> String {
    let mut joined = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let end = if line.ends_with(['.', ':']) { "" } else { "." };
        let _ = writeln!(joined, "{line}{end}");
    }
    joined.truncate(joined.trim_end().len());
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::command_line::COMMANDS;

    #[test]
    fn every_command_has_a_manual_page_under_its_full_name() {
        let names: Vec<String> =
            command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();

        assert_eq!(names, COMMANDS);
        for name in COMMANDS {
            let page = manual(Some(name));

            assert!(page.contains(&format!(".TH screen-record-gateway-{name} 1 ")), "{page}");
        }
    }

    #[test]
    fn help_becomes_one_paragraph_of_sentences() {
        let text = "what it is\n\nAllowed: this or that\nDefault: none.\n\nMore:\n  one\n";

        let paragraph = paragraph(text);

        assert_eq!(paragraph, "what it is.\nAllowed: this or that.\nDefault: none.\nMore:\none.");
    }
}
