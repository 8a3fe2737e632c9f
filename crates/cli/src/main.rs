//! `stockade`: the command.

use std::process::ExitCode;

use clap::Parser;
use stockade_cli::args::{Args, Command};
use stockade_cli::commands::{doctor, generate, journal, mcp, notary, operator, policy, replay, resume, run};
use stockade_cli::failure::Failure;
use stockade_cli::say::say;
use stockade_supervisor::janitor;

fn main() -> ExitCode {
    // Before the command line is parsed: a janitor must be quick to stand by.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == janitor::COMMAND) {
        return finish(janitor::main().map(|()| 0).map_err(Failure::from));
    }
    finish(match Args::parse().command {
        Command::Run(args) => run::run(args),
        Command::Replay(args) => replay::replay(&args),
        Command::Resume(args) => resume::resume(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Approvals(args) => operator::approvals(&args),
        Command::Stop(args) => operator::stop(&args),
        Command::FreezeTool(args) => operator::freeze(&args),
        Command::ThawTool(args) => operator::thaw(&args),
        Command::Journal(args) => journal::journal(&args),
        Command::Notary(args) => notary::notary(&args),
        Command::Policy(args) => policy::policy(&args),
        Command::Mcp(args) => mcp::mcp(&args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(&dir),
    })
}

fn finish(result: Result<u8, Failure>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.message.is_empty() {
                say(&format!("stockade: {}", failure.message));
            }
            ExitCode::from(failure.code)
        }
    }
}
