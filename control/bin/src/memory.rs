//! How much memory the process may use: what its control group says, if it is in one that has a limit.
//!
//! At that limit the kernel kills the process, and with it every request; refusing new ones before that costs much less.

use std::{fs, path::Path};

/// Where version 2 of control groups is.
const V2: &str = "/sys/fs/cgroup";
/// Where version 1 keeps the limit of the process's own group, as containers see it.
const V1: &str = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
/// Version 1 says "no limit" with a number near the largest there is.
const NO_LIMIT: u64 = 1 << 60;

/// The limit of the process's control group and of those it is in, in bytes.
pub(crate) fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folders = Path::new(V2).join(own);
    let files = folders.ancestors().take_while(|folder| folder.starts_with(V2));
    let limits = files.map(|folder| folder.join("memory.max")).chain([V1.into()]);
    limits.filter_map(|file| parse(&fs::read_to_string(file).ok()?)).min()
}

fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_and_anything_else_is_none() {
        assert_eq!(parse("536870912\n"), Some(536_870_912));
        assert_eq!(parse("max\n"), None);
        assert_eq!(parse("9223372036854771712\n"), None);
    }
}
