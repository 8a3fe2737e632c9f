//! `stockade-run-with CHANGES run …`: `stockade run` under the policy of the file with changes (JSON), for what a
//! test wants to have enforced whatever the language can say.

use std::process::ExitCode;

use clap::Parser;
use serde::Deserialize;
use stockade_cli::args::{Args, Command};
use stockade_cli::commands::run::run_under;
use stockade_cli::failure::Failure;
use stockade_policy::seccomp::syscall_number;
use stockade_policy::{FsRule, Origin, Policy, SyscallAction, SyscallRule};
use stockade_supervisor::janitor;

/// What is given takes the place of the policy's.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    read: Option<Vec<String>>,
    execute: Option<Vec<String>>,
    env_pass: Option<Vec<String>>,
    syscalls: Vec<(String, SyscallAction)>,
    journal: Option<u64>,
    io_read: Option<u64>,
    io_write: Option<u64>,
}

fn origin() -> Origin {
    Origin { file: "changes".into(), line: 1 }
}

fn rules(paths: &[String]) -> Result<Vec<FsRule>, Failure> {
    let rule = |path: &String| path.parse().map(|path| FsRule { id: "changes".into(), path, origin: origin() });
    paths.iter().map(rule).collect::<Result<_, _>>().map_err(|e| Failure::usage(e.to_string()))
}

impl Changes {
    fn make(self, policy: &mut Policy) -> Result<(), Failure> {
        if let Some(paths) = self.read {
            policy.fs.read = rules(&paths)?;
        }
        if let Some(paths) = self.execute {
            policy.fs.execute = rules(&paths)?;
        }
        policy.env_pass = self.env_pass.unwrap_or_default();
        for (name, action) in self.syscalls {
            let nr = syscall_number(&name).and_then(|nr| u32::try_from(nr).ok());
            let nr = nr.ok_or_else(|| Failure::usage(format!("no syscall {name}")))?;
            policy.syscalls.push(SyscallRule {
                calls: vec![(nr, name)],
                action,
                why: "a test".into(),
                origin: origin(),
            });
        }
        policy.limits.journal = self.journal.unwrap_or(policy.limits.journal);
        policy.limits.io_read = self.io_read.or(policy.limits.io_read);
        policy.limits.io_write = self.io_write.or(policy.limits.io_write);
        Ok(())
    }
}

fn run() -> Result<u8, Failure> {
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == janitor::COMMAND) {
        return janitor::main().map(|()| 0).map_err(Failure::from);
    }
    if args.len() < 2 {
        return Err(Failure::usage("stockade-run-with CHANGES run …"));
    }
    let changes = args.remove(1);
    let changes: Changes =
        serde_json::from_slice(changes.as_encoded_bytes()).map_err(|e| Failure::usage(e.to_string()))?;
    let Command::Run(args) = Args::parse_from(args).command else { return Err(Failure::usage("only run")) };
    let mut policy = stockade_policy::load(&args.policy)
        .map_err(|findings| Failure { code: 10, message: findings.render(false).trim_end().to_owned() })?;
    changes.make(&mut policy)?;
    run_under(args, policy)
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("stockade: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
