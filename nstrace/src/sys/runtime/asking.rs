//! The thread that asks sockets, and what they have answered.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{runtime, sync::watch, time};

use super::names::Board;
use crate::{
    sys::{ask::Api, watch::Hinter},
    topology::runtime::answer::Answer,
};

/// Labels can change while no file does ..
const EVERY: Duration = Duration::from_secs(10);
/// .. and files, faster than is worth an answer each time.
const PACE: Duration = Duration::from_secs(1);

/// Who is asked, and what was answered last.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) who: String,
    /// Kept while no better answer comes.
    pub(super) answers: Arc<Vec<Answer>>,
    /// Nothing yet, or how the latest attempt went.
    pub(super) latest: Option<Result<(), String>>,
}

impl Asked {
    pub(super) fn new(api: &Api) -> Self {
        Self {
            who: api.to_string(),
            answers: Arc::default(),
            latest: None,
        }
    }

    /// Takes in an answer. Gives whether that is news.
    pub(super) fn take(&mut self, answer: Result<Vec<Answer>, String>) -> bool {
        let (answers, latest) = match answer {
            Ok(answers) => (Some(answers), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let is_news = self.latest.as_ref() != Some(&latest)
            || answers.as_ref().is_some_and(|new| *self.answers != *new);
        if let Some(answers) = answers {
            self.answers = Arc::new(answers);
        }
        self.latest = Some(latest);
        is_news
    }

    /// What a user should know.
    pub(super) fn warning(&self) -> Option<String> {
        let trouble = match self.latest.as_ref() {
            Some(Ok(())) => return None,
            Some(Err(error)) => error,
            None => "no answer yet",
        };
        let who = &self.who;
        Some(format!(
            "{who}: {trouble}; names are those of files all the same"
        ))
    }
}

/// Starts to ask all of them, until `is_over`. `changes` says when files have changed.
pub(super) fn start(
    apis: Vec<Api>,
    board: &Arc<Board>,
    changes: &watch::Receiver<()>,
    is_over: &Arc<AtomicBool>,
    hinter: Option<&Hinter>,
) -> io::Result<()> {
    if apis.is_empty() {
        return Ok(());
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (board, is_over, hinter) = (Arc::clone(board), Arc::clone(is_over), hinter.cloned());
    let changes = changes.clone();
    thread::Builder::new()
        .name("nstrace-asks".to_owned())
        .spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            for (at, api) in apis.into_iter().enumerate() {
                let asking = Asking {
                    api,
                    at,
                    board: Arc::clone(&board),
                    is_over: Arc::clone(&is_over),
                    hinter: hinter.clone(),
                };
                tasks.spawn_local(asking.run(changes.clone()));
            }
            runtime.block_on(tasks);
        })?;
    Ok(())
}

/// One of them.
struct Asking {
    api: Api,
    at: usize,
    board: Arc<Board>,
    is_over: Arc<AtomicBool>,
    hinter: Option<Hinter>,
}

impl Asking {
    async fn run(self, mut changes: watch::Receiver<()>) {
        while !self.is_over.load(Ordering::Relaxed) {
            changes.mark_unchanged();
            let answer = self.api.ask().await;
            if self.board.answer(self.at, answer)
                && let Some(hinter) = &self.hinter
            {
                hinter.names();
            }
            time::sleep(PACE).await;
            // Or the time is up, which is as good a reason.
            drop(time::timeout(EVERY, changes.changed()).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::topology::runtime::answer::Subject;

    #[test]
    fn what_was_answered_is_kept_when_nothing_is_any_more() {
        let mut asked = Asked {
            who: "the socket".to_owned(),
            answers: Arc::default(),
            latest: None,
        };
        assert!(
            asked
                .warning()
                .expect("a warning")
                .contains("no answer yet")
        );
        let answers = vec![Answer {
            subject: Subject::Container("c1".to_owned()),
            labels: BTreeMap::new(),
            image: None,
            owner: None,
        }];
        assert!(asked.take(Ok(answers.clone())));
        assert!(!asked.take(Ok(answers.clone())), "the same again");
        assert_eq!(asked.warning(), None);
        assert!(asked.take(Err("it hangs".to_owned())));
        assert_eq!(*asked.answers, answers);
        assert_eq!(
            asked.warning().as_deref(),
            Some("the socket: it hangs; names are those of files all the same")
        );
    }
}
