//! Faults by URL: each client that may ask for them asks for those of its own connection. Plain HTTP gets to know how.

use super::action::Opportunity;
use super::grammar::{Place, parse};
use super::hits::Hits;
use super::plan::{Asked, LONGEST_HELD, Plan};
use super::registry::Faults;
use super::table::{Row, TABLE};
use super::values::Parameter;
use crate::admission::Decision;
use std::fmt::Write;
use std::sync::Arc;

/// Where they are asked for.
pub const PATH: &str = "/faults";

/// What a request for this path asks for; `None` for other paths.
///
/// # Errors
/// Why it can't have that, in one line.
#[must_use]
pub fn plan(path: &str, query: &str) -> Option<Result<Plan, String>> {
    (path == PATH).then(|| {
        parse(query, Place::Url)
            .map_err(|wrong| format!("{wrong}; a GET of {PATH} says what there is"))
    })
}

/// What a request gets that asks for these, if one of them says so, which is counted in `hits`.
#[must_use]
pub fn answer(plan: &Plan, hits: &Arc<Hits>) -> Option<Decision> {
    let is_asked = |asked: &Asked| asked.row.action.opportunity() == Opportunity::Request;
    if !plan.faults.iter().any(is_asked) {
        return None;
    }
    // Without a seed of its own: there is no number of a client yet that chance could come from.
    let faults = Faults::planned(plan, None, hits.clone());
    faults.answer(PATH).map(bounded)
}

/// The same, but what hangs has an end, and a URL lets nobody in whom the application would not.
fn bounded(decision: Decision) -> Decision {
    match decision {
        Decision::Accept { .. } | Decision::Trick(_) => Decision::Asked(Box::new(decision)),
        Decision::Hang => Decision::Delay(LONGEST_HELD, Some(Box::new(Decision::Silence))),
        Decision::Delay(time, then) => {
            let then = then.map(|then| Box::new(bounded(*then)));
            Decision::Delay(time, then)
        }
        other => other,
    }
}

/// How they are asked for.
#[must_use]
pub fn document() -> String {
    let mut text = format!(
        "Connect a WebSocket to {PATH}?name=value,key:value&name=value,... and this server does to that connection what no \
         server should, and else echoes.\n\
         \n\
         {PATH}?latency=200ms&close=1011,after:5&seed=7\n\
         {PATH}?info\n\
         \n\
         Each parameter is one fault: its name, its value, and keys. The parts are split at & = , and : and decoded then \
         (%2C is a comma). Times are in seconds, or 200ms, 2s, 1min; numbers may have a unit, as 64KiB. What is in [] may \
         be left out.\n\n"
    );
    for row in TABLE {
        // A string takes all that is written to it.
        let _ = write!(
            text,
            "{}\n    {}",
            written(row),
            row.summary.replace('`', "")
        );
        let keys = row.action.opportunity().selectors();
        let keys: Vec<_> = keys
            .filter(|key| !matches!(*key, "path" | "client"))
            .collect();
        let _ = match &*keys {
            [] => writeln!(text),
            keys => writeln!(text, " Also: {}.", keys.join(", ")),
        };
        for parameter in row.parameters {
            let _ = writeln!(text, "    {}: {}", parameter.name, parameter.kind.range());
        }
    }
    text + "\n\
        after:5, after:2s   the first 5 opportunities pass, or all before that time since the 101\n\
        every:3             of the others each third is taken\n\
        probability:0.1     of those one in ten, by chance\n\
        times:2             two altogether\n\
        seed=7              what chance comes from: the same gives the same\n\
        info                first one message comes, in JSON: what the server saw of the client\n"
}

/// How a fault is written.
fn written(row: &Row) -> String {
    let value = |one: &Parameter| one.name.to_uppercase().replace('-', "_");
    let mut text = row.name.to_owned();
    for (index, one) in row.parameters.iter().enumerate() {
        let part = match index {
            0 => format!("={}", value(one)),
            _ => format!(",{}:{}", one.name, value(one)),
        };
        match one.default {
            Some(_) => text.extend(["[", &part, "]"]),
            None => text.push_str(&part),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_fault_with_its_parameters() {
        let text = document();
        for row in TABLE {
            let line = text.lines().find(|line| *line == written(row));
            assert!(line.is_some(), "{}", row.name);
            for parameter in row.parameters {
                let told = format!("\n    {}: {}\n", parameter.name, parameter.kind.range());
                assert!(text.contains(&told), "{told}");
            }
        }
        assert!(text.contains("\nlatency=SECONDS[,jitter:JITTER][,direction:DIRECTION]\n"));
        assert!(text.contains("\nclose[=CODE][,reason:REASON]\n"));
    }

    #[test]
    fn other_paths_are_none() {
        assert!(plan("/faults/", "x").is_none());
        assert!(plan("/Faults", "x").is_none());
        assert!(plan("/faults", "").unwrap().unwrap().faults.is_empty());
        let wrong = plan("/faults", "latency").unwrap().unwrap_err();
        assert!(wrong.starts_with("latency: seconds: is missing: "));
        assert!(wrong.ends_with("; a GET of /faults says what there is"));
    }
}
