//! The threads that look for names, and what they have found for whoever asks.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use tokio::sync::watch;

use super::{
    Found, Roots, Source,
    asking::{self, Asked},
    bundles::Containerd,
    docker::Docker,
    storage::{self, ContainersStorage, Whose},
    watch::Dirs,
};
use crate::{
    sys::{
        ask::{self, Ask},
        clock,
        watch::Hinter,
    },
    topology::{
        model::Container,
        runtime::answer::{self, Answer},
    },
};

/// A look at everything takes milliseconds. Longer, and what it finds is taken when it comes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Least time between two looks, for events that come in numbers ..
const PACE: Duration = Duration::from_millis(2);
/// .. and so many times what a look takes, so that it never takes more than its share of a core.
const PACE_SHARE: u32 = 5;
/// What is not written to its end is looked at again after so long, then after twice as long ..
const FIRST_RETRY: Duration = Duration::from_millis(5);
/// .. and then only when something happens.
const LAST_RETRY: Duration = Duration::from_secs(2);
/// Directories that are made faster than they can be watched are left to the next event.
const WATCH_ROUNDS: usize = 4;

/// What is known of containers by now.
#[derive(Debug)]
pub struct Names {
    board: Arc<Board>,
    workers: Vec<Arc<Worker>>,
    asking_is_over: Arc<AtomicBool>,
    /// How long to wait for the first answers.
    patience: Duration,
}

