//! [`Session`]: what requests share, and who is told of their progress.

use std::sync::{Arc, Mutex};

use hafnia_data::{Origin, Progress, Sources, SplitDataset};
use hafnia_passes::{Pipeline, Registry};

use crate::data::DataSource;
use crate::source;

/// A piece of work on its way, which ends when it is dropped.
pub trait Bar: Send + Sync {
    /// How much is done, and of how much; called from several threads, so not always in order.
    fn moves(&self, done: u64, of: u64);

    /// What is being done.
    fn message(&self, text: &str);

    /// Something to be read that is no result.
    fn line(&self, text: &str);
}

/// Follows what is done.
pub trait Observer: Sync {
    /// A piece of work begins, which is counted in `unit`, such as `images`.
    fn bar(&self, what: &str, unit: &'static str) -> Box<dyn Bar>;

    /// Something that is good to know.
    fn note(&self, text: &str);
}

/// Follows nothing.
impl Bar for () {
    fn moves(&self, _: u64, _: u64) {}

    fn message(&self, _: &str) {}

    fn line(&self, _: &str) {}
}

/// Follows nothing.
impl Observer for () {
    fn bar(&self, _: &str, _: &'static str) -> Box<dyn Bar> {
        Box::new(())
    }

    fn note(&self, _: &str) {}
}

/// What requests share: the passes that there are, the data set once it is loaded, and an observer.
pub struct Session<'a> {
    /// The passes that pipelines are made of.
    pub registry: &'a Registry,
    /// Who is told of progress.
    pub observer: &'a dyn Observer,
    /// The data set that was loaded last.
    loaded: Mutex<Option<(DataSource, Arc<SplitDataset>)>>,
}

impl<'a> Session<'a> {
    /// A session that has loaded nothing yet.
    pub fn new(registry: &'a Registry, observer: &'a dyn Observer) -> Self {
        Self { registry, observer, loaded: Mutex::new(None) }
    }

    /// The data set of a source.
    ///
    /// # Errors
    /// If it cannot be found.
    ///
    /// # Panics
    /// If another thread panicked while it loaded one.
    pub fn dataset(&self, source: &DataSource) -> anyhow::Result<Arc<SplitDataset>> {
        let mut kept = self.loaded.lock().expect("no thread panics while it loads");
        if let Some((of, set)) = &*kept
            && of == source
        {
            return Ok(set.clone());
        }
        let set = Arc::new(self.load(source)?);
        *kept = Some((source.clone(), set.clone()));
        Ok(set)
    }

    fn load(&self, source: &DataSource) -> anyhow::Result<SplitDataset> {
        let sources = Sources {
            data: source.data.clone(),
            hold_out: source.hold_out,
            cache: source.cache.clone(),
            offline: source.offline,
            fall_back_to_subset: source.or_subset,
        };
        let bar = self.observer.bar("MNIST", "bytes");
        let set = hafnia_data::load(&sources, &mut |event| match event {
            Progress::Trying(origin) => bar.message(&origin.to_string()),
            Progress::Received { file, bytes, total } => {
                bar.message(file);
                bar.moves(bytes, total.unwrap_or(bytes));
            }
            Progress::Failed { origin, reason } => tracing::info!("{origin}: {reason}"),
            _ => {}
        });
        drop(bar);
        let set = set?;
        match &set.origin {
            Origin::Subset => {
                let note = "note: this is the small subset of MNIST that is part of hafnia";
                self.observer.note(note);
            }
            Origin::Folder(path) | Origin::File(path) if !set.is_mnist() => {
                let path = path.display();
                self.observer.note(&format!("note: {path} holds a data set other than MNIST"));
            }
            _ => {}
        }
        if set.test.targets.is_some() {
            self.observer.note(
                "note: the images have targets and no labels: outputs are held against the targets",
            );
        } else if set.test.labels.is_none() {
            self.observer.note(
                "note: the images have no labels: a network is right where it answers as it does \
                 itself without noise, and accuracy is the share of such answers",
            );
        }
        Ok(set)
    }

    pub(crate) fn pipeline(&self, name: &str) -> anyhow::Result<Pipeline> {
        source::load_pipeline(name, self.registry)
    }
}

/// Seconds as people say them.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5400.0 => format!("{:.0} minutes", seconds / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}
