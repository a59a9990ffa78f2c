//! A headless Chromium, driven by its DevTools protocol over a pair of pipes.
//!
//! Chromium reads messages from file descriptor 3 and writes them to 4, each ended by a zero byte; a
//! shell puts our ends there. No port is opened and no driver is needed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program; a package of Debian by that name.
pub(crate) const PROGRAM: &str = "chromium";

/// How long an answer may take before the browser is taken to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether Chromium can be run.
pub(crate) fn is_there() -> bool {
    let mut version = Command::new(PROGRAM);
    let version = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// A browser with one tab.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    /// Events that came while an answer was waited for.
    pub(crate) events: Vec<Value>,
    /// Its profile, which goes when it does.
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with an empty profile.
    pub(crate) fn launch() -> anyhow::Result<Self> {
        let profile = TempDir::new()?;
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2", PROGRAM])
            // Where this runs as root there is no sandbox; pages are our own.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--hide-scrollbars"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{PROGRAM} cannot be run"))?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let mut output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let (sender, messages) = channel();
        thread::spawn(move || {
            loop {
                let mut message = Vec::new();
                match output.read_until(0, &mut message) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => message.pop(),
                };
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            session: None,
            last_id: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the protocol; gives its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.input.write_all(&bytes).with_context(|| format!("{PROGRAM} has ended"))?;
        loop {
            let mut answer = self.next(method)?;
            if answer["id"] != self.last_id {
                self.events.push(answer);
            } else if let Some(error) = answer.get("error") {
                bail!("{method}: {error}");
            } else {
                return Ok(answer["result"].take());
            }
        }
    }

    fn next(&self, awaited: &str) -> anyhow::Result<Value> {
        let message = self.messages.recv_timeout(PATIENCE);
        message.with_context(|| format!("{PROGRAM} does not answer {awaited}"))
    }

    /// Opens a file and waits until it is loaded.
    pub(crate) fn open(&mut self, page: &Path) -> anyhow::Result<()> {
        let url = format!("file://{}", page.display());
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.call("Page.navigate", json!({"url": url}))?;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next("Page.loadEventFired")?;
            self.events.push(event);
        }
        Ok(())
    }

    /// The value of an expression, waited for if it is a promise.
    pub(crate) fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", parameters)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("{}", exception["exception"]["description"]);
        }
        Ok(answer["result"]["value"].take())
    }

    /// Presses a key: its name, and its code as Windows has it.
    pub(crate) fn press(&mut self, key: &str, code: u32) -> anyhow::Result<()> {
        for event in ["keyDown", "keyUp"] {
            let mut parameters = json!({
                "type": event, "key": key, "code": key, "windowsVirtualKeyCode": code,
            });
            if key == "Enter" {
                parameters["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", parameters)?;
        }
        Ok(())
    }

    /// Moves the pointer to a place of the window, in pixels.
    pub(crate) fn point(&mut self, x: f64, y: f64) -> anyhow::Result<()> {
        let parameters = json!({"type": "mouseMoved", "x": x, "y": y});
        self.call("Input.dispatchMouseEvent", parameters).map(drop)
    }

    /// Shows pages as for a medium, `screen` or `print`, and a preferred theme.
    pub(crate) fn emulate(&mut self, medium: &str, theme: &str) -> anyhow::Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        let parameters = json!({"media": medium, "features": features});
        self.call("Emulation.setEmulatedMedia", parameters).map(drop)
    }

    /// Makes the window this large, in pixels.
    pub(crate) fn resize(&mut self, width: u32, height: u32) -> anyhow::Result<()> {
        let parameters =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", parameters).map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked first, so that its own processes end with it; an error means that it has ended.
        self.session = None;
        let _ = self.call("Browser.close", json!({}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
