//! Starts the gateway and the servers it is held against, drives them in rotation, prints what each
//! request cost.

mod setup;
mod server;
mod rows;
mod rotation;
mod figures;
mod instructions;
mod report;

use anyhow::Context as _;
use clap::{Arg, ArgAction, Command, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use setup::Setup;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let setup = read_arguments()?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Whatever ends it, everything that was started is dropped, and with it its process.
    tokio::select! {
        outcome = measure(&setup) => outcome,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}

async fn measure(setup: &Setup) -> anyhow::Result<()> {
    if setup.counts_instructions {
        return instructions::run(setup).await;
    }
    let mut results = report::Results::of(setup);
    results.rows = rotation::run(setup).await?;
    results.figures = figures::run(setup).await?;
    let written = results.write(setup)?;
    print!("{}", if setup.markdown { results.markdown() } else { results.text() });
    eprintln!("every result is in {}", written.display());
    Ok(())
}

fn read_arguments() -> anyhow::Result<Setup> {
    let names: Vec<&str> = rows::ROWS.iter().map(|row| row.name).chain(figures::NAMES).collect();
    let matches = Command::new("bench/run")
        .about("Measures the gateway beside servers that do less; see docs/PERFORMANCE.md")
        .arg(Arg::new("rows").num_args(0..).value_parser(names.clone()).help("All unless named"))
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_parser(value_parser!(u32).range(1..=1000))
                .default_value("5")
                .help("How often each server is driven; medians are shown"),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("One short round of everything: shows that it works, and no figure to go by"),
        )
        .arg(
            Arg::new("markdown")
                .long("markdown")
                .action(ArgAction::SetTrue)
                .help("Prints the tables as in docs/PERFORMANCE.md"),
        )
        .arg(
            Arg::new("instructions")
                .long("instructions")
                .action(ArgAction::SetTrue)
                .hide(true)
                .help("Counts instructions instead, as bench/instructions does"),
        )
        .arg(Arg::new("binaries").long("binaries").required(true).hide(true))
        .get_matches();
    let wanted: Vec<String> = matches.get_many("rows").into_iter().flatten().cloned().collect();
    let binaries: &String = matches.get_one("binaries").context("--binaries is required")?;
    Ok(Setup {
        names: if wanted.is_empty() {
            names.iter().map(|&name| name.into()).collect()
        } else {
            wanted
        },
        rounds: matches.get_one("rounds").copied().unwrap_or(1),
        quick: matches.get_flag("quick"),
        markdown: matches.get_flag("markdown"),
        counts_instructions: matches.get_flag("instructions"),
        cores: setup::cores()?,
        directory: setup::directory(binaries)?,
        binaries: binaries.into(),
    })
}