#[derive(Debug)]
pub(super) struct Board {
    notes: Mutex<Notes>,
    /// Something was written for the first time.
    written: Condvar,
    /// Files say something else than before.
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct Notes {
    slots: Vec<Slot>,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Slot {
    source: &'static str,
    /// Nothing yet, or what its latest look has found.
    found: Option<Arc<(Vec<Container>, Vec<String>)>>,
}

/// How a thread is told to look at everything, and to end.
#[derive(Debug)]
struct Worker {
    wake: EventFd,
    is_over: AtomicBool,
}

impl Names {
    /// Starts to look, and to ask. Whenever something else is found than before, `hinter` is told.
    ///
    /// # Errors
    ///
    /// If a thread or an eventfd cannot be made.
    pub fn start(roots: &Roots, ask: &Ask, hinter: Option<&Hinter>) -> io::Result<Self> {
        let stores = storage::of_root(&roots.storage_run, &roots.storage_graph);
        let sources: Vec<Box<dyn Source>> = vec![
            Box::new(Containerd::new(&roots.containerd)),
            Box::new(Docker::new(&roots.docker)),
            Box::new(ContainersStorage::new(Whose::Given(stores))),
            Box::new(ContainersStorage::new(Whose::Users)),
        ];
        let slots = sources
            .iter()
            .map(|source| Slot {
                source: source.name(),
                found: None,
            })
            .collect();
        let apis = ask.apis();
        let asks = !apis.is_empty();
        let asked = apis.iter().map(Asked::new).collect();
        let (changes, files) = watch::channel(());
        let mut names = Self {
            board: Arc::new(Board {
                notes: Mutex::new(Notes { slots, asked }),
                written: Condvar::new(),
                changes,
            }),
            workers: Vec::new(),
            asking_is_over: Arc::default(),
            // Who looks once would never hear of a later answer.
            patience: if asks && hinter.is_none() {
                PATIENCE + ask::PATIENCE
            } else {
                PATIENCE
            },
        };
        let is_over = &names.asking_is_over;
        asking::start(apis, &names.board, &files, is_over, hinter)?;
        for (at, source) in sources.into_iter().enumerate() {
            let worker = Arc::new(Worker {
                wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
                is_over: AtomicBool::new(false),
            });
            let (dirs, trouble) = follow(&*source, hinter.is_some());
            let looking = Looking {
                source,
                dirs,
                trouble,
                board: Arc::clone(&names.board),
                at,
                worker: Arc::clone(&worker),
                hinter: hinter.cloned(),
            };
            thread::Builder::new()
                .name("nstrace-names".to_owned())
                .spawn(move || looking.run())?;
            names.workers.push(worker);
        }
        Ok(names)
    }

    /// Waits until each source has been looked at and each socket has answered once, but not for
    /// long.
    pub fn wait(&self) {
        let is_missing = |notes: &mut Notes| {
            notes.slots.iter().any(|slot| slot.found.is_none())
                || notes.asked.iter().any(|asked| asked.latest.is_none())
        };
        let notes = self.board.lock();
        drop(
            self.board
                .written
                .wait_timeout_while(notes, self.patience, is_missing),
        );
    }

    /// What is known now: containers, by source and id, and what could not be looked at.
    #[must_use]
    pub fn current(&self) -> (Vec<Container>, Vec<String>) {
        let (mut containers, mut warnings) = (Vec::new(), Vec::new());
        let notes = self.board.lock();
        for slot in &notes.slots {
            match &slot.found {
                Some(found) => {
                    containers.extend_from_slice(&found.0);
                    warnings.extend_from_slice(&found.1);
                }
                None => warnings.push(format!(
                    "{}: its files do not answer; its containers have no names until they do",
                    slot.source
                )),
            }
        }
        for asked in &notes.asked {
            answer::add(&mut containers, &asked.answers);
            warnings.extend(asked.warning());
        }
        (containers, warnings)
    }

    /// Has each source look at everything again. Nobody waits for it.
    pub fn check(&self) {
        for worker in &self.workers {
            worker.wake();
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.is_over.store(true, Ordering::Relaxed);
            worker.wake();
        }
        self.asking_is_over.store(true, Ordering::Relaxed);
        self.board.changes.send_replace(());
        // Nobody waits for them: they may be in a file system that hangs.
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a source has found. Gives whether that is news.
    fn publish(&self, at: usize, found: (Vec<Container>, Vec<String>)) -> bool {
        let mut notes = self.lock();
        let slot = &mut notes.slots[at].found;
        let is_news = slot.as_ref().is_none_or(|before| **before != found);
        *slot = Some(Arc::new(found));
        self.written.notify_all();
        if is_news {
            self.changes.send_replace(());
        }
        is_news
    }

    /// Takes in what a socket has answered. Gives whether that is news.
    pub(super) fn answer(&self, at: usize, answer: Result<Vec<Answer>, String>) -> bool {
        let is_news = self.lock().asked[at].take(answer);
        self.written.notify_all();
        is_news
    }
}

impl Worker {
    fn wake(&self) {
        // Full only after 2^64 calls without an answer.
        if self.wake.write(1).is_err() {
            tracing::trace!("it is awake");
        }
    }
}

/// Follows changes, where somebody wants to hear of them; says why not, where that cannot be.
fn follow(source: &dyn Source, is_wanted: bool) -> (Dirs, Option<String>) {
    if !is_wanted {
        return (Dirs::none(), None);
    }
    match Dirs::new() {
        Ok(dirs) => (dirs, None),
        Err(error) => {
            let name = source.name();
            let trouble = format!("{name}: names come late, by full checks: inotify: {error}");
            (Dirs::none(), Some(trouble))
        }
    }
}

/// One thread.
struct Looking {
    source: Box<dyn Source>,
    dirs: Dirs,
    /// Why changes are not followed, where they should be.
    trouble: Option<String>,
    board: Arc<Board>,
    at: usize,
    worker: Arc<Worker>,
    hinter: Option<Hinter>,
}

impl Looking {
    fn run(mut self) {
        let mut afresh = true;
        let mut retry = FIRST_RETRY;
        while !self.worker.is_over.load(Ordering::Relaxed) {
            let before = clock::thread_cpu();
            let is_unfinished = self.look(afresh);
            // How long it took says nothing: the file system may have kept it waiting.
            let took = clock::thread_cpu().saturating_sub(before);
            tracing::trace!(
                source = self.source.name(),
                ?took,
                afresh,
                "looked for names"
            );
            thread::sleep(PACE.max(took * PACE_SHARE));
            let patience = (is_unfinished && retry < LAST_RETRY).then_some(retry);
            if let Some(is_asked) = self.wait(patience) {
                (afresh, retry) = (is_asked, FIRST_RETRY);
            } else {
                (afresh, retry) = (false, retry * 2);
            }
        }
    }

    /// Looks until everything that was found is watched, and says what it came to. Gives whether
    /// something was not written to its end.
    fn look(&mut self, afresh: bool) -> bool {
        let mut found = self.source.look(afresh);
        for _ in 1..WATCH_ROUNDS {
            // What was made between the look and the watch would be missed.
            if !self.dirs.watch(&found.dirs) {
                break;
            }
            found = self.source.look(false);
        }
        let Found {
            containers,
            mut warnings,
            dirs: _,
            is_unfinished,
        } = found;
        warnings.extend(self.trouble.clone());
        if self.board.publish(self.at, (containers, warnings))
            && let Some(hinter) = &self.hinter
        {
            hinter.names();
        }
        is_unfinished
    }

    /// Waits for something to happen; gives whether a look at everything was asked for, or nothing
    /// if time has run out first.
    fn wait(&mut self, patience: Option<Duration>) -> Option<bool> {
        let timeout = patience.map_or(PollTimeout::NONE, |patience| {
            PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)
        });
        loop {
            let mut waiting = vec![PollFd::new(self.worker.wake.as_fd(), PollFlags::POLLIN)];
            let dirs = self.dirs.fd();
            waiting.extend(dirs.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            match poll(&mut waiting, timeout) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "names are not followed from now on");
                    self.worker.is_over.store(true, Ordering::Relaxed);
                    return None;
                }
            }
            let is_asked = waiting[0].any().unwrap_or(true);
            drop(waiting);
            self.dirs.drain();
            if is_asked && self.worker.wake.read().is_err() {
                tracing::trace!("nothing to read");
            }
            return Some(is_asked);
        }
    }
}
