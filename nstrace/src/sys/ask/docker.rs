//! The Docker Engine API: `GET /containers/json`, <https://docs.docker.com/reference/api/engine/>.

use std::{collections::BTreeMap, path::Path};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{MAX_ANSWER, in_words};
use crate::topology::runtime::answer::{Answer, Subject};

/// A container that runs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

/// Asks for all containers that run.
pub(super) async fn ask(socket: &Path) -> Result<Vec<Answer>, String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| in_words(&error))?;
    let request = Request::get("/containers/json")
        .header(HOST, "docker")
        .body(Empty::<Bytes>::new())
        .map_err(|error| in_words(&error))?;
    let answer = async move {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| in_words(&error))?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        Ok(body.map_err(|error| in_words(&*error))?.to_bytes())
    };
    // The connection has to be driven while the answer is awaited; it ends with it.
    let (answer, _) = tokio::join!(answer, connection);
    decode(&answer?)
}

fn decode(answer: &[u8]) -> Result<Vec<Answer>, String> {
    let listed: Vec<Listed> = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let answers = listed.into_iter().map(|one| Answer {
        subject: Subject::Container(one.id),
        labels: one.labels.unwrap_or_default(),
        image: one.image,
        owner: None,
    });
    Ok(answers.collect())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixListener,
        thread,
    };

    use super::{super::Ask, *};

    /// Answers one request, and gives what was asked.
    fn serve(socket: &Path, answer: &'static str) -> thread::JoinHandle<String> {
        let listener = UnixListener::bind(socket).expect("bind");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                asked.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).expect("answer");
            String::from_utf8(asked).expect("text")
        })
    }

    fn asked(answer: &'static str) -> (Result<Vec<Answer>, String>, String) {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("docker.sock");
        let server = serve(&path, answer);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let ask = Ask {
            docker: Some(path),
            ..Ask::default()
        };
        let answer = runtime.block_on(ask.apis()[0].ask());
        (answer, server.join().expect("server"))
    }

    #[test]
    fn labels_and_image_of_what_runs() {
        let (answer, request) = asked(
            "HTTP/1.1 200 OK\r\nContent-Length: 96\r\n\r\n\
             [{\"Id\":\"c1\",\"Names\":[\"/web\"],\"Image\":\"busybox\",\"Labels\":{\"app\":\"web\"},\"State\":\"running\",\"A\":\"\"}]",
        );
        assert!(
            request.starts_with("GET /containers/json HTTP/1.1\r\n"),
            "{request}"
        );
        assert_eq!(
            answer,
            Ok(vec![Answer {
                subject: Subject::Container("c1".to_owned()),
                labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
                image: Some("busybox".to_owned()),
                owner: None,
            }])
        );
    }

    #[test]
    fn what_is_no_answer_is_said() {
        let (answer, _) = asked("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(answer, Err("it answers 403 Forbidden".to_owned()));
        let (answer, _) = asked("SSH-2.0-nonsense\r\n\r\n");
        assert!(answer.is_err(), "{answer:?}");
        let (answer, _) = asked("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        assert!(answer.is_err(), "{answer:?}");
    }
}
