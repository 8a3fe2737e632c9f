//! kill -9 of shim, notary, `stockade` and whoever else, at random points of a run's whole life: as it starts, between any
//! two of its records, as it ends, as it is resumed, and resumed again. After each one:
//!
//! - whatever was done outside is on record, with what the agent was told before it, and nothing was done twice;
//! - what is on record as done was done;
//! - nothing of the run is left on the host, its journal verifies against the notary's key, and all of it is signed. (If
//!   supervisor and janitor were both killed, that is the next start's to see to, and no more is signed than is there.)
//!
//! In the end the agent has come to the same as one that nobody disturbed, and a replay is identical. SIGKILL leaves what
//! was written to the kernel, so this shows nothing of flushes.
//!
//! `STOCKADE_CRASHES=3000` sets how often something is killed, `STOCKADE_SEED` the dice's seed, which is printed.

mod agent;
mod aim;
mod books;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use agent::{MAY, effects, witness};
use aim::{Aim, Dice};
use books::Books;

use crate::rig::{Ran, Rig, reap_all};
use crate::victims::Victim;

/// Rounds of the agent.
const ROUNDS: u32 = 12;
/// Kills, unless more are asked for.
const KILLS: usize = 60;
/// Kills of one run. A run that nobody lets come to an end shows nothing about its end.
const KILLS_OF_ONE: usize = 12;

/// What an undisturbed run is like.
struct Reference {
    course: Vec<String>,
    logged: Vec<String>,
    /// Bytes of its journal.
    bytes: u64,
}

/// What has happened so far.
#[derive(Default)]
struct Tally {
    kills: usize,
    by_victim: BTreeMap<String, usize>,
    codes: BTreeMap<String, usize>,
    lives: usize,
    starts: usize,
    resumes: usize,
    most_resumes: usize,
    unknown: usize,
    undone: usize,
    calls: usize,
}

/// One run and what is done to it.
struct Life<'a> {
    rig: &'a Rig,
    policy: PathBuf,
    component: PathBuf,
    key: String,
    /// Once it has a first record.
    run: Option<PathBuf>,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{variable}: {e}: {text:?}")))
}

/// Who was hit and how it ended. To lose a notary or a janitor costs nothing; to lose shim or cell is never the agent's
/// fault, nor the journal's.
fn may_end_with(code: &str, hit: &[Victim]) -> bool {
    match code {
        "0" | "26" => true,
        "kill" => hit.contains(&Victim::Stockade),
        "14" => hit.iter().any(|victim| [Victim::Shim, Victim::Cell, Victim::Launcher].contains(victim)),
        "21" => hit.contains(&Victim::Cell),
        "40" => hit.contains(&Victim::Shim),
        _ => false,
    }
}

#[test]
fn whatever_is_killed_no_effect_lacks_its_record_and_none_is_repeated() {
    let test = "whatever_is_killed_no_effect_lacks_its_record_and_none_is_repeated";
    let Some(rig) = Rig::new(test, &[]) else { return };
    let kills = number("STOCKADE_CRASHES").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = number("STOCKADE_SEED").unwrap_or(u64::try_from(now).unwrap());
    println!("STOCKADE_SEED={seed}");
    let mut dice = Dice::new(seed);
    let (policy, component) = (rig.wasm_policy(MAY), rig.component("witness", &witness(ROUNDS)));
    let mut life = Life { rig: &rig, policy, component, key: String::new(), run: None };
    let reference = life.undisturbed();
    let mut tally = Tally::default();
    while tally.kills < kills {
        life.live(&mut dice, &reference, &mut tally);
    }
    println!("{tally}");
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |map: &BTreeMap<String, usize>| {
            map.iter().map(|(name, times)| format!("{name} {times}")).collect::<Vec<_>>().join(", ")
        };
        let Self { kills, lives, starts, resumes, most_resumes, unknown, undone, calls, .. } = self;
        writeln!(f, "{kills} times something was killed: {}", each(&self.by_victim))?;
        writeln!(
            f,
            "{starts} starts and {resumes} resumptions (of one run at most {most_resumes}) ended with: {}",
            each(&self.codes)
        )?;
        write!(
            f,
            "{lives} runs came to the same end; {calls} calls, {unknown} effects of unknown outcome, of which {undone} were not done"
        )
    }
}

