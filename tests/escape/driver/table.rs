//! The report that a person reads.

use super::{Options, Row, Verdict};

/// One line an attack, then the details of what failed.
pub fn print(rows: &[Row], options: &Options) {
    println!("{:28} {:10} {:24} {:24}", "attack", "outside", "native cell", "wasm cell");
    let mut class = "";
    for row in rows {
        if row.attack.class != class {
            class = &row.attack.class;
            println!("-- {class}");
        }
        let outside = match &row.outside {
            Verdict::Pass(_) => "succeeds",
            Verdict::Skip(_) => "cannot",
            Verdict::Fail(_) => "FAILED",
        };
        let cell = |v: &Option<Verdict>| match v {
            Some(Verdict::Pass(layer)) => layer.clone(),
            Some(Verdict::Skip(_)) => "-".to_owned(),
            Some(Verdict::Fail(_)) => "FAILED".to_owned(),
            None => String::new(),
        };
        println!("{:28} {outside:10} {:24} {:24}", row.attack.name, cell(&row.native), cell(&row.wasm));
    }
    for row in rows {
        let sides = [("outside", Some(&row.outside)), ("native", row.native.as_ref()), ("wasm", row.wasm.as_ref())];
        for (side, verdict) in sides {
            match verdict {
                Some(Verdict::Fail(why)) => println!("FAILED {} {side}: {}: {why}", row.attack.name, row.attack.about),
                Some(Verdict::Skip(why)) => println!("skipped {} {side}: {why}", row.attack.name),
                Some(Verdict::Pass(what)) if !options.names.is_empty() => {
                    println!("passed {} {side}: {what}", row.attack.name)
                }
                _ => {}
            }
        }
    }
}
