//! Label selectors, in Kubernetes's language: `app=web,tier!=front,env in (prod, test),!legacy`.

use std::{collections::BTreeMap, str::FromStr};

/// What labels must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    text: String,
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Has(String),
    HasNot(String),
    /// One of these values.
    In(String, Vec<String>),
    /// Another value, or none.
    NotIn(String, Vec<String>),
}

/// What is no selector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no label selector: {why}")]
pub struct SelectorError {
    text: String,
    why: String,
}

impl Selector {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether these labels are like that.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let is_one_of = |key: &String, values: &[String]| {
                labels.get(key).is_some_and(|value| values.contains(value))
            };
            match requirement {
                Requirement::Has(key) => labels.contains_key(key),
                Requirement::HasNot(key) => !labels.contains_key(key),
                Requirement::In(key, values) => is_one_of(key, values),
                Requirement::NotIn(key, values) => !is_one_of(key, values),
            }
        })
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let refuse = |why: String| SelectorError {
            text: text.to_owned(),
            why,
        };
        let requirements = split(text)
            .into_iter()
            .map(|part| requirement(part.trim()).map_err(refuse))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            requirements,
        })
    }
}

/// At commas, but not those between parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    text.split(|c| {
        match c {
            '(' => is_inside = true,
            ')' => is_inside = false,
            _ => {}
        }
        c == ',' && !is_inside
    })
    .collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let key = |text: &str| {
        let text = text.trim();
        let is_plain = |c: char| c.is_alphanumeric() || "-_./:@".contains(c);
        if text.is_empty() {
            Err("a key is missing".to_owned())
        } else if text.chars().all(is_plain) {
            Ok(text.to_owned())
        } else {
            Err(format!("`{text}` is no key"))
        }
    };
    if let Some((left, right)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(
            key(left)?,
            vec![right.trim().to_owned()],
        ));
    }
    if let Some((left, right)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key(left)?, vec![right.trim().to_owned()]));
    }
    if let Some((left, right)) = part.split_once('(') {
        let inside = right
            .trim_end()
            .strip_suffix(')')
            .ok_or_else(|| "a parenthesis is not closed".to_owned())?;
        let values = inside
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let (name, word) = left
            .trim()
            .rsplit_once(char::is_whitespace)
            .unwrap_or(("", ""));
        return match word {
            "in" => Ok(Requirement::In(key(name)?, values)),
            "notin" => Ok(Requirement::NotIn(key(name)?, values)),
            _ => Err("before a parenthesis stands `in` or `notin`".to_owned()),
        };
    }
    match part.strip_prefix('!') {
        Some(absent) => Ok(Requirement::HasNot(key(absent)?)),
        None => Ok(Requirement::Has(key(part)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, expected: bool) {
        let labels = [
            ("app", "web"),
            ("tier", "front"),
            ("example.com/env", "prod"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let selector: Selector = selector.parse().expect("a selector");
        assert_eq!(selector.matches(&labels), expected, "{selector:?}");
    }

    #[test]
    fn equality_and_existence_are_asked_for() {
        check("app=web", true);
        check("app==web", true);
        check("app = web", true);
        check("app=db", false);
        check("nope=web", false);
        check("app!=web", false);
        check("app!=db", true);
        // As in Kubernetes: one that is not there is another.
        check("nope!=web", true);
        check("app", true);
        check("nope", false);
        check("!nope", true);
        check("!app", false);
        check("example.com/env=prod", true);
    }

    #[test]
    fn sets_are_asked_for() {
        check("app in (web, db)", true);
        check("app in (db)", false);
        check("app notin (db,cache)", true);
        check("app notin (web)", false);
        check("nope notin (web)", true);
    }

    #[test]
    fn every_requirement_counts() {
        check("app=web,tier=front", true);
        check("app=web,tier=back", false);
        check("app in (web,db),!nope", true);
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for (text, why) in [
            ("", "a key is missing"),
            ("=web", "a key is missing"),
            ("app=web,", "a key is missing"),
            ("app in (web", "a parenthesis is not closed"),
            (
                "app of (web)",
                "before a parenthesis stands `in` or `notin`",
            ),
            ("a b", "`a b` is no key"),
        ] {
            let error = text.parse::<Selector>().expect_err(text);
            assert_eq!(
                error.to_string(),
                format!("`{text}` is no label selector: {why}")
            );
        }
    }
}
