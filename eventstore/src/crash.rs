//! Points at which a test lets the process die, to see what is left of what it was doing.
//!
//! A program that is built to be served has none of this: `fail` comes without its feature there, and a point is nothing.

#[doc(hidden)]
pub use fail;

/// A point with a name of its own. A test configures it through `FAILPOINTS`: with `return` the process dies there; with
/// `return(FILE)` it leaves its name in the file and goes on.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {{
        fn here() {
            $crate::crash::fail::fail_point!($name, |file: Option<String>| match file {
                None => std::process::abort(),
                Some(file) => {
                    use std::io::Write as _;
                    let file = std::fs::OpenOptions::new()
                        .create(true)
                        .append(true)
                        .open(file);
                    // Without it the test misses the point.
                    let _ = file.and_then(|mut file| writeln!(file, "{}", $name));
                }
            });
        }
        here();
    }};
}
