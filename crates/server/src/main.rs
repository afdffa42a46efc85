//! `fluorite`: the camera cloud in one binary.

use std::process::ExitCode;

use clap::Parser;
use server::cli::{Cli, Command};

fn main() -> ExitCode {
    share_memory();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(serve) => server::run::serve(serve),
        Command::Check(check) => server::run::runtime().and_then(|runtime| runtime.block_on(server::check::run(check))),
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

/// Lets a few threads share each of the allocator's arenas. A stream's frames are allocated on whatever
/// thread reads them, so with arenas for every thread (glibc's default is eight a processor) each keeps
/// holes that no other can fill: a sixth of what all rings hold.
#[allow(unsafe_code)]
fn share_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let arenas = std::thread::available_parallelism().map_or(1, |threads| threads.get().div_ceil(4));
        let arenas = i32::try_from(arenas).unwrap_or(i32::MAX);
        // SAFETY: mallopt(3) takes two numbers, and no other thread runs yet.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}
