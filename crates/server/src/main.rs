//! `fluorite`: the camera cloud in one binary.

use std::process::ExitCode;

use clap::Parser;
use server::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(serve) => server::run::serve(serve),
        command => server::run::runtime().and_then(|runtime| runtime.block_on(server::client::run(command))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fluorite: {error:#}");
            ExitCode::FAILURE
        }
    }
}
