//! `test-cluster stop` ends the cluster that the tests share: the last step of `make test`.
//! `test-cluster hold HOME` owns the cluster of HOME until its standard input ends: what the crash tests kill.

use cluster::{Cluster, ClusterError, stop_shared_for_tests};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stop"] => stop_shared_for_tests().map(drop),
        ["hold", home] => hold(Path::new(home)),
        _ => {
            eprintln!("usage: test-cluster stop | test-cluster hold HOME");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn hold(home: &Path) -> Result<(), ClusterError> {
    let cluster = Cluster::start(home)?;
    println!("{}", cluster.pid());
    // Nothing is expected to come; the end of the stream is the signal, and so is an error on it.
    let _ = std::io::stdin().read(&mut [0]);
    cluster.stop()
}
