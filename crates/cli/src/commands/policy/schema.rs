//! `stockade policy schema`.

use std::path::Path;

use serde_json::json;
use stockade_policy::language::{CEILING, POLICY, TESTS, json_schema};
use stockade_policy::{Judge, schema};

use super::load::Loader;
use crate::args::policy::{Above, Schema};
use crate::failure::Failure;
use crate::output;
use crate::screen::Sanitizer;

pub(super) fn schema(args: &Schema) -> Result<u8, Failure> {
    let (language, title) = match args {
        Schema { cedar: Some(of), .. } => return cedar(of.as_deref(), args.json),
        Schema { ceiling: true, .. } => (&CEILING, "Stockade ceiling"),
        Schema { tests: true, .. } => (&TESTS, "Stockade policy tests"),
        _ => (&POLICY, "Stockade policy"),
    };
    output::json(&json_schema(language, title))?;
    Ok(0)
}

fn cedar(file: Option<&Path>, json: bool) -> Result<u8, Failure> {
    let text = match file {
        None => schema::HOUSE.to_owned(),
        Some(file) => {
            // A ceiling changes nothing about what can be written.
            let loader = match Loader::new(&Above { ceiling: None, no_ceiling: true }, json) {
                Ok(loader) => loader.without_tests(),
                Err(ended) => return ended,
            };
            let policy = match loader.need(file, json) {
                Ok(policy) => policy,
                Err(ended) => return ended,
            };
            Judge::new(&policy).map_err(|error| Failure::internal(&error))?.cedar_schema()
        }
    };
    if json {
        output::json(&json!({ "cedar": text }))?;
    } else {
        let mut screen = Sanitizer::new();
        output::text(&(screen.push(text.as_bytes()) + &screen.finish()))?;
    }
    Ok(0)
}