impl Life<'_> {
    fn undisturbed(&mut self) -> Reference {
        let mut command = self.rig.command(&self.policy);
        self.rig.end(command.arg(&self.component)).expect("an undisturbed run", 0, &["finished"]);
        let mut command = self.rig.stockade();
        let key = self.rig.end(command.args(["notary", "key", "--first", "--state"]).arg(self.rig.path("state")));
        self.key = key.text().trim().to_owned();
        self.run = Some(self.rig.newest());
        let what = "an undisturbed run";
        let books = self.check(what, true);
        assert_eq!(books.said.as_deref(), Some(format!("{:04}", effects(ROUNDS)).as_str()));
        assert_eq!(books.ended("ok"), effects(ROUNDS));
        self.replay("identical: ", what);
        let reference = Reference { course: books.course(), logged: books.logged, bytes: self.bytes() };
        self.forget();
        reference
    }

    /// Begins a run, kills at random until it is enough, has it go on each time, and looks at its end.
    fn live(&mut self, dice: &mut Dice, reference: &Reference, tally: &mut Tally) {
        let (mut kills, mut resumes) = (0, 0);
        // Who would have cleaned up at once was killed, and nobody was launched since, who does.
        let mut uncleaned = false;
        let end = loop {
            let aim = (kills < KILLS_OF_ONE).then(|| Aim::at_random(dice, self.bytes(), reference.bytes));
            let what = format!("run {} after {kills} kills, {} bytes, {aim:?}", tally.lives, self.bytes());
            resumes += usize::from(self.run.is_some());
            *(if self.run.is_some() { &mut tally.resumes } else { &mut tally.starts }) += 1;
            let (hit, ran) = self.once(aim.as_ref());
            for word in ["panicked", "RUST_BACKTRACE", "internal error"] {
                assert!(!ran.stderr.contains(word), "{what}: {}", ran.stderr);
            }
            let what = format!("{what}, hit {hit:?}: {:?}: {}", ran.status, ran.stderr.trim_end());
            let code = ran.status.code().map_or("kill".to_owned(), |code| code.to_string());
            if !hit.is_empty() {
                kills += 1;
                tally.kills += 1;
                *tally.by_victim.entry(format!("{hit:?}")).or_default() += 1;
            }
            assert!(may_end_with(&code, &hit), "{what}");
            *tally.codes.entry(code.clone()).or_default() += 1;
            if uncleaned && code == "26" {
                // What is refused launches nothing; a replay does.
                self.replay("identical", &what);
            }
            // Whoever says which run it is has cleaned up after others.
            let itself = hit.contains(&Victim::Stockade);
            uncleaned = itself && (hit.contains(&Victim::Janitor) || uncleaned && !ran.stderr.contains("run r-"));
            let books = self.after(&what, !uncleaned);
            assert!(reference.course.starts_with(&books.course()), "{what}: {:?}", books.course());
            assert!(reference.logged.starts_with(&books.logged), "{what}: {:?}", books.logged);
            match code.as_str() {
                "0" => break what,
                "26" => {
                    assert!(ran.stderr.contains("has come to its end"), "{what}");
                    break what;
                }
                _ => {}
            }
        };
        tally.most_resumes = tally.most_resumes.max(resumes);
        self.came_to_its_end(&end, reference, tally);
        self.forget();
    }

    /// Starts or resumes it, and shoots.
    fn once(&self, aim: Option<&Aim>) -> (Vec<Victim>, Ran) {
        let mut command = match &self.run {
            Some(_) => self.rig.resume(),
            None => {
                let mut command = self.rig.command(&self.policy);
                command.arg(&self.component);
                command
            }
        };
        let older = self.newest();
        let mut running = self.rig.begin(&mut command);
        let journal = || {
            let run = self.run.clone().or_else(|| self.newest().filter(|run| older.as_ref() != Some(run)))?;
            Some(run.join("journal/00000001.jsonl"))
        };
        let hit = aim.map(|aim| aim.shoot(&mut running, &journal)).unwrap_or_default();
        (hit, running.end())
    }

    /// Everybody is gone: what is there now?
    fn after(&mut self, what: &str, cleaned: bool) -> Books {
        reap_all(what);
        if cleaned {
            self.rig.clean(what);
        }
        if self.run.is_none() {
            let begun = |run: &PathBuf| Books::read(run, what).lines > 0;
            self.run = self.newest().filter(begun).filter(|run| self.begins_with_a_start(run));
        }
        self.check(what, cleaned)
    }

    fn begins_with_a_start(&self, run: &std::path::Path) -> bool {
        let text = fs::read_to_string(run.join("journal/00000001.jsonl")).unwrap_or_default();
        text.lines().next().is_some_and(|first| first.contains("\"type\":\"start\""))
    }

    fn check(&self, what: &str, cleaned: bool) -> Books {
        let done =
            BTreeMap::from([("workspace.write", self.rig.effects("written")), ("exec", self.rig.effects("ran"))]);
        let Some(run) = &self.run else {
            assert!(done.values().all(Vec::is_empty), "{what}: {done:?} was done by a run without a record");
            return Books::read(&PathBuf::new(), what);
        };
        let books = Books::read(run, what);
        books.agree(&done, what);
        books.told_as_recorded(what);
        let signed = fs::read_to_string(run.join("checkpoint")).ok();
        let signed = signed.map_or(0, |note| note.lines().nth(1).unwrap().parse::<usize>().unwrap());
        assert!(signed <= books.lines, "{what}: {signed} records are signed, there are {}", books.lines);
        if cleaned {
            let mut command = self.rig.stockade();
            command
                .args(["journal", "verify", "last", "--json", "--key", &self.key, "--state"])
                .arg(self.rig.path("state"));
            let ran = self.rig.end(&mut command);
            ran.expect(&format!("verify after {what}"), 0, &[]);
            let told: Value = serde_json::from_str(&ran.text()).unwrap();
            assert_eq!(told["records"].as_u64(), Some(books.lines as u64), "{what}: {told}");
            assert_eq!(told["authenticated"], true, "{what}: {told}");
            assert_eq!(told["after_signed"], 0, "{what}: {told}");
        }
        books
    }

    fn came_to_its_end(&self, what: &str, reference: &Reference, tally: &mut Tally) {
        self.rig.clean(what);
        let books = self.check(what, true);
        tally.calls += books.calls.len();
        let [uncertain, not_done] = books.undone();
        tally.unknown += uncertain;
        let done = self.rig.effects("written").len() + self.rig.effects("ran").len();
        self.rig.end(&mut self.rig.resume()).expect(what, 26, &["has come to its end"]);
        let said = books.said.as_ref().unwrap_or_else(|| panic!("{what}: the agent has not ended"));
        assert_eq!(books.course(), reference.course, "{what}");
        assert_eq!(books.logged, reference.logged, "{what}");
        assert_eq!(said.parse(), Ok(books.ended("ok")), "{what}: {said}");
        let undone = effects(ROUNDS) - done;
        assert!((not_done..=not_done + uncertain).contains(&undone), "{what}: {undone}");
        tally.undone += undone;
        self.replay(&format!("identical: {} calls", reference.course.len()), what);
        tally.lives += 1;
    }

    fn replay(&self, says: &str, what: &str) {
        let ran = self.rig.replay("last", &[]);
        ran.expect(&format!("the replay after {what}"), 0, &[]);
        assert!(ran.text().starts_with(says), "{what}: {}", ran.text());
    }

    fn newest(&self) -> Option<PathBuf> {
        crate::rig::list(&self.rig.path("state/runs")).into_iter().max()
    }

    fn bytes(&self) -> u64 {
        let file = self.run.as_ref().map(|run| run.join("journal/00000001.jsonl"));
        file.and_then(|file| fs::metadata(file).ok()).map_or(0, |meta| meta.len())
    }

    fn forget(&mut self) {
        self.run = None;
        self.rig.forget_runs();
        for file in ["written", "ran"] {
            let _none = fs::remove_file(self.rig.path("work").join(file));
        }
    }
}
