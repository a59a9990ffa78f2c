//! Downloads over HTTPS.

use std::{io::Read, sync::OnceLock, time::Duration};

use ureq::Agent;

use crate::error::DataError;

/// A machine without a network is to fall back soon.
const CONNECT: Duration = Duration::from_secs(5);
const FIRST_BYTE: Duration = Duration::from_secs(20);
/// The largest file has 10 MB.
const BODY: Duration = Duration::from_secs(600);

/// The content of an address, at most `limit` bytes of it.
///
/// `received` is called with the bytes so far and, if the server states it, the total.
pub(crate) fn get(
    url: &str,
    limit: usize,
    received: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Vec<u8>, DataError> {
    let response = agent().get(url).call().map_err(|error| failed(url, error))?;
    let mut body = response.into_body();
    let total = body.content_length();
    let mut reader = body.as_reader().take(limit as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        let piece = reader.by_ref().take(1 << 16).read_to_end(&mut bytes);
        piece.map_err(|error| failed(url, error))?;
        if bytes.len() > limit {
            return Err(DataError::content(url, format!("has more than {limit} bytes")));
        }
        if bytes.len() == before {
            return Ok(bytes);
        }
        received(bytes.len() as u64, total);
    }
}

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        Agent::config_builder()
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(FIRST_BYTE))
            .timeout_recv_body(Some(BODY))
            .build()
            .into()
    })
}

fn failed(url: &str, error: impl std::error::Error + Send + Sync + 'static) -> DataError {
    DataError::Fetch { from: url.to_owned(), source: Box::new(error) }
}
