//! `stockade policy diff`.

use std::io;

use serde_json::json;
use stockade_policy::diff::{Change, Direction, diff as compare};

use super::load::Loader;
use crate::args::policy::Diff;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::show::{Page, Tone};

pub(super) fn diff(args: &Diff) -> Result<u8, Failure> {
    let loader = match Loader::new(&args.above, args.json) {
        Ok(loader) => loader.without_tests(),
        Err(ended) => return ended,
    };
    let (a, b) = match (loader.need(&args.a, args.json), loader.need(&args.b, args.json)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(ended), _) | (_, Err(ended)) => return ended,
    };
    let mut changes = compare(&a, &b).map_err(|error| Failure::internal(&error))?;
    changes.sort_by(|x, y| (x.direction, x.layer, &x.key).cmp(&(y.direction, y.layer, &y.key)));
    let has = |direction| changes.iter().any(|change| change.direction == direction);
    let (widened, undecided) = (has(Direction::Widened), has(Direction::Undecided));
    if args.json {
        let side = |path: &std::path::Path, policy: &stockade_policy::Policy| json!({"file": path.display().to_string(), "id": policy.id, "digest": policy.digest});
        output::json(&json!({
            "a": side(&args.a, &a),
            "b": side(&args.b, &b),
            "widened": widened,
            "undecided": undecided,
            "changes": changes,
        }))?;
    } else {
        output::page(|page| show(page, &changes))?;
    }
    Ok(match args.fail_on {
        Some(_) if widened => exit::WIDENED,
        Some(_) if undecided => exit::UNDECIDED,
        _ => 0,
    })
}

fn show(page: &mut Page<'_>, changes: &[Change]) -> io::Result<()> {
    if changes.is_empty() {
        return page.put(Tone::Good, "no difference: both allow the same").end();
    }
    let key = |change: &Change| change.layer.len() + 1 + change.key.chars().count();
    let column = changes.iter().map(key).max().unwrap_or(0).min(48) + 4;
    let mut last = None;
    for change in changes {
        if last != Some(change.direction) {
            if last.is_some() {
                page.blank()?;
            }
            let (tone, head) = match change.direction {
                Direction::Widened => (Tone::Bad, "widened: the second allows what the first does not"),
                Direction::Undecided => (Tone::Odd, "undecided: whether the second allows more cannot be told"),
                Direction::Narrowed => (Tone::Good, "narrowed: the first allows what the second does not"),
            };
            page.put(tone, head).end()?;
            last = Some(change.direction);
        }
        page.to(2).bold(change.layer).text(" ").text(&change.key).wrapped(column, Tone::Plain, &change.what)?;
        let place = |name: &str, origin: &Option<stockade_policy::Origin>| {
            origin.as_ref().map(|origin| format!("{name} {origin}"))
        };
        let places: Vec<String> =
            [place("first", &change.a), place("second", &change.b)].into_iter().flatten().collect();
        if !places.is_empty() {
            page.to(column).dim(&places.join(", ")).end()?;
        }
    }
    let of = |direction| changes.iter().filter(|change| change.direction == direction).count();
    page.blank()?;
    let (widened, undecided, narrowed) = (of(Direction::Widened), of(Direction::Undecided), of(Direction::Narrowed));
    page.text(&format!("{widened} widened, {undecided} undecided, {narrowed} narrowed")).end()
}
