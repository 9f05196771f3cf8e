//! Where an expression is wrong. libpcap says only what.
//!
//! It reads tokens until it can go on no more, and of several errors keeps the first. So an
//! expression is cut behind a token, and a number that no token can be is put there: where libpcap
//! complains of the number, it has taken all tokens before. The last token of the shortest piece of
//! which it does not is the one it stumbles over.

use std::ops::Range;

/// What libpcap's scanner refuses by itself, with a message of its own.
const TOO_LARGE: &str = "99999999999";
/// What it says then (since 1.9).
const COMPLAINT: &str = "99999999999 overflows";
/// A token that ends a primitive before it, so that libpcap judges its meaning.
const CONJUNCTION: &str = "and";

/// What libpcap says of a piece.
#[derive(Debug)]
pub(super) enum Probe {
    /// It compiles.
    Taken,
    /// Why it does not.
    Refused(String),
}

impl Probe {
    fn is(&self, message: &str) -> bool {
        matches!(self, Self::Refused(reason) if reason == message)
    }

    fn is_complaint(&self) -> bool {
        matches!(self, Self::Refused(reason) if reason.contains(COMPLAINT))
    }
}

/// The place that libpcap's `message` on `expression` is about: empty at the end if something is
/// missing there, `None` if it is about no place or an old libpcap does not show it.
pub(super) fn locate(
    expression: &str,
    message: &str,
    probe: impl Fn(&str) -> Probe,
) -> Option<Range<usize>> {
    let tokens = tokens(expression);
    let quoted = quoted(message);
    let places = quoted.map_or_else(Vec::new, |words| occurrences(expression, &tokens, words));
    // Without a probe: what is not found in the network may take seconds not to be found.
    if let [place] = &*places {
        return Some(place.clone());
    }
    if !probe(TOO_LARGE).is_complaint() {
        return None;
    }
    let with = |token: &Range<usize>, next: &str| {
        // On a line of its own, so that it cannot become part of the token before.
        probe(&format!("{}\n{next}", &expression[..token.end]))
    };
    let is_syntax = message.contains("syntax error");
    // Once libpcap has stumbled, more tokens change nothing.
    let first = tokens.partition_point(|token| {
        if is_syntax {
            with(token, TOO_LARGE).is_complaint()
        } else {
            !with(token, CONJUNCTION).is(message) && !with(token, TOO_LARGE).is(message)
        }
    });
    let is_closing = |at: &usize| matches!(&expression[tokens[*at].clone()], "]" | ")");
    let culprit = match first {
        _ if first == tokens.len() => {
            return is_syntax.then_some(expression.len()..expression.len());
        }
        // It ends what is judged then; what is wrong stands before it.
        1.. if !is_syntax && is_closing(&first) => &tokens[first - 1],
        _ => &tokens[first],
    };
    let before = places.iter().rfind(|place| place.end <= culprit.end);
    Some(before.unwrap_or(culprit).clone())
}

/// Words of the expression that the message names.
fn quoted(message: &str) -> Option<&str> {
    let mark = |c: char| matches!(c, '\'' | '"');
    let (_, rest) = message.split_once(mark)?;
    let (words, _) = rest.split_once(mark)?;
    (!words.is_empty()).then_some(words)
}

/// Where `words` stand as whole tokens.
fn occurrences(expression: &str, tokens: &[Range<usize>], words: &str) -> Vec<Range<usize>> {
    let starts = expression.match_indices(words).map(|(start, _)| start);
    starts
        .map(|start| start..start + words.len())
        .filter(|place| {
            // An escaped name is quoted without its backslash.
            let starts = |token: &Range<usize>| {
                token.start == place.start
                    || token.start + 1 == place.start && expression[token.clone()].starts_with('\\')
            };
            tokens.iter().any(starts) && tokens.iter().any(|token| token.end == place.end)
        })
        .collect()
}

/// The tokens of an expression, roughly as libpcap's scanner finds them.
pub(super) fn tokens(expression: &str) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        let rest = &expression[at..];
        if matches!(first, ' ' | '\t' | '\r' | '\n') {
            at += 1;
            continue;
        }
        let length = match first {
            '\\' => 1 + run(&rest[1..], |c| !" !()\n\t".contains(c)),
            _ => word(rest)
                .or_else(|| operator(rest))
                .unwrap_or(first.len_utf8()),
        };
        tokens.push(at..at + length);
        at += length;
    }
    tokens
}

/// Length of the operator of two characters at the start.
fn operator(text: &str) -> Option<usize> {
    const DOUBLE: [&str; 8] = ["&&", "||", ">=", "<=", "!=", "==", "<<", ">>"];
    DOUBLE
        .iter()
        .any(|double| text.starts_with(double))
        .then_some(2)
}

/// Length of the name, number or address at the start.
fn word(text: &str) -> Option<usize> {
    let address = run(text, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
    let colons = text[..address].matches(':').count();
    // One colon is that of `ether[0:2]`.
    let address = if colons > 1 { address } else { 0 };
    let name = if text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let name = run(text, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
        });
        text[..name].trim_end_matches(['-', '_']).len()
    } else {
        0
    };
    Some(address.max(name)).filter(|length| *length > 0)
}

/// How many bytes at the start are of characters that `belongs` to.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
