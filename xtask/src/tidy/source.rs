//! Rust source taken apart into code and comments, just well enough for [`super`]'s rules.
//!
//! No parser: rules are about words and paths, and a file that is half written should
//! still be judged. Lines and columns stay where they were.

use std::ops::Range;

/// A file's text twice: once with all but code blanked, once with all but comments.
pub(super) struct Source {
    pub(super) code: String,
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut source = Self {
            code: String::with_capacity(text.len()),
            comments: String::new(),
        };
        let mut at = 0;
        while at < chars.len() {
            let (kind, end) = token(&chars, at);
            source.push(&chars[at..end], kind);
            at = end;
        }
        source
    }

    fn push(&mut self, chars: &[char], kind: Kind) {
        for &c in chars {
            let blank = if c == '\n' { '\n' } else { ' ' };
            self.code.push(if kind == Kind::Code { c } else { blank });
            let comment = kind == Kind::Comment;
            self.comments.push(if comment { c } else { blank });
        }
    }

    /// The code without items under `#[cfg(test)]`.
    pub(super) fn code_without_tests(&self) -> String {
        let mut code = self.code.clone();
        while let Some(range) = test_item(&code) {
            let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
            let blanked: String = code[range.clone()].chars().map(blank).collect();
            code.replace_range(range, &blanked);
        }
        code
    }
}

/// The kind and end of what begins at `at`.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let rest = &chars[at..];
    let after_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => (Kind::Comment, at + line_len(rest)),
        ['/', '*', ..] => (Kind::Comment, at + block_len(rest)),
        ['"', ..] => (Kind::Literal, at + string_len(rest)),
        ['\'', ..] => char_or_lifetime(rest, at),
        ['r', ..] if !after_word || is_byte_prefix(chars, at) => raw_string(rest, at),
        _ => (Kind::Code, at + 1),
    }
}

/// Whether the letter before `at` is the b or c of `br"..."` or `cr"..."`.
fn is_byte_prefix(chars: &[char], at: usize) -> bool {
    matches!(chars[at - 1], 'b' | 'c') && (at == 1 || !is_word(chars[at - 2]))
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_len(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

fn block_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_len(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn char_or_lifetime(rest: &[char], at: usize) -> (Kind, usize) {
    match rest {
        // The escaped character itself may be a quote.
        ['\'', '\\', _, tail @ ..] => {
            let close = tail.iter().position(|&c| c == '\'').unwrap_or(0);
            (Kind::Literal, at + 3 + (close + 1).min(tail.len()))
        }
        ['\'', _, '\'', ..] => (Kind::Literal, at + 3),
        _ => (Kind::Code, at + 1),
    }
}

/// `r"..."` or `r#"..."#` in full; an r that begins neither is code.
fn raw_string(rest: &[char], at: usize) -> (Kind, usize) {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    let open = 2 + hashes;
    if rest.get(open - 1) != Some(&'"') {
        return (Kind::Code, at + 1);
    }
    let mut close = vec!['#'; hashes + 1];
    close[0] = '"';
    let body = rest[open..].windows(close.len());
    let len = body.clone().position(|w| w == close);
    let end = len.map_or(rest.len(), |len| open + len + close.len());
    (Kind::Literal, at + end)
}

/// Where the first item under `#[cfg(test)]` lies in blanked code.
fn test_item(code: &str) -> Option<Range<usize>> {
    let start = code.find("#[cfg(test)]")?;
    let open = start + code[start..].find(['{', ';']).unwrap_or(0);
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(byte, b'}' | b';') {
            return Some(start..at + 1);
        }
    }
    Some(start..code.len())
}

/// A path imported through a group, `a::{b, c::d}`, spelt out, and the line it ends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GroupedImport {
    pub(super) line: usize,
    pub(super) path: String,
}

/// All imports through groups in blanked code.
pub(super) fn grouped_imports(code: &str) -> Vec<GroupedImport> {
    let mut imports = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("use ").map(|at| from + at) {
        let end = at + code[at..].find(';').unwrap_or(code.len() - at);
        let starts_word = !code[..at].ends_with(is_word);
        if starts_word && code[at..end].contains('{') {
            let line = 1 + code[..at].matches('\n').count();
            spell_out(&code[at + 4..end], line, &mut imports);
        }
        from = at + 4;
    }
    imports
}

fn spell_out(tree: &str, mut line: usize, imports: &mut Vec<GroupedImport>) {
    let mut prefixes = Vec::new();
    let mut leaf = String::new();
    for c in tree.chars() {
        match c {
            '{' => prefixes.push(std::mem::take(&mut leaf)),
            ',' | '}' => {
                if let Some(name) = leaf.split_whitespace().next() {
                    // The first word only: `as other_name` hides nothing.
                    let path = prefixes.concat() + name;
                    imports.push(GroupedImport { line, path });
                }
                leaf.clear();
                if c == '}' {
                    prefixes.pop();
                }
            }
            '\n' => line += 1,
            c if c.is_whitespace() && leaf.is_empty() => {}
            c => leaf.push(c),
        }
    }
}
